#!/bin/bash
# The tools of this folder refuse what they do not know, and say in one line what is missing; loss_bound counts readings, not kills.
# A hangup leaves nothing of them behind.
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
PYTHONDONTWRITEBYTECODE=1 python3 - <<'EOF' || say "loss_bound counts otherwise"
import runpy
rows = [{"wall_ms": at, "given": 0, "lost_routine": 0, "lost_urgent": 0, "late_urgent": 0, "oldest_ms": 0, "oldest_urgent_ms": 0} for at in (1000, 2000)]
said = [{"sensor": "s", "at": at, "wall_ms": at, "motion": motion} for at, motion in ((700, True), (800, True), (980, True), (990, False), (1500, True))]
runpy.run_path("loss_bound")["attribute"](rows, said, {("s", 1500)})
assert [(r["given"], r["lost_urgent"], r["late_urgent"], r["lost_routine"]) for r in rows] == [(4, 3, 2, 1), (1, 0, 0, 0)], rows
EOF
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
