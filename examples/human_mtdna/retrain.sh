#!/usr/bin/env bash
# Make the shipped model again, from the alignment: about a minute.
# Usage: examples/human_mtdna/retrain.sh WORK_FOLDER [MODEL_FOLDER]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${1:?give a folder to work in}
model=${2:-$work/mammals671-mtdna}
mkdir -p "$work"
cp "$here/train.toml" "$work/"

phylotools preprocess "$here/data/mammals671_mtCDS_hg38_chrM.maf.gz" \
    --tree "$here/data/mammals671.nh" --fasta "$here/data/chrM.fa" -o "$work/mtdna.store" --force
phylotools train "$work/train.toml" -o "$work/run" --resume
phylotools model export "$work/run" -o "$model" --force \
    --name mammals671-mtdna --revision 3 --assembly "hg38 chrM (rCRS, NC_012920.1)" --licence CC0-1.0 \
    --fasta "$here/data/chrM.fa" --training-regions "$here/data/genes.bed" \
    --card "$here/card.md" --metrics "$here/metrics.json"
phylotools model verify "$model"
