#!/bin/bash
# cross/deps stops, naming the archive and what was expected and found: when a place gives another file, when the cache holds
# another file, and when no place has the archive at all. It takes an alternative, and says so, before it gives up.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/mirror"
export VIGIA_OFFLINE=1 VIGIA_CACHE=$work/cache VIGIA_SOURCES=$work/mirror VIGIA_DEPS_LOCK=$work/deps.lock

right=$(printf 'the right sources' | sha256sum | cut -d' ' -f1)
other=$(printf 'something else' | sha256sum | cut -d' ' -f1)
cat >"$VIGIA_DEPS_LOCK" <<END
[cjson]
version = 1.7.19
file = vigia-gate-test.tar.gz
sha256 = $right
licence = MIT
targets = host
root = *
places =
    debian pool/main/v/vigia-gate-test/vigia-gate-test.tar.gz
END

failures=0
expect() { # expect WHAT STATUS TEXT...: the last run's exit status and that its output holds every TEXT
    local what=$1 status=$2 text
    shift 2
    if [ "$found_status" -ne "$status" ]; then
        echo "FAIL $what: exit status $found_status, expected $status"
        failures=$((failures + 1))
    fi
    for text in "$@"; do
        if ! grep -qF -- "$text" "$work/output"; then
            echo "FAIL $what: the output does not hold '$text':"
            sed 's/^/    /' "$work/output"
            failures=$((failures + 1))
        fi
    done
}
deps() {
    found_status=0
    "$root/cross/deps" "$@" >"$work/output" 2>&1 || found_status=$?
}

printf 'something else' >"$VIGIA_SOURCES/vigia-gate-test.tar.gz"
deps fetch
expect "a place with another file is refused" 1 cjson "expected $right" "found    $other" VIGIA_SOURCES
[ ! -e "$VIGIA_CACHE/sources/vigia-gate-test.tar.gz" ] || {
    echo "FAIL the refused file was kept in the cache"
    failures=$((failures + 1))
}

rm "$VIGIA_SOURCES/vigia-gate-test.tar.gz"
deps fetch
expect "a missing archive names every place tried" 1 cjson "expected $right" "nothing that matches" \
    "VIGIA_SOURCES: no vigia-gate-test.tar.gz" "debian pool/main/v/vigia-gate-test/vigia-gate-test.tar.gz: skipped"

printf 'the right sources' >"$VIGIA_SOURCES/vigia-gate-test.tar.gz"
deps fetch
expect "the right file is taken" 0 "fetched cjson 1.7.19"
deps check
expect "a good cache passes the check" 0 "1 of 1"

printf 'something else' >"$VIGIA_CACHE/sources/vigia-gate-test.tar.gz"
deps check
expect "a cache that changed is refused" 1 cjson "expected $right" "found    $other"
deps build
expect "nothing is built from a cache that changed" 1 cjson "expected $right" "found    $other"

rm -r "$VIGIA_CACHE" "$VIGIA_SOURCES/vigia-gate-test.tar.gz"
cat >>"$VIGIA_DEPS_LOCK" <<END

[cjson-elsewhere]
alternative-for = cjson
version = 1.7.20
file = elsewhere.tar.gz
sha256 = $other
licence = MIT
root = *
places =
    debian pool/main/v/vigia-gate-test/elsewhere.tar.gz
END
printf 'something else' >"$VIGIA_SOURCES/elsewhere.tar.gz"
deps fetch
expect "an alternative stands in, and it is said" 0 "using cjson-elsewhere 1.7.20 instead"

[ $failures -eq 0 ] || exit 1
echo "ok: cross/deps refuses wrong and missing archives by name"
