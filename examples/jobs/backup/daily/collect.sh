#!/bin/bash
# The files that are to be packed: a real job would read them from somewhere.
set -euo pipefail
echo "Collecting $ARG_FILES files for $ARG_TARGET"
mkdir -p "$RUN_DIR/collected"
for number in $(seq 1 "$ARG_FILES"); do
  seq 1 1000 | sed "s/^/file $number line /" > "$RUN_DIR/collected/file-$number.txt"
done
echo "Collected $(ls "$RUN_DIR/collected" | wc -l) files"
