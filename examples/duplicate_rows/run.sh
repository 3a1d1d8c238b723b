#!/usr/bin/env bash
# Make the table and the figure of docs/duplicates.md: about 3 minutes of processor time.
# Usage: examples/duplicate_rows/run.sh [OUTPUT_FOLDER] [--quick] [--draw] [--seed N]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=demo-output/duplicate_rows
if [[ $# -gt 0 && $1 != -* ]]; then
    out=$1
    shift
fi
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
python "$here/study.py" "$out" "$@"
echo "Done: the table and the figure are in $out"
