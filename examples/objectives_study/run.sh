#!/usr/bin/env bash
# The study of objectives, step by step, each one command:
#   run.sh train WORK [OPTIONS OF grid.py]   every arm, set and seed (hours of one core; goes on where it was)
#   run.sh measure WORK                      WORK/results/{areas,differences,likelihood}.tsv
#   run.sh tables WORK                       the tables of docs/objectives-study.md, as Markdown
#   run.sh figures WORK FOLDER               its figures
#   run.sh gene-trees WORK                   one tree against a tree for each gene: WORK/results/gene_trees.tsv
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONPATH=$here/../models_study${PYTHONPATH:+:$PYTHONPATH}
step=${1:?train, measure, tables, figures or gene-trees}
work=${2:?give a folder to work in}
shift 2
results=$work/results

case $step in
train)
    python "$here/grid.py" "$work" "$@" ;;
measure)
    python "$here/measure_arms.py" "$work" -o "$results" "$@"
    python "$here/likelihood_arms.py" "$work" -o "$results/likelihood.tsv" "$@" ;;
tables)
    for set in mammals mtdna-left-out mtdna dengue birds; do
        for table in areas differences; do
            echo "## $set, $table"
            python "$here/page_tables.py" "$table" "$results" --set "$set"
        done
    done
    echo "## likelihood"
    python "$here/page_tables.py" likelihood "$results"
    echo "## seconds"
    python "$here/page_tables.py" seconds "$work" ;;
figures)
    folder=${1:?give a folder for the figures}
    for figure in arms differences; do
        python "$here/draw_arms.py" "$figure" "$results" -o "$folder/objectives_$figure.png"
    done ;;
gene-trees)
    python "$here/gene_trees.py" "$work" "$@" ;;
*)
    echo "error: no such step: $step; choose train, measure, tables, figures or gene-trees" >&2
    exit 2 ;;
esac
