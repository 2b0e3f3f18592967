#!/bin/bash
# The tools of this folder refuse what they do not know, and say in one line what is missing. A hangup leaves nothing of them behind.
set -uo pipefail
cd "$(dirname "$0")"
status=0
say() { echo "FAILED: $*"; status=1; }
for tool in powercut card_bytes loss_bound valgrind_agent; do
    ./$tool --help >/dev/null || say "$tool --help"
    ./$tool --nonsense >/dev/null 2>&1; [ $? -eq 2 ] || say "$tool takes an unknown argument"
    ./$tool --buil /nonexistent >/dev/null 2>&1; [ $? -eq 2 ] || say "$tool takes an abbreviation"
    out=$(./$tool --build /nonexistent 2>&1); [ $? -eq 1 ] || say "$tool goes on without programs"
    [ "$(wc -l <<<"$out")" -eq 1 ] || say "$tool: not one line: $out"
done
PYTHONDONTWRITEBYTECODE=1 python3 - <<'EOF' || say "valgrind_agent tells its folders"
import pathlib, runpy
tell = runpy.run_path("valgrind_agent")["without_folder"]
root = pathlib.Path.cwd().parents[1]
assert tell(f"Command: {root}/build/host/bin/vigia-edge --config /tmp/v-1/edge.ini in {root}", "/tmp/v-1") == \
    "Command: build/host/bin/vigia-edge --config edge.ini in ."
EOF
for words in "powercut --long 0" "loss_bound --kills 30"; do
    folder=$(mktemp -d)
    TMPDIR=$folder env --default-signal=HUP ./${words%% *} --build "${VIGIA_BINARY_DIR:?}" ${words#* } >/dev/null 2>&1 & pid=$!
    for _ in $(seq 600); do ps -o pid= --ppid $pid >/dev/null && [ -n "$(ls -A "$folder")" ] && break; sleep 0.1; done
    below=$(ps -o pid= --ppid $pid)
    kill -HUP $pid; wait $pid; [ $? -eq 129 ] || say "$words does not end by a hangup"
    [ -z "$(ls -A "$folder")" ] || say "$words leaves $(ls -A "$folder")"
    for one in $below; do kill -9 "$one" 2>/dev/null && say "$words leaves process $one"; done
    rm -rf "$folder"
done
program=${VIGIA_BINARY_DIR:?}/tests/powercut
for words in "" "disk" "buffer --nonsense" "buffer --commits 0" "log --seeds -1" "buffer --lie maybe"; do
    $program $words >/dev/null 2>&1; [ $? -eq 2 ] || say "powercut $words"
done
exit $status
