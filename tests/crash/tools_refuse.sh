#!/bin/bash
# The tools of this folder refuse what they do not know, and say in one line what is missing.
set -uo pipefail
cd "$(dirname "$0")"
status=0
say() { echo "FAILED: $*"; status=1; }
for tool in powercut card_bytes loss_bound valgrind_agent; do
    ./$tool --help >/dev/null || say "$tool --help"
    ./$tool --nonsense >/dev/null 2>&1; [ $? -eq 2 ] || say "$tool takes an unknown argument"
    out=$(./$tool --build /nonexistent 2>&1); [ $? -eq 1 ] || say "$tool goes on without programs"
    [ "$(wc -l <<<"$out")" -eq 1 ] || say "$tool: not one line: $out"
done
program=${VIGIA_BINARY_DIR:?}/tests/powercut
for words in "" "disk" "buffer --nonsense" "buffer --commits 0" "log --seeds -1" "buffer --lie maybe"; do
    $program $words >/dev/null 2>&1; [ $? -eq 2 ] || say "powercut $words"
done
exit $status
