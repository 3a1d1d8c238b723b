"""The pages on PhyloGPN and on tracks of hg38, run from their first command to their last.

The network, its hub and the genome are small ones of this machine: two chromosomes of hg38 under
their names and in their lengths, with bases where the variants lie.
"""

from __future__ import annotations

import gzip
import os
import random
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import local_hub
import pytest
from documented_commands import shell, shell_blocks, write_program
from field_tools import require

from phylotools.io.chromosomes import BY_NAME
from phylotools.model.published.catalogue import KNOWN

ROOT = Path(__file__).parents[2]
PAGES = {name: ROOT / name for name in ("docs/phylogpn.md", "docs/hg38-tracks.md", "README.md")}
LAYOUT = ROOT / "tests" / "data" / "published_layouts" / "huggingface_layernorm"
CHRM = ROOT / "examples" / "human_mtdna" / "data" / "chrM.fa"
#: Where chr22 has bases.
START, N_BASES = 19_900_000, 200_000
BASES = "".join(random.Random(1).choices("ACGT", k=N_BASES))
CONSEQUENCES = ("missense_variant", "synonymous_variant", "intron_variant")
HEADER = """##fileformat=VCFv4.2
{contigs}##FILTER=<ID=LowQual,Description="low quality">
##INFO=<ID=gnomAD_AF,Number=A,Type=Float,Description="frequency">
##INFO=<ID=CSQ,Number=.,Type=String,Description="Allele|Consequence">
##INFO=<ID=CLNSIG,Number=.,Type=String,Description="significance">
##INFO=<ID=MC,Number=.,Type=String,Description="consequence">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
"""


def chromosome(length: int) -> str:
    return "N" * START + BASES + "N" * (length - START - N_BASES)


def write_fasta(path: Path, contigs: dict[str, str]) -> None:
    with path.open("w") as handle:
        for name, letters in contigs.items():
            lines = (letters[k : k + 60] for k in range(0, len(letters), 60))
            handle.write(f">{name}\n" + "\n".join(lines) + "\n")


def write_vcf(path: Path, assembly: str, lines: list[str]) -> None:
    """Packed and indexed."""
    lengths = BY_NAME[assembly].lengths.items()
    contigs = "".join(f"##contig=<ID=chr{name},length={n}>\n" for name, n in lengths)
    contigs += "##contig=<ID=chrM,length=16569>\n"
    plain = path.with_suffix("")
    plain.write_text(HEADER.format(contigs=contigs) + "".join(lines))
    done = shell(
        f"bcftools view -O z -o {path.name} {plain.name} && tabix {path.name}", path.parent
    )
    assert done.returncode == 0, done.stderr
    plain.unlink()


def variants(*, labels: bool = False) -> list[str]:
    """Records of every kind that the page speaks of."""
    rng, lines = random.Random(2), []
    for place in range(30_000, 170_000, 397):
        ref = BASES[place]
        others = rng.sample([base for base in "ACGT" if base != ref], 2)
        number = len(lines)
        alts = others if number % 9 == 0 else others[:1]
        if number % 11 == 0:
            ref, alts = BASES[place : place + 3], [BASES[place]]
        info = [f"CSQ={alts[0]}|{CONSEQUENCES[number % 3]}", f"MC=SO:1|{CONSEQUENCES[number % 3]}"]
        if number % 4:
            info.append("gnomAD_AF=" + ",".join(f"{rng.random() ** 8:.2g}" for _ in alts))
        if labels:
            info.append("CLNSIG=" + ("Pathogenic", "Benign", "Likely_benign")[number % 7 % 3])
        status = "LowQual" if number % 10 == 0 else "PASS"
        columns = ["chr22", START + place + 1, ".", ref, ",".join(alts), ".", status]
        lines.append("\t".join(map(str, columns)) + "\t" + ";".join(info) + "\n")
    letters = "".join(CHRM.read_text().splitlines()[1:])
    for place in (3307, 8000):
        alt = "A" if letters[place] != "A" else "G"
        lines.append(f"chrM\t{place + 1}\t.\t{letters[place]}\t{alt}\t.\tPASS\t.\n")
    return lines


