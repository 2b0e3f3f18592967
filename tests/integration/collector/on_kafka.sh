#!/bin/bash
# The collector's tests on a real Kafka broker; what concerns the SQLite file alone is left out.
set -uo pipefail
folder=$(mktemp -d -t vigia-collector-kafka-XXXXXX)
trap 'rm -rf "$folder"' EXIT
"$VIGIA_SOURCE_DIR/tests/support/kafka/broker" run "$folder/broker" -- \
    python3 "$VIGIA_SOURCE_DIR/tests/integration/collector/test_collector.py" Interoperation Answers Devices Addresses
