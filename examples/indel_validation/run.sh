#!/usr/bin/env bash
# The tables of README.md: a few minutes.
# Usage: examples/indel_validation/run.sh WORK_FOLDER
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${1:?give a folder to work in}
mkdir -p "$work"
[ -d "$work/chrM26" ] || "$here/train.sh" "$work"
cd "$here"
python simulated.py > "$work/simulated.tsv"
python mtdna.py genes > "$work/genes.tsv"
python mtdna.py carriers --model "$work/chrM26" > "$work/carriers.tsv"