def write_inputs(folder: Path) -> None:
    """The files that the pages name, and the programs that would ask the network for more."""
    hg38, hg19 = (BY_NAME[name].lengths["22"] for name in ("hg38", "hg19"))
    chrm = "".join(CHRM.read_text().splitlines()[1:])
    download = folder / "web/hgdownload.soe.ucsc.edu/goldenPath/hg38/bigZips/hg38.fa.gz"
    download.parent.mkdir(parents=True)
    write_fasta(folder / "genome.fa", {"chr22": chromosome(hg38), "chrM": chrm})
    with gzip.open(download, "wb", compresslevel=1) as packed:
        packed.write((folder / "genome.fa").read_bytes())
    (folder / "genome.fa").unlink()
    write_fasta(folder / "hg19.fa", {"chr22": chromosome(hg19)})
    nuclear = [line for line in variants() if line.startswith("chr22")]
    write_vcf(folder / "in.vcf.gz", "hg38", variants())
    write_vcf(folder / "in.hg19.vcf.gz", "hg19", nuclear)
    write_vcf(folder / "clinvar.vcf.gz", "hg38", variants(labels=True))
    oracles = os.pathsep.join(map(str, (ROOT / "tests" / "oracles", ROOT)))
    start = f"PYTHONPATH={oracles} exec {sys.executable} -m"
    write_program(folder, "phylotools", f'{start} small_release "$@"')
    write_program(folder, "wget", f'cp "{folder}/web/${{1#https://}}" .')
    write_program(folder, "pip", f'echo "$@" > "{folder}/pip.txt"')
    # pysam holds the code of samtools.
    code = "import pysam, sys; getattr(pysam, sys.argv[1])(*sys.argv[2:], catch_stdout=False)"
    write_program(folder, "samtools", f'exec {sys.executable} -c "{code}" "$@"')


