#!/bin/bash
# The agent for ARM: stripped at most 2 MB, and nothing dynamic but libc6's own libraries.
#
#   arm_size.sh BUILD_FOLDER STRIP READELF
set -euo pipefail
build=${1:?usage: arm_size.sh BUILD_FOLDER STRIP READELF}
strip=${2:?} readelf=${3:?}
limit=2000000
copy=$(mktemp)
trap 'rm -f "$copy"' EXIT
"$strip" -o "$copy" "$build/bin/vigia-edge"
size=$(stat -c %s "$copy")
needed=$("$readelf" -d "$copy" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort | tr '\n' ' ')
echo "vigia-edge, stripped: $size bytes (at most $limit); needs: $needed"
if ((size > limit)); then
    echo "too large" >&2
    exit 1
fi
for library in $needed; do
    case $library in
    libc.so.6 | libm.so.6 | ld-linux-*) ;;
    *)
        echo "$library is not part of libc6" >&2
        exit 1
        ;;
    esac
done
