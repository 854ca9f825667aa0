#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# killed_log.sh [BUILD]: runs the test in which a camera is killed and comes back while a client plays
# its stream, and writes the gateway's log to tests/logs/gateway-killed.txt.
set -euo pipefail
cd "$(dirname "$0")/../.."
build=$PWD/${1:-build}
GST_REGISTRY=$build/soak.registry CPL_RUNTIME=$build/tests/gst/libcpl_dummy.so GST_PLUGIN_PATH_1_0=$build/gst \
  CPL_KEEP_LOG=$PWD/tests/logs/gateway-killed.txt \
  "$build/tests/gateway/gateway_test" --gtest_filter='*OutlivesACameraThatIsKilled' >/dev/null
cat tests/logs/gateway-killed.txt
