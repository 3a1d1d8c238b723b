#!/usr/bin/env bash
# Every verb after a plain install: the wheel alone (pinned, no extras) in a bare environment, on
# real data, offline, in a folder where a script is called like each module there is and leaves a
# mark when it is run. A verb of `phylotools --help` that is not tried is an error.
# Usage: tests/plain_install.sh [PYTHON]
set -euo pipefail
checkout=$(cd "$(dirname "$0")/.." && pwd)
home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
export PIP_CONSTRAINT="$checkout/constraints.txt" PIP_BUILD_CONSTRAINT="$checkout/constraints.txt"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

# As it is published. The wheel is made from the source archive: what either lacks is missed below.
python=${1:-python3}
bash "$checkout/packaging/build_dist.sh" "$home/dist" "$python"
# Installed as the tutorial says.
install=$(awk '/^```/ {if (inside) exit; inside = 1; next} inside' "$checkout/docs/tutorial-vcf.md")
(
    cd "$home/dist"
    python3() { command "$python" "$@"; }
    eval "$install" >/dev/null
)
ln -s dist/phylotools-env "$home/env"

mkdir "$home/here" && cd "$home/here"
lay_traps() {
    "$home/env/bin/python" -P - <<'PYTHON'
import importlib.metadata, pathlib, sys

mark = f"open({str(pathlib.Path('EXECUTED').absolute())!r}, 'a').write(__name__ + '\\n')\n"
for name in {*sys.stdlib_module_names, *importlib.metadata.packages_distributions()}:
    if name.isidentifier():
        pathlib.Path(f"{name}.py").write_text(mark)
PYTHON
}
lay_traps
printf 'backend: \xb4' >matplotlibrc

offline=(unshare --map-root-user --net)
"${offline[@]}" true 2>/dev/null ||
    offline=(env http_proxy=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9)

# Nothing of the user's environment, and no program beside Python's.
try() {
    echo "phylotools $*" >&2
    echo "$* " >>"$home/tried"
    "${offline[@]}" env -i PATH="$home/env/bin" HOME="$home" MPLBACKEND=module://none.at_all \
        OMP_NUM_THREADS=1 phylotools "$@" -q
}

data=$checkout/examples/human_mtdna/data
alignment=$checkout/tests/data/mammals671/mtCDS_cut.maf.gz
tree=$checkout/tests/data/mammals671/mammals671.nh

try preprocess "$alignment" --tree "$tree" -o columns.store --report report
try preprocess-init "$alignment" --tree "$tree" --work columns.work >parts
try preprocess-partition columns.work 0
try preprocess-finalise columns.work -o parts.store
try inspect columns.store >store.txt

cat >train.toml <<'TOML'
[data]
stores = ["columns.store"]
workers = 1
buffer_bytes = 100_000
[network]
preset = "tiny"
[optimiser]
steps = 3
windows_per_batch = 2
window_length = 64
TOML
try train --init columns.store >init.toml
try train init.toml --check
try train train.toml -o run
# Two processes that share a run reach each other by the loopback interface, which unshare leaves down.
# Columns that do not fit into a buffer are dealt out by segments, of which so small a store has one.
sed /buffer_bytes/d train.toml >shared.toml
echo "torchrun phylotools train" >&2
env -i PATH="$home/env/bin" HOME="$home" OMP_NUM_THREADS=1 \
    torchrun --standalone --local-addr localhost --nproc-per-node 2 --no-python phylotools train shared.toml -o shared -q
cmp <(tail -n +2 run/metrics.tsv | cut -f 1) <(tail -n +2 shared/metrics.tsv | cut -f 1)
try plot training run -o curves
printf 'chrM\t3306\t4262\n' >neutral.bed
try model calibrate mammals671-mtdna --neutral-regions neutral.bed -o calibrated
try model export run -o model --name trained
try model use model
try model set-reference model --fasta "$data/chrM.fa"
try annotate "$data/clinvar_20220525_chrM_snv.vcf.gz" -o by_default.vcf.gz
try model use --none
try model list >models.txt
try model info model >model.json
try model verify model
for layout in huggingface_layernorm huggingface_groupnorm github_groupnorm; do
    try model import "$checkout/tests/data/published_layouts/$layout" -o $layout
    try model verify $layout >generation.txt
done
try fit-sites columns.store -r chrM:10500-10600 -o sites.tsv.gz --bigwig sites
try model calibrate mammals671-mtdna --neutral-rate columns.store -o calibrated_by_rate
try fit-sites columns.store -r chrM:10500-10600 --prior mammals671-mtdna -o with_prior.tsv
for substitution in hky gtr mutation-selection; do
    try fit-sites columns.store -r chrM:10500-10600 --substitution $substitution \
        -o $substitution.tsv
