#!/bin/bash
# A signal at any moment of a long run ends the program at once, with its processes and its folder; one that is ignored (nohup) does not.
#
#   powercut_ends.sh PROGRAM
set -uo pipefail
program=${1:?usage: powercut_ends.sh PROGRAM}
command=("$program" log --commits 40 --seeds 1000 --jobs 4)
ENOUGH_S=5 # of a machine that does other things as well; an idle one takes some 30 ms
status=0
say() { echo "FAILED: $*"; status=1; }
folders() { compgen -G "/dev/shm/vigia-powercut-$1-*" || compgen -G "/tmp/vigia-powercut-$1-*"; }
checking() { [ "$(ps -o pid= -s "$1" | wc -l)" -ge 5 ]; } # the watcher, and four that check
reached() { # folders|checking PID
    for _ in $(seq 600); do "$@" >/dev/null && return; sleep 0.05; done
    say "$1: never reached"
}
ended() { # PID STATUS WHAT: waits for it
    local code left
    timeout $ENOUGH_S tail -s 0.02 --pid="$1" -f /dev/null || { say "$3: still runs after $ENOUGH_S s"; pkill -KILL -s "$1"; }
    wait "$1"; code=$?
    [ $code -eq "$2" ] || say "$3: exit $code"
    left=$(ps -o pid=,args= -s "$1") && say "$3: leaves processes: $left"
    left=$(folders "$1") && say "$3: leaves $left"
}
for signal in INT TERM HUP; do
    for moment in "folders 0" "folders 0.1" "folders 0.3" "checking 0" "checking 0.3"; do # what is reached, and seconds after it
        env --default-signal=HUP setsid "${command[@]}" >/dev/null & pid=$!
        reached ${moment% *} $pid
        sleep ${moment#* }
        kill -$signal $pid
        ended $pid $((128 + $(kill -l $signal))) "SIG$signal at: $moment"
    done
done
env --ignore-signal=HUP setsid "${command[@]}" >/dev/null & pid=$!
reached folders $pid
kill -HUP $pid
kill -TERM $pid
ended $pid 143 "SIGTERM after an ignored SIGHUP"
exit $status
