#!/usr/bin/env bash
# Make the shipped model again, from the alignments.
# Usage: examples/mammal_coding/retrain.sh WORK_FOLDER [MODEL_FOLDER]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${1:?give a folder to work in}
model=${2:-$work/mammals-coding}
mkdir -p "$work"
cp "$here/train.toml" "$here/held_out.bed" "$work/"

phylotools preprocess "$here/data/mammals_nuclear_exons.maf.gz" \
    --tree "$here/data/mammals113.nh" -o "$work/mammals113.store" --force
phylotools preprocess "$here/data/orthomam226.maf.gz" \
    --tree "$here/data/orthomam.nh" -o "$work/orthomam226.store" --force
phylotools train "$work/train.toml" -o "$work/run" --resume
python "$here/make_transcripts.py" > "$work/transcripts.gff3"
phylotools model export "$work/run" -o "$model" --force \
    --name mammals-coding --revision 1 --assembly "hg38, coding sequence" --licence CC0-1.0 \
    --transcripts "$work/transcripts.gff3" --fasta "$work/orthomam226.store" \
    --card "$here/card.md" --metrics "$here/metrics.json"
phylotools model verify "$model"
