#!/usr/bin/env bash
# Judge models: likelihood of held-out columns, and AUROC of every score, beside all baselines.
# Usage: evaluate.sh mammals|dengue|mtdna WORK_FOLDER NAME=MODEL_OR_RUN...
# Writes WORK_FOLDER/SET/{likelihood,areas*}.tsv, and what it prints to *.txt beside them. Stores,
# labels and models without a network are made once and kept in the work folder.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
set=${1:?mammals, dengue or mtdna}
work=${2:?give a folder to work in}
shift 2
models=("$@")
out=$work/$set
mkdir -p "$out"

make_store() {  # NAME ALIGNMENT OPTIONS...
    [ -e "$work/$1.store" ] || phylotools preprocess "$2" -o "$work/$1.store" "${@:3}"
}
held_out=() genes=() stretch=()
case $set in
mammals)
    example=$here/../mammal_coding
    data=$example/data
    make_store mammals113 "$data/mammals_nuclear_exons.maf.gz" --tree "$data/mammals113.nh"
    make_store orthomam226 "$data/orthomam226.maf.gz" --tree "$data/orthomam.nh"
    stores=("$work/mammals113.store" "$work/orthomam226.store")
    held_out=(--held-out "$example/held_out.bed")
    labels=("$example/held_out.bed") ;;
dengue)
    example=$here/../dengue
    data=$example/data
    make_store dengue "$data/dengue_all.maf.gz" --tree "$data/dengue_all.nh" \
        -f "$data/dengue_all.reference.fa"
    stores=("$work/dengue.store")
    held_out=(--held-out "$example/held_out.bed")
    genes=(--genes "$data/dengue_all.gff3")
    labels=("$data/dengue_all.gff3")
    stretch=(--stretch 100) ;;
mtdna)
    data=$here/../human_mtdna/data
    make_store mtdna "$data/mammals671_mtCDS_hg38_chrM.maf.gz" --tree "$data/mammals671.nh" \
        -f "$data/chrM.fa"
    stores=("$work/mtdna.store")
    genes=(--genes "$data/genes.bed")
    labels=("$data/genes.bed" "$data/chrM_all_snvs_labels.tsv.gz")
    stretch=(--stretch 100) ;;
*)
    echo "error: no such set: $set; choose mammals, dengue or mtdna" >&2
    exit 2 ;;
esac

if [ ! -e "$out/labels.tsv" ]; then
    python "$here/make_labels.py" "$set" "${labels[@]}" "${stores[@]}" > "$out/labels.tmp"
    mv "$out/labels.tmp" "$out/labels.tsv"
fi
if [ ! -e "$out/nulls.npz" ]; then
    python "$here/null_models.py" "${stores[@]}" "${genes[@]}" "${held_out[@]}" -o "$out/nulls.npz"
fi
python "$here/likelihood.py" "${stores[@]}" "${genes[@]}" "${held_out[@]}" "${stretch[@]}" \
    --nulls "$out/nulls.npz" --models "${models[@]}" -o "$out/likelihood.tsv" |
    tee "$out/likelihood.txt"

measure() {  # NAME OPTIONS...
    python "$here/measure.py" "$out/labels.tsv" "${stores[@]}" "${genes[@]}" "${stretch[@]}" \
        --nulls "$out/nulls.npz" --models "${models[@]}" -o "$out/$1.tsv" "${@:2}" |
        tee "$out/$1.txt"
}
measure areas
# Exons scored alone, beside whole genes. No multiple of three: the ends would give the frame away.
if [ "$set" = mammals ]; then
    measure areas_cut --cut-every 125
    # Genes without a near relative among those that were trained on.
    python "$here/paralogues.py" "$example/held_out.bed" "${stores[@]}" > "$out/unrelated.bed"
    measure areas_unrelated --within "$out/unrelated.bed"
fi
# A genome is trained on but for a tenth: that tenth by itself.
if [ "$set" = dengue ]; then
    measure areas_held_out --within "$example/held_out.bed"
fi
