#!/usr/bin/env bash
# Make the shipped model again, from the alignment.
# Usage: examples/dengue/retrain.sh WORK_FOLDER [MODEL_FOLDER]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${1:?give a folder to work in}
model=${2:-$work/dengue1509}
mkdir -p "$work"
cp "$here/train.toml" "$here/held_out.bed" "$work/"

phylotools preprocess "$here/data/dengue_all.maf.gz" --tree "$here/data/dengue_all.nh" \
    --fasta "$here/data/dengue_all.reference.fa" -o "$work/dengue.store" --force
phylotools train "$work/train.toml" -o "$work/run" --resume
phylotools model export "$work/run" -o "$model" --force \
    --name dengue1509 --revision 1 --assembly "dengue virus, Nextstrain dengue/all" \
    --licence CC0-1.0 --fasta "$here/data/dengue_all.reference.fa" \
    --training-regions "$here/genome.bed" --card "$here/card.md" --metrics "$here/metrics.json"
phylotools model verify "$model"
