#!/usr/bin/env bash
# The figures of docs/finetune.md. Usage: run.sh OUTPUT (some minutes)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
data=$here/../human_mtdna/data
mkdir -p "$1"
mtdna=("$data/labelled_snvs.vcf.gz" --label-column LABEL --positive pathogenic --negative common
    --class-column CLASS)
phylotools finetune "${mtdna[@]}" --groups "$data/genes.bed" --folds 13 -o "$1/mtdna-proteins"
phylotools finetune "${mtdna[@]}" --group-by GENE --folds 10 -o "$1/mtdna-genes"

python "$here/make_coding_labels.py" >"$1/coding.vcf"
coding=("$1/coding.vcf" -m mammals-coding --group-by GENE --label-column)
phylotools finetune "${coding[@]}" SEVERITY --positive radical --negative conservative -o "$1/severity"
phylotools finetune "${coding[@]}" CONSEQUENCE --positive nonsense --negative missense -o "$1/nonsense"

python "$here/make_coding_labels.py" --each 10 >"$1/few.vcf"
phylotools finetune "$1/few.vcf" -m mammals-coding --group-by GENE --label-column SEVERITY \
    --positive radical --negative conservative --folds 2 --inner-folds 2 --adapters 4 --epochs 2 \
    --bootstrap 500 -o "$1/adapters"
