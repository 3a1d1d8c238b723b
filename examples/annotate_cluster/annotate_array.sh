#!/bin/bash
# One contig a task of a SLURM array, then all parts put together:
#
#   n=$(tabix -l in.vcf.gz | wc -l)
#   job=$(sbatch --parsable --array=1-$n annotate_array.sh part in.vcf.gz parts/ -f genome.fa)
#   sbatch --dependency=afterok:$job annotate_array.sh join in.vcf.gz parts/ out.vcf.gz
#
# A part appears when it is complete, so that a task that is run again does no harm, and `join`
# fails where a part is missing.
#SBATCH --cpus-per-task=2
#SBATCH --mem=8G
set -euo pipefail

step=$1 variants=$2 parts=$3
shift 3
case $step in
part)
    contig=$(tabix -l "$variants" | sed -n "${SLURM_ARRAY_TASK_ID}p")
    mkdir -p "$parts"
    phylotools annotate "$variants" -r "$contig" -@ "${SLURM_CPUS_PER_TASK:-1}" "$@" \
        -o "$parts/$contig.vcf.gz" --force
    ;;
join)
    tabix -l "$variants" | sed "s|.*|$parts/&.vcf.gz|" | xargs bcftools concat -O z -o "$1.part"
    mv "$1.part" "$1"
    tabix -f -p vcf "$1"
    ;;
esac
