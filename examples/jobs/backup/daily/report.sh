#!/bin/bash
# The last line is JSON: the run's result.
set -euo pipefail
files=$(ls "$RUN_DIR/collected" | wc -l)
bytes=$(cat "$RUN_DIR"/collected/* | wc -c)
echo "Backup complete"
printf '{"target": "%s", "files_backed_up": %d, "total_size_bytes": %d}\n' "$ARG_TARGET" "$files" "$bytes"
