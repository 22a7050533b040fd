#!/bin/bash
# Whatever lies in FLWD_ARTIFACTS_DIR when a step ends is an artifact.
set -euo pipefail
tar -czf "$FLWD_ARTIFACTS_DIR/backup.tar.gz" -C "$RUN_DIR/collected" .
echo "Packed $(stat -c %s "$FLWD_ARTIFACTS_DIR/backup.tar.gz") bytes"
