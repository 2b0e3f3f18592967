#!/bin/bash
# The tools of this folder refuse what they do not know, and say in one line what is missing; loss_bound counts readings, not kills.
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
PYTHONDONTWRITEBYTECODE=1 python3 - <<'EOF' || say "loss_bound counts otherwise"
import runpy
rows = [{"wall_ms": at, "given": 0, "lost_routine": 0, "lost_urgent": 0, "late_urgent": 0, "oldest_ms": 0, "oldest_urgent_ms": 0} for at in (1000, 2000)]
said = [{"sensor": "s", "at": at, "wall_ms": at, "motion": motion} for at, motion in ((700, True), (800, True), (980, True), (990, False), (1500, True))]
runpy.run_path("loss_bound")["attribute"](rows, said, {("s", 1500)})
assert [(r["given"], r["lost_urgent"], r["late_urgent"], r["lost_routine"]) for r in rows] == [(4, 3, 2, 1), (1, 0, 0, 0)], rows
EOF
program=${VIGIA_BINARY_DIR:?}/tests/powercut
for words in "" "disk" "buffer --nonsense" "buffer --commits 0" "log --seeds -1" "buffer --lie maybe"; do
    $program $words >/dev/null 2>&1; [ $? -eq 2 ] || say "powercut $words"
done
exit $status
