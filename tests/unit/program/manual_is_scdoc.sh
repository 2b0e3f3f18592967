#!/bin/bash
# The manual page that a program prints is accepted by scdoc, and man finds nothing to complain about.
set -euo pipefail
command -v scdoc >/dev/null || {
    echo "skipped: scdoc is not installed (cross/setup check)"
    exit 77
}
read -r -a emulator <<<"${VIGIA_EMULATOR:-}"
page=$("${emulator[@]}" "$VIGIA_BINARY_DIR/tests/vg_sample" --manual | scdoc)
grep -q '^\.TH "vigia-sample" "8"' <<<"$page"
# What the table's texts hold of markup comes out as it stands.
grep -qF 'How many *things* to_count in [brackets].' <<<"$page"
grep -q '^\.SH CONFIGURATION' <<<"$page"
