#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# check_translation.sh SOURCE_ROOT: an error speaks the user's language, every text of the elements for
# users is marked for translation, and no catalogue lacks one.
set -eu
cd "$1"
if ! command -v msgfmt >/dev/null || ! command -v xgettext >/dev/null; then
  echo "gettext is not installed" >&2
  exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# The first text of these macros is for users; unmarked, it begins with a quote.
if grep -nE 'GST_ELEMENT_(ERROR|WARNING|INFO) *\(' gst/*.cc | grep '("' | grep -v '_("'; then
  echo "FAILED: not marked with _()" >&2
  exit 1
fi
for file in gst/*.cc; do
  if grep -q '_("' "$file" && ! grep -qx "$file" po/POTFILES; then
    echo "FAILED: $file is not in po/POTFILES" >&2
    exit 1
  fi
done

xgettext --from-code=UTF-8 -C -k_ -f po/POTFILES -o "$folder/texts.pot"
texts=$(grep -c '^msgid' "$folder/texts.pot")
[ "$texts" -gt 20 ] || { echo "FAILED: only $texts texts were found" >&2; exit 1; }
while read -r language; do
  msgcmp --use-untranslated "po/$language.po" "$folder/texts.pot"
  msgfmt --check -o "$folder/$language.mo" "po/$language.po"
  msgattrib --untranslated --no-obsolete "po/$language.po" | grep msgid && {
    echo "FAILED: po/$language.po is incomplete" >&2
    exit 1
  }
done <po/LINGUAS

said=$(LC_ALL=C.UTF-8 LANGUAGE=de CPL_RUNTIME=/nonexistent/libcpl.so gst-launch-1.0 \
  videotestsrc num-buffers=1 ! cplrestore ! fakesink 2>&1 || true)
case $said in
  *'/nonexistent/libcpl.so, die CPL_RUNTIME nennt, gibt es nicht'*) ;;
  *) echo "FAILED: German was asked for: $said" >&2; exit 1 ;;
esac
