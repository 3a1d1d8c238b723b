#!/usr/bin/env bash
# Score a real VCF with the shipped model, measure the scores against clinical labels, draw tracks.
# Usage: examples/demo.sh [OUTPUT_FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
data=examples/human_mtdna/data
out=${1:-demo-output}
mkdir -p "$out"

# 18,164 mitochondrial variants of gnomAD: no option needed, the model ships with its reference.
phylotools annotate "$data/gnomad_v3.1_chrM.vcf.gz" -o "$out/gnomad_chrM.scored.vcf.gz" --force

# The SNVs known to be pathogenic or common: annotate, then compare with the labels in the file.
phylotools annotate "$data/labelled_snvs.vcf.gz" -o "$out/labelled_snvs.scored.vcf.gz" --force
phylotools evaluate "$out/labelled_snvs.scored.vcf.gz" \
    --label-column LABEL --positive pathogenic --negative common \
    --score PHYLOGPN_FIXATION:low --score PHYLOP:high --class-column CLASS \
    -R "$data/genes.bed" -o "$out/evaluation" --force

# What the model says of every position, for genome browsers.
phylotools tracks --assembly hg38 -o "$out/tracks" --force

cat <<TEXT

Done. Where the results are:
  annotated VCF   $out/gnomad_chrM.scored.vcf.gz   (bgzip + tabix: opens in IGV, bcftools, tabix)
  its index       $out/gnomad_chrM.scored.vcf.gz.tbi
  table           $out/evaluation/metrics.tsv      (AUROC and AUPRC with 95 % intervals, by class)
  report          $out/evaluation/report.html
  tracks          $out/tracks/igv.html             (opens by a double click; bigWigs, hub.txt, all SNVs beside it)
TEXT