def commands_of(page: str) -> list[str]:
    """The blocks of a page that are run; what one of four machines does is done for all."""
    blocks = shell_blocks(PAGES[page])
    if page == "README.md":
        return blocks[0].splitlines()[1:4]  # behind the installation
    shares = "machine=0 machines=4"
    return [
        block.replace(shares, f"machine={number} machines=4")
        for block in blocks
        for number in range(4 if shares in block else 1)
    ]


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of someone who has nothing yet; the hub answers on this machine."""
    home = tmp_path_factory.mktemp("someone")
    with local_hub.running_hub() as hub, pytest.MonkeyPatch.context() as patch:
        known = KNOWN["phylogpn"]
        files = {path.name: path.read_bytes() for path in LAYOUT.iterdir()}
        hub.add(known.repository, known.revision, files)
        for name in list(os.environ):
            ours = ("HF_", "PHYLOTOOLS_", "XDG_")
            if name.startswith(ours) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        patch.setenv("HF_ENDPOINT", hub.url)
        yield home


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    """What commands said on stderr."""
    return {}


@pytest.fixture(scope="module")
def work(user: Path, told: dict[str, str]) -> Path:
    """The folder after every command of both pages, one after the other."""
    require("bcftools", "tabix")
    folder = user / "work"
    folder.mkdir()
    write_inputs(folder)
    for page in ("docs/phylogpn.md", "docs/hg38-tracks.md"):
        for block in commands_of(page):
            done = shell(block, folder)
            assert done.returncode == 0, (block, done.stderr)
            assert "Traceback" not in done.stderr
            assert not re.search(r"^error", done.stderr, flags=re.MULTILINE)
            told[block] = done.stderr
    return folder


def records(path: Path) -> list[tuple[list[str], dict[str, str]]]:
    """Columns and INFO of the records of a packed VCF."""
    with gzip.open(path, "rt") as handle:
        rows = [line.rstrip("\n").split("\t") for line in handle if line[0] != "#"]
    return [(row, dict(entry.partition("=")[::2] for entry in row[7].split(";"))) for row in rows]


def without_figures(line: str) -> str:
    """A line of the log without its numbers, and without the contigs that a file is on."""
    return re.sub(r"[0-9][0-9,.]*", "#", re.sub(r"is on .*, which", "is on #, which", line))


def ranking(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text().splitlines()]


def test_the_installation_names_an_extra_that_exists(work: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    called = (work / "pip.txt").read_text().split()
    assert called[:3] == ["install", "-c", "constraints.txt"]
    assert (ROOT / "constraints.txt").exists()
    extra = project["optional-dependencies"][called[3].removeprefix(".[").removesuffix("]")]
    assert any(name.startswith("huggingface_hub") for name in extra)


def test_every_variant_is_scored_as_the_page_says(work: Path, told: dict[str, str]) -> None:
    scored = records(work / "scored.vcf.gz")
    assert [row[:7] for row, _ in scored] == [row[:7] for row, _ in records(work / "in.vcf.gz")]
    fields = {field for _, info in scored for field in info if field.startswith("PHYLOGPN")}
    table = (ROOT / "docs/phylogpn.md").read_text().split("## What the numbers mean")[1]
    assert fields == set(re.findall(r"^\| `(PHYLOGPN_\w+)`", table, flags=re.MULTILINE))
    header = shell("bcftools view -h scored.vcf.gz", work).stdout
    assert 'Model="phylogpn"' in header
    assert 'DefaultScore="fixation"' in header
    (said,) = [text for block, text in told.items() if block.endswith("-o scored.vcf.gz\n")
               and block.startswith("phylotools annotate in.vcf.gz -o")]  # fmt: skip
    shown = re.findall(r"^phylotools: info: .*\n", PAGES["docs/phylogpn.md"].read_text(), re.M)
    assert len(shown) == 2
    # On a machine whose loops are compiled already, as at the second call of the page's reader.
    lines = [line for line in said.splitlines(keepends=True) if ": compiling loops" not in line]
    assert [without_figures(line) for line in shown] == [without_figures(line) for line in lines]


def test_what_is_common_or_failed_a_filter_is_left_out(work: Path) -> None:
    kept = records(work / "rare.scored.vcf.gz")
    split = shell("bcftools norm -m -any in.vcf.gz -O z -o split.vcf.gz --force", work)
    assert split.returncode == 0, split.stderr
    expected = [
        row[:5] for row, info in records(work / "split.vcf.gz")
        if row[6] == "PASS" and not float(info.get("gnomAD_AF", 0)) >= 0.01
    ]  # fmt: skip
    assert [row[:5] for row, _ in kept] == expected
    assert 50 < len(kept) < len(records(work / "in.vcf.gz"))
    assert any("gnomAD_AF" not in info for _, info in kept)


def test_the_list_is_ranked(work: Path) -> None:
    eligible = [
        (row, info) for row, info in records(work / "rare.scored.vcf.gz")
        if info["PHYLOGPN_STATUS"] == "ok"
    ]  # fmt: skip
    ranked = ranking(work / "ranked.tsv")
    assert sorted(row[:4] for row in ranked) == sorted(
        [row[0], row[1], row[3], row[4]] for row, _ in eligible
    )
    assert len(ranked) > 50
    scores = [float(row[4]) for row in ranked]
    assert scores == sorted(scores)
    assert scores[0] < scores[-1]
    by_allele = {(row[1], row[4]): info for row, info in eligible}
    for row in ranked:
        info = by_allele[row[1], row[3]]
        for text, field in zip(row[4:], ("FIXATION", "LLR", "RATE"), strict=True):
            assert float(text) == pytest.approx(float(info["PHYLOGPN_" + field]), rel=1e-5)


def test_each_consequence_has_its_own_list(work: Path) -> None:
    found: Counter[str] = Counter()
    for name in CONSEQUENCES:
        ranked = ranking(work / f"ranked.{name}.tsv")
        scores = [float(row[4]) for row in ranked]
        assert scores == sorted(scores)
        found[name] = len(ranked)
    eligible = Counter(
        info["CSQ"].partition("|")[2] for _, info in records(work / "rare.scored.vcf.gz")
        if info["PHYLOGPN_STATUS"] == "ok" and "CSQ" in info
    )  # fmt: skip
    assert found == eligible
    assert min(found.values()) > 20


def test_the_mitochondrion_has_a_model_of_its_own(work: Path) -> None:
    rows = records(work / "chrM.vcf.gz")
    assert [row[0] for row, _ in rows] == ["chrM", "chrM"]
    assert "mammals671-mtdna" in shell("bcftools view -h chrM.vcf.gz", work).stdout
    assert all(info["PHYLOGPN_STATUS"] == "ok" for _, info in rows)


def test_a_file_of_another_assembly_is_refused_and_can_be_scored_on_its_own(work: Path) -> None:
    done = shell("phylotools annotate in.hg19.vcf.gz -o refused.vcf.gz", work)
    assert done.returncode == 1
    assert "hg19" in done.stderr.splitlines()[-1]
    assert not (work / "refused.vcf.gz").exists()
    scored = records(work / "hg19.scored.vcf.gz")
    assert len(scored) == len(records(work / "in.hg19.vcf.gz"))
    assert all(info["PHYLOGPN_STATUS"] != "ref_mismatch" for _, info in scored)


def test_the_evaluation_compares_both_scores_within_classes(work: Path) -> None:
    rows = (work / "evaluation" / "metrics.tsv").read_text().splitlines()
    for name in ("PHYLOGPN_FIXATION", "PHYLOGPN_LLR", *CONSEQUENCES):
        assert any(name in row for row in rows), name


def test_tracks_by_four_machines_are_those_of_one(work: Path) -> None:
    one, four = work / "hg38-tracks", work / "hg38-by-four"
    names = sorted(path.name for path in one.glob("*.bw"))
    assert names == sorted(path.name for path in four.glob("*.bw"))
    assert len(names) == 6
    for name in names:
        assert (one / name).read_bytes() == (four / name).read_bytes()
    assert (work / "gene-tracks" / "igv.html").exists()
    assert (one / "hub.txt").exists()
    length = BY_NAME["hg38"].lengths["22"]
    assert (work / "hg38.partitions").read_text() == f"{-(-length // (1 << 20))}\n"


def test_scores_looked_up_are_those_computed(work: Path) -> None:
    looked_up, scored = (records(work / name) for name in ("looked-up.vcf.gz", "scored.vcf.gz"))
    n_compared = 0
    for (row, found), (other, expected) in zip(looked_up, scored, strict=True):
        assert row[:7] == other[:7]
        assert found["PHYLOGPN_STATUS"] == expected["PHYLOGPN_STATUS"]
        for field in ("PHYLOGPN_LLR", "PHYLOGPN_FIXATION"):
            for value, wanted in zip(
                found.get(field, ".").split(","), expected.get(field, ".").split(","), strict=True
            ):
                assert (value == ".") == (wanted == ".")
                if value != ".":
                    assert float(value) == pytest.approx(float(wanted), abs=1e-3)
                    n_compared += 1
    assert n_compared > 500


def test_the_first_lines_of_the_readme(user: Path, work: Path) -> None:
    """As someone finds it who has hg38.fa and a VCF, and nothing else."""
    folder = user / "readme"
    (folder / "bin").mkdir(parents=True)
    for name in ("hg38.fa", "hg38.fa.fai", "in.vcf.gz", "in.vcf.gz.tbi", "bin/phylotools"):
        (folder / name).symlink_to(work / name)
    lines = commands_of("README.md")
    assert [line.split()[1] for line in lines] == ["model", "annotate", "tracks"]
    for line in lines:
        done = shell(f"export PHYLOTOOLS_CACHE={folder}/cache; {line}", folder)
        assert done.returncode == 0, (line, done.stderr)
    assert 'Model="phylogpn"' in shell("bcftools view -h scored.vcf.gz", folder).stdout
    assert (folder / "tracks" / "igv.html").exists()
    assert records(folder / "scored.vcf.gz") == records(work / "scored.vcf.gz")