done
try tree fit columns.store --sample 300 -o fitted.nh --branches branches.tsv --into fitted.store
try simulate "$tree" --length 500 --substitution mutation-selection -o simulated.maf.gz
for parts in "simulate $tree --length 40000" "fit-sites columns.store -r chrM:10500-10600" \
    "embed $data/genes.bed"; do
    verb=${parts%% *}
    # shellcheck disable=SC2086 # several arguments
    try "$verb-init" ${parts#* } --work "$verb.work" >parts
    # shellcheck disable=SC2046 # several numbers
    try "$verb-partition" "$verb.work" $(seq 0 $(($(cat parts) - 1)))
    try "$verb-finalise" "$verb.work" -o "$verb.parts.tsv"
done
try embed "$data/genes.bed" --on local:2 -o on.npz

try tracks -r chrM:3307-4262 --assembly hg38 -o tracks
try tracks-init -r chrM:3307-4262 --work tracks.work >parts
try tracks-partition tracks.work 0
try tracks-finalise tracks.work -o tracks_of_parts
try annotate "$data/clinvar_20220525_chrM_snv.vcf.gz" -o scored.vcf.gz
try annotate "$data/clinvar_20220525_chrM_snv.vcf.gz" --scores tracks -o looked_up.vcf.gz
try annotate-init "$data/clinvar_20220525_chrM_snv.vcf.gz" --partition-size 0.008 --work scored.work >parts
try annotate-partition scored.work $(seq 0 $(($(cat parts) - 1)))
try annotate-finalise scored.work -o scored_of_parts.vcf.gz
try annotate "$data/clinvar_20220525_chrM_snv.vcf.gz" --on local:2 -o scored_by_two.vcf.gz
try annotate scored.vcf.gz -o scored.bcf
try annotate scored.bcf -r chrM:3307-4262 --tag AGAIN -o again.vcf
try annotate "$data/labelled_snvs.vcf.gz" -o labelled.vcf.gz --summary-json labelled.annotate.json
try multiqc labelled.annotate.json -o mqc
try evaluate protocols >protocols.txt
try evaluate protocols clinvar:stars=2 >clinvar.txt
try evaluate prepare --protocol clinvar "$data/clinvar_20220525_chrM_snv.vcf.gz" -o clinvar.vcf.gz
try annotate clinvar.vcf.gz -o clinvar_scored.vcf.gz
try evaluate --protocol clinvar clinvar_scored.vcf.gz -o clinvar_result
try evaluate labelled.vcf.gz --label-column LABEL --positive pathogenic --negative common \
    --score PHYLOGPN_LLR:low -o evaluation
try evaluate labelled.vcf.gz --label-column LABEL --positive pathogenic --negative common -r chrM:3307-4262 \
    --score PHYLOGPN_LLR --score rate=tracks/rate.bw:low --score table=tracks/snv_scores.tsv.gz:llr --bootstrap 0 \
    -o others
printf 'chrM\tx\tCDS\t3307\t4260\t.\t+\t0\tID=ND1;transl_table=2\n' >genes.gff3
try evaluate labelled.vcf.gz --label-column LABEL --positive pathogenic --negative common \
    --gff genes.gff3 -f "$data/chrM.fa" --split-column GENE --trained-on neutral.bed -o strata
try evaluate labelled.vcf.gz --label-column AC_HOM:low --score PHYLOGPN_LLR --stratum GENE --store columns.store \
    --bootstrap 200 -o numbers
try finetune "$data/labelled_snvs.vcf.gz" -r chrM:3300-10300 --label-column LABEL \
    --positive pathogenic --negative common --groups "$data/genes.bed" -o tuned
try annotate "$data/clinvar_20220525_chrM_snv.vcf.gz" -r chrM:3307-4262 -m tuned -o tuned.vcf.gz
try design sample -r chrM:3307-3336 --keep-protein 1 -n 2 --burn-in 2 -o sampled
try design edit -r chrM:3307-3336 --motif TGACGTCA --edits 3 -o edited
for format in parquet npz zarr tsv; do
    try embed "$data/genes.bed" -o genes.$format --pca genes.$format.bed.gz
done
# Bases of both classes in each part.
printf 'chrM\t%s\n' $'3306\t5000\tone' $'5000\t6000\tother' $'6000\t8000\tone' $'8000\t9000\tother' \
    >classes.bed
try evaluate embeddings classes.bed --task bases -r chrM:3307-9000 --valid chrM:7001-8500 \
    --test chrM:8501-9000,chrM:3307-4000 --epochs 2 --baselines one-hot,gc -o judged
try plot embedding genes.parquet -o embedding
try plot logo -r chrM:3307-3366 --annotation "$data/genes.bed" -o logo
try interpret mutagenesis -r chrM:3307-3326 --annotation "$data/genes.bed" -o mutagenesis
try interpret dependencies -r chrM:3307-3326 -o dependencies
try interpret influence -r chrM:3307-3316 -o influence
cut -f 1-3 "$data/genes.bed" >genes.bed
try interpret attributions -R genes.bed --width 100 -o attributions
try plot llr labelled.vcf.gz --classes LABEL -o llr
try annotate "$data/gnomad_v3.1_chrM.vcf.gz" -r chrM:3307-4262 -o gnomad.vcf.gz
try plot frequency gnomad.vcf.gz --frequency AF_hom --allele-count AC_hom -o frequency

for shell in bash zsh fish; do
    try completion $shell >$shell.completion
done
cmp bash.completion "$home/env/share/bash-completion/completions/phylotools"
cmp zsh.completion "$home/env/share/zsh/site-functions/_phylotools"
cmp fish.completion "$home/env/share/fish/vendor_completions.d/phylotools.fish"

# The tutorial of whoever has a VCF, by someone who has the wheel and no checkout.
echo "docs/tutorial-vcf.md" >&2
mkdir "$home/tutorial"
"${offline[@]}" env -i PATH="$home/env/bin:/usr/bin:/bin" HOME="$home" OMP_NUM_THREADS=1 \
    "$home/env/bin/python" -P "$checkout/tests/oracles/documented_commands.py" \
    "$checkout/docs/tutorial-vcf.md" "$home/tutorial" 1

# What is not in a plain install says what brings it, and works once that is there.
lacks() {
    local extra=$1 expected=$2 code=0
    shift 2
    try "$@" 2>missing.txt || code=$?
    if [ $code -ne "$expected" ] || ! grep -qF "pip install 'phylotools[$extra]'" missing.txt; then
        echo "error: $* without its extra ended with $code: $(<missing.txt)" >&2
        exit 1
    fi
}
fetch=(model fetch phylogpn --revision main)
lacks hub 1 "${fetch[@]}"
lacks motifs 1 interpret motifs attributions -o motifs
lacks dask 2 embed "$data/genes.bed" --on dask:2 -o lacking.npz
lacks slurm 2 embed "$data/genes.bed" --on slurm -o lacking.npz
(cd "$home" && env/bin/pip install -q "$(echo dist/*.whl)[hub]")
lay_traps
"$home/env/bin/python" -P "$checkout/tests/local_hub.py" \
    "$checkout/tests/data/published_layouts/huggingface_layernorm" songlab/PhyloGPN \
    env -u HF_TOKEN HF_HOME="$home/hf" PHYLOTOOLS_CACHE="$home/cache" no_proxy=127.0.0.1,localhost \
    PATH="$home/env/bin" HOME="$home" OMP_NUM_THREADS=1 phylotools "${fetch[@]}" -q
[ -e "$home/cache/models/phylogpn/weights.safetensors" ]

if [ -e EXECUTED ]; then
    echo "error: code of the working folder was run: $(sort -u EXECUTED | xargs)" >&2
    exit 1
fi
"$home/env/bin/python" -P - "$home/tried" <<'PYTHON'
import pathlib, re, sys
import click, phylotools
from phylotools.cli.main import phylotools_command


def verbs(command, name):
    """Beginnings of the commands, as patterns of lines."""
    if not isinstance(command, click.Group):
        return [re.escape(name)]
    context = click.Context(command)
    parts = command.list_commands(context)
    # What names no part of such a group is its own.
    own = [f"{re.escape(name)}(?!(?:{'|'.join(parts)}) )"] if hasattr(command, "default") else []
    return sum((verbs(command.get_command(context, x), f"{name}{x} ") for x in parts), own)


tried = pathlib.Path(sys.argv[1]).read_text()
untried = [
    verb for verb in verbs(phylotools_command, "") if not re.search(f"^{verb}", tried, re.MULTILINE)
]
if untried:
    sys.exit(f"error: tests/plain_install.sh does not try {', '.join(untried)}")
pages = {path.stem for path in pathlib.Path(sys.prefix, "share/man/man1").glob("phylotools*.1")}
unwritten = [
    verb for verb in verbs(phylotools_command, "")
    if "phylotools-" + re.sub(r"\(.*", "", verb).replace("\\", "").strip().replace(" ", "-")
    not in pages
]
if unwritten:
    sys.exit(f"error: the wheel has no man page of {', '.join(unwritten)}")
if not pathlib.Path(phylotools.__file__).with_name("py.typed").is_file():
    sys.exit("error: the wheel lacks py.typed")
PYTHON
echo "every verb works after a plain install"
