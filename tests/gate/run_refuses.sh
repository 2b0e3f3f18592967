#!/bin/bash
# tests/run refuses what is no build folder in one line, and where there is no test it does not say that all passed.
set -uo pipefail
run=$(dirname "$0")/../run
status=0
say() { echo "FAILED: $*"; status=1; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for words in "" "--nonsense" "$folder" "$folder $folder"; do
    out=$("$run" $words 2>&1); code=$?
    [ $code -eq 2 ] || say "'$words': exit $code"
    [ "$(wc -l <<<"$out")" -eq 1 ] && [[ $out == *"usage: tests/run BUILD_FOLDER"* ]] || say "'$words': not one line: $out"
done
touch "$folder/CTestTestfile.cmake"
"$run" "$folder" >/dev/null 2>&1 && say "no test, and exit 0"
echo 'add_test(one true)' >"$folder/CTestTestfile.cmake"
"$run" "$folder" >/dev/null 2>&1 || say "one test that passes: exit $?"
echo 'add_test(one false)' >"$folder/CTestTestfile.cmake"
"$run" "$folder" >/dev/null 2>&1 && say "one test that fails, and exit 0"
exit $status
