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

# The wheel is made from the source archive: what either lacks is missed below.
"${1:-python3}" -m venv "$home/build"
"$home/build/bin/pip" install -q hatchling
(cd "$checkout" && "$home/build/bin/hatchling" build -t sdist -d "$home/dist" >/dev/null)
"$home/build/bin/pip" wheel -q --no-deps -w "$home/dist" "$home"/dist/*.tar.gz
"${1:-python3}" -m venv "$home/env"
"$home/env/bin/pip" install -q "$home"/dist/*.whl

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
    torchrun --standalone --nproc-per-node 2 --no-python phylotools train shared.toml -o shared -q
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
try fit-sites columns.store -r chrM:10500-10600 --prior mammals671-mtdna -o with_prior.tsv
for substitution in hky gtr mutation-selection; do
    try fit-sites columns.store -r chrM:10500-10600 --substitution $substitution \
        -o $substitution.tsv
done
try tree fit columns.store --sample 300 -o fitted.nh --branches branches.tsv --into fitted.store
try simulate "$tree" --length 500 --substitution mutation-selection -o simulated.maf.gz

try tracks -r chrM:3307-4262 --assembly hg38 -o tracks
try tracks-init -r chrM:3307-4262 --work tracks.work >parts
try tracks-partition tracks.work 0
try tracks-finalise tracks.work -o tracks_of_parts
try annotate "$data/clinvar_20220525_chrM_snv.vcf.gz" -o scored.vcf.gz
try annotate "$data/clinvar_20220525_chrM_snv.vcf.gz" --scores tracks -o looked_up.vcf.gz
try annotate scored.vcf.gz -o scored.bcf
try annotate scored.bcf -r chrM:3307-4262 --tag AGAIN -o again.vcf
try annotate "$data/labelled_snvs.vcf.gz" -o labelled.vcf.gz
try evaluate labelled.vcf.gz --label-column LABEL --positive pathogenic --negative common \
    --score PHYLOGPN_LLR:low -o evaluation
try finetune "$data/labelled_snvs.vcf.gz" -r chrM:3300-10300 --label-column LABEL \
    --positive pathogenic --negative common --groups "$data/genes.bed" -o tuned
try annotate "$data/clinvar_20220525_chrM_snv.vcf.gz" -r chrM:3307-4262 -m tuned -o tuned.vcf.gz
for format in parquet npz zarr tsv; do
    try embed "$data/genes.bed" -o genes.$format --pca genes.$format.bed.gz
done
try plot embedding genes.parquet -o embedding
try plot logo -r chrM:3307-3366 --annotation "$data/genes.bed" -o logo
try plot llr labelled.vcf.gz --classes LABEL -o llr
try annotate "$data/gnomad_v3.1_chrM.vcf.gz" -r chrM:3307-4262 -o gnomad.vcf.gz
try plot frequency gnomad.vcf.gz --frequency AF_hom --allele-count AC_hom -o frequency

# What is not in a plain install says what brings it, and works once that is there.
fetch=(model fetch phylogpn --revision main)
code=0
try "${fetch[@]}" 2>missing.txt || code=$?
if [ $code -ne 1 ] || ! grep -qF "pip install 'phylotools[hub]'" missing.txt; then
    echo "error: model fetch without its extra ended with $code: $(<missing.txt)" >&2
    exit 1
fi
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
import pathlib, sys
import click, phylotools
from phylotools.cli.main import phylotools_command


def verbs(command, name):
    if not isinstance(command, click.Group):
        return [name]
    context = click.Context(command)
    parts = command.list_commands(context)
    return sum((verbs(command.get_command(context, x), f"{name}{x} ") for x in parts), [])


tried = pathlib.Path(sys.argv[1]).read_text()
untried = [verb for verb in verbs(phylotools_command, "") if f"\n{verb}" not in f"\n{tried}"]
if untried:
    sys.exit(f"error: tests/plain_install.sh does not try {', '.join(untried)}")
if not pathlib.Path(phylotools.__file__).with_name("py.typed").is_file():
    sys.exit("error: the wheel lacks py.typed")
PYTHON
echo "every verb works after a plain install"
