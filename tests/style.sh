#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Style, with git and little else. clang-format and shellcheck are used where they are installed.
set -euo pipefail
cd "$(dirname "$0")/.."
status=0
complain() { printf 'style: %s\n' "$1" >&2; status=1; }

text=(':!*.png' ':!*.safetensors' ':!*.jsonl')
if git grep -nI $'\t' -- '*.cc' '*.h' '*.sh' '*.build' '*.toml' '*.py'; then complain "tabs"; fi
if git grep -nIE ' +$' -- "${text[@]}" ':!*.md' ':!LICENSE'; then complain "trailing spaces"; fi
while read -r file; do
  [ -z "$(tail -c1 "$file")" ] || complain "$file: no newline at its end"
done < <(git grep -lI '' -- "${text[@]}")
for file in $(git ls-files '*.cc' '*.h' '*.sh' '*.py' '*meson.build'); do
  head -n3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || complain "$file: no SPDX line"
done
formatter=$(command -v clang-format-14 || command -v clang-format || true)
if [ -n "$formatter" ] && "$formatter" --version | grep -q ' 14\.'; then
  git ls-files '*.cc' '*.h' | xargs "$formatter" --dry-run -Werror || complain "clang-format"
else
  echo "style: clang-format 14 is not installed, formatting was not checked"
fi
if command -v shellcheck >/dev/null; then
  git ls-files '*.sh' '.ci/run' '.githooks/*' | xargs shellcheck || complain "shellcheck"
fi
exit "$status"
