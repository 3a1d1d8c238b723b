#!/usr/bin/env bash
# Train the model of the whole mitochondrial genome that mtdna.py scores: a few minutes.
# Usage: examples/indel_validation/train.sh WORK_FOLDER      (the model: WORK_FOLDER/chrM26)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${1:?give a folder to work in}
mkdir -p "$work"
cp "$here/train.toml" "$work/"
phylotools preprocess "$here/../../tests/data/multiz30way_chrM/chrM.multiz30way.maf.gz" \
    --tree "$here/data/primates26_mtdna.nh" --fasta "$here/../human_mtdna/data/chrM.fa" \
    -o "$work/chrM26.store" --force
phylotools train "$work/train.toml" -o "$work/run" --resume
phylotools model export "$work/run" -o "$work/chrM26" --force --name chrM26 --revision 1 \
    --assembly "hg38 chrM (rCRS, NC_012920.1)" --licence CC0-1.0 \
    --fasta "$here/../human_mtdna/data/chrM.fa"
