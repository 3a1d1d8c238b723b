#!/usr/bin/env bash
# Make every table and figure of docs/study.md: about 5 minutes of processor time.
# Usage: examples/likelihood_study/run.sh [OUTPUT_FOLDER] [--quick] [--draw] [-@ THREADS] [--seed N]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=demo-output/likelihood_study
if [[ $# -gt 0 && $1 != -* ]]; then
    out=$1
    shift
fi
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
python "$here/study.py" "$out" "$@"
echo "Done: tables and figures are in $out"
