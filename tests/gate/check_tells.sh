#!/bin/bash
# The gate tells its steps (--help names each one that it has, and no other), and refuses a step that it does not know before any runs.
set -uo pipefail
check=$(dirname "$0")/check
status=0
say() { echo "FAILED: $*"; status=1; }
help=$("$check" --help) || say "--help: exit $?"
told=$(sed -n 's/^  \([a-z]*\)  *[^ ].*/\1/p' <<<"$help")
has=$(sed -n 's/^step_\([a-z]*\)().*/\1/p' "$check")
[ -n "$told" ] && [ "$(sort <<<"$told")" = "$(sort <<<"$has")" ] || say "--help tells: $told; there are: $has"
[ "$("$check" 2>&1 "" | sed -n 's/.*there are: \(.*\) (see --help)/\1/p')" = "$(tr '\n' ' ' <<<"$told" | sed 's/ $//')" ] || say "another order than --help tells"
for words in nowhere --nonsense "banned nowhere"; do
    out=$("$check" $words 2>&1); code=$?
    [ $code -eq 2 ] || say "$words: exit $code"
    [ "$(wc -l <<<"$out")" -eq 1 ] && [[ $out == *"unknown step"* ]] || say "$words: not one line: $out"
done
exit $status
