"""Files of a simulation: what was drawn is what they say, by every reader."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pysam
import pytest
import torch
from Bio import AlignIO
from small_stores import build_store

from phylotools.errors import InputError, OutputError, UsageError
from phylotools.io.bases import base_codes
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.phylogeny.simulation import evolve_along, make_walk, stream_key
from phylotools.phylogeny.simulation.kernels import GAP
from phylotools.phylogeny.simulation.missing import MissingData
from phylotools.phylogeny.simulation.sites import SiteDistribution
from phylotools.phylogeny.substitution import F81, HKY, make_substitution_model
from phylotools.phylogeny.tree import Tree, parse_newick
from phylotools.provenance import sha256_file
from phylotools.simulate.maf import check_names
from phylotools.simulate.outputs import TRUTH_COLUMNS, SimulationOutputs
from phylotools.simulate.pieces import PIECE
from phylotools.simulate.run import simulate_alignment
from phylotools.simulate.sources import RandomSites
from phylotools.store import schema
from phylotools.store.read import open_store

pytestmark = pytest.mark.usefixtures("one_thread")

SEED = 11
CONTIG = "chr1"
#: Much of everything: gaps that fill blocks, absent clades, tiny blocks.
MISSING = MissingData(gap_rate=0.5, dropout_rate=2.0, dropout_length=40.0, block_length=7.0)


@pytest.fixture(scope="module")
def tree(data) -> Tree:
    return parse_newick((data / "birds53" / "53birds.nh").read_text())


def random_sites(length: int, seed: int = SEED) -> RandomSites:
    model = HKY(kappa=3.0).requires_grad_(False)
    return RandomSites(SiteDistribution(), model, contig=CONTIG, length=length, seed=seed)


class GivenSites:
    """One neutral site after another, on a sequence; regions may be chosen."""

    def __init__(self, letters: str, regions: list[Region]) -> None:
        self.model = F81()
        self.contigs = {CONTIG: len(letters)}
        self.regions = regions
        self._letters = np.frombuffer(letters.encode(), dtype=np.uint8)

    def theta(self, region: Region) -> torch.Tensor:
        return torch.zeros(len(region), 4)

    def reference(self, region: Region) -> np.ndarray:
        return self._letters[region.start : region.end]

    def describe(self) -> dict:
        return {}


def outputs(folder: Path, name: str = "out") -> SimulationOutputs:
    names = (f"{name}.maf.gz", f"{name}.tsv.gz", f"{name}.fa")
    return SimulationOutputs(*(str(folder / file) for file in names))


def expected_codes(tree: Tree, length: int) -> np.ndarray:
    """Store codes [L, S] of the simulation, from what was drawn, one letter at a time."""
    walk, key = make_walk(tree), stream_key(SEED, CONTIG)
    source = random_sites(length)
    theta = source.theta(Region(CONTIG, 0, length))
    drawn = evolve_along(
        walk, theta, source.model, key=key, start=0,
        start_states=np.full(length, 4, dtype=np.uint8),
    )  # fmt: skip
    rows = np.ascontiguousarray(drawn.states.T)
    MISSING.cut_gaps(walk, key, 0, rows)
    codes = np.full((length, tree.n_tips), schema.NO_BLOCK, dtype=np.uint8)
    for piece in range(0, length, PIECE):
        starts = MISSING.block_starts(key, piece, piece + PIECE)
        absent = MISSING.absences(walk, key, starts)
        for block, start in enumerate(starts):
            end = min([*starts[block + 1 : block + 2], piece + PIECE, length])
            for slot, tip in enumerate(walk.tip_index):
                cells = rows[slot, start:end]
                if not absent[block, slot] and (cells != GAP).any():
                    codes[start:end, tip] = cells
    return codes


@pytest.fixture(scope="module")
def simulated(tree, tmp_path_factory) -> tuple[Path, np.ndarray]:
    """A folder with out.maf.gz, out.tsv.gz and out.fa over two pieces, and the codes drawn."""
    folder, length = tmp_path_factory.mktemp("simulated"), PIECE + 2500
    simulate_alignment(
        tree, random_sites(length), outputs(folder), missing=MISSING, seed=SEED, threads=2
    )
    return folder, expected_codes(tree, length)


def test_preprocess_reads_back_exactly_what_was_drawn(simulated, tree, tmp_path):
    folder, expected = simulated
    (tmp_path / "t.nh").write_text(tree.to_newick())
    summary = build_store(
        folder / "out.maf.gz", tmp_path / "t.nh", tmp_path / "s", fasta=folder / "out.fa"
    )
    store = open_store(tmp_path / "s")
    assert store.reference_species == tree.tips[0]
    assert store.contigs == {CONTIG: len(expected)}
    np.testing.assert_array_equal(store.bases(Region(CONTIG, 0, len(expected))), expected)
    assert {0, 1, 2, 3, schema.GAP_IN_BLOCK, schema.NO_BLOCK} == set(np.unique(expected))
    assert summary.covered_positions == len(expected)
    assert summary.overlapping_positions == 0


def test_biopython_reads_the_same_alignment(simulated, tree):
    folder, expected = simulated
    codes = np.full_like(expected, schema.NO_BLOCK)
    last_end = {}
    with gzip.open(folder / "out.maf.gz", "rt") as text:
        for block in AlignIO.parse(text, "maf"):
            assert block[0].id == f"{tree.tips[0]}.{CONTIG}"
            first = block[0].annotations["start"]
            for row in block:
                species, _, contig = row.id.partition(".")
                where = row.annotations
                letters = str(row.seq)
                assert contig == CONTIG
                assert where["srcSize"] == len(expected)
                assert where["strand"] == 1
                assert where["size"] == len(letters.replace("-", ""))
                # On the coordinate of its first base; rows of a species never overlap.
                assert where["start"] == first + len(letters) - len(letters.lstrip("-"))
                assert where["start"] >= last_end.get(species, 0)
                last_end[species] = where["start"] + where["size"]
                place = tree.tips.index(species)
                codes[first : first + len(letters), place] = [
                    schema.GAP_IN_BLOCK if x == "-" else "ACGT".index(x) for x in letters
                ]
    np.testing.assert_array_equal(codes, expected)


def test_the_truth_says_what_was_drawn(simulated, tree):
    folder, expected = simulated
    source = random_sites(len(expected))
    theta = source.theta(Region(CONTIG, 0, len(expected)))
    model = source.model
    with pysam.TabixFile(str(folder / "out.tsv.gz")) as table:
        assert table.header[-1].split("\t") == list(TRUTH_COLUMNS)
        assert f"##seed={SEED}" in table.header
        whole = [line.split("\t") for line in table.fetch(CONTIG)]
        one = list(table.fetch(CONTIG, PIECE + 6, PIECE + 8))
    assert [line.split("\t")[1] for line in one] == [str(PIECE + 7), str(PIECE + 8)]
    values = {name: [line[i] for line in whole] for i, name in enumerate(TRUTH_COLUMNS)}
    assert values["pos"] == [str(p) for p in range(1, len(expected) + 1)]
    assert "".join(values["ref"]) == "".join("ACGT"[code] for code in expected[:, 0])
    assert list(map(int, values["species"])) == (expected < 4).sum(axis=1).tolist()
    found = np.array([[float(values[f"theta_{base}"][i]) for base in "ACGT"] for i in range(500)])
    np.testing.assert_allclose(found, theta[:500], rtol=1e-5, atol=1e-6)
    numbers = {
        "log_rate": model.log_rate(theta),
        "site_rate": model.site_rate(theta),
        "pi_G": model.log_equilibrium_frequencies(theta).exp()[:, 2],
    }
    for name, wanted in numbers.items():
        np.testing.assert_allclose(np.array(values[name], float), wanted, rtol=1e-5, atol=1e-6)
    # Where two species differ, something happened; where nothing happened, nobody differs.
    happened = np.array(values["substitutions"], int)
    present = expected < 4
    differs = (present & (expected != expected[:, :1])).any(axis=1)
    assert (happened[differs] > 0).all()
    assert (happened == 0).any()
    expected_number = numbers["site_rate"].sum().item() * tree.total_length
    assert happened.sum() == pytest.approx(expected_number, rel=0.02)


def test_the_fasta_is_the_reference_row(simulated):
    folder, expected = simulated
    with ReferenceGenome.open(folder / "out.fa") as genome:
        assert genome.contigs == {CONTIG: len(expected)}
        found = genome.fetch(Region(CONTIG, 0, len(expected)))
    np.testing.assert_array_equal(found, expected[:, 0])
    lines = (folder / "out.fa").read_text().splitlines()
    assert {len(line) for line in lines[1:-1]} == {60}


def test_bgzip_is_whole_and_the_index_beside_it(simulated):
    folder, _ = simulated
    assert sorted(path.name for path in folder.iterdir()) == [
        "out.fa", "out.maf.gz", "out.tsv.gz", "out.tsv.gz.tbi",
    ]  # fmt: skip
    for name in ("out.maf.gz", "out.tsv.gz"):
        data = (folder / name).read_bytes()
        assert data.endswith(
            bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
        )
        with pysam.BGZFile(str(folder / name)) as handle:
            assert handle.read() == gzip.decompress(data)


@pytest.mark.parametrize("threads", [1, 3])
def test_bytes_do_not_depend_on_threads(simulated, tree, tmp_path, threads):
    folder, expected = simulated
    simulate_alignment(
        tree, random_sites(len(expected)), outputs(tmp_path), missing=MISSING, seed=SEED,
        threads=threads,
    )  # fmt: skip
    for path in folder.glob("out.[!t]*"):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
    assert sha256_file(tmp_path / "out.tsv.gz") == sha256_file(folder / "out.tsv.gz")


def test_another_seed_gives_another_alignment(simulated, tree, tmp_path):
    folder, expected = simulated
    simulate_alignment(
        tree, random_sites(len(expected), SEED + 1), outputs(tmp_path), missing=MISSING,
        seed=SEED + 1,
    )  # fmt: skip
    assert (tmp_path / "out.fa").read_bytes() != (folder / "out.fa").read_bytes()


LETTERS = "".join(np.random.default_rng(1).choice(list("ACGTacgtNn"), PIECE + 400))


def stored(tree: Tree, folder: Path, name: str, regions: list[Region], **options):
    (folder / "t.nh").write_text(tree.to_newick())
    files = outputs(folder, name)
    files = SimulationOutputs(files.alignment, files.truth)
    simulate_alignment(tree, GivenSites(LETTERS, regions), files, seed=3, **options)
    build_store(files.alignment, folder / "t.nh", folder / f"{name}.store")
    return open_store(folder / f"{name}.store")


def test_a_part_is_as_in_the_whole(tree, tmp_path):
    """Bases, gaps and absences of a region do not depend on what else is simulated."""
    end = len(LETTERS)
    whole = stored(tree, tmp_path, "whole", [Region(CONTIG, 0, end)], missing=MISSING, threads=2)
    parts = [Region(CONTIG, 5, 6), Region(CONTIG, 700, 1013), Region(CONTIG, PIECE - 9, end)]
    cut = stored(tree, tmp_path, "parts", parts, missing=MISSING)
    assert cut.covered_regions(0) == parts
    for region in parts:
        a, b = whole.bases(region), cut.bases(region)
        # A block cut at the end of a region may lose all bases of a row: then there is no row.
        same = (a == b) | ((a == schema.GAP_IN_BLOCK) & (b == schema.NO_BLOCK))
        assert same.all()
        assert (a == b).mean() > 0.9


def test_a_given_sequence_is_the_reference_row(tree, tmp_path):
    region = Region(CONTIG, 100, 900)
    store = stored(tree, tmp_path, "given", [region], reference="taeGut2")
    assert store.reference_species == "taeGut2"
    letters = np.frombuffer(LETTERS[100:900].encode(), dtype=np.uint8)
    np.testing.assert_array_equal(
        store.bases(region)[:, store.reference_index] & schema.CODE_MASK, base_codes(letters)
    )
    # Soft-masked letters stay so; a letter that is no base leaves the others to chance.
    text = gzip.decompress((tmp_path / "given.maf.gz").read_bytes()).decode()
    rows = [line.split()[-1] for line in text.splitlines() if line.startswith("s taeGut2")]
    assert "".join(rows) == LETTERS[100:900]
    unknown = base_codes(letters) == 4
    others = store.bases(region)[unknown][:, np.array(store.species) != "taeGut2"]
    assert (others < 4).any()


def test_nothing_is_missing_where_nothing_should_be(tree, tmp_path):
    region = Region(CONTIG, 0, 300)
    plain = "ACGT" * 100
    files = SimulationOutputs(str(tmp_path / "full.maf"))
    summary = simulate_alignment(
        tree, GivenSites(plain, [region]), files, missing=MissingData().without_events()
    )
    assert summary.bases == 300 * tree.n_tips
    assert "-" not in "".join(
        line.split()[-1]
        for line in Path(files.alignment).read_text().splitlines()
        if line.startswith("s ")
    )


def test_files_appear_together_or_not_at_all(tree, tmp_path):
    class Fails(GivenSites):
        def theta(self, region):
            if region.start:
                raise InputError("the network broke")
            return super().theta(region)

    source = Fails(LETTERS, [Region(CONTIG, 0, len(LETTERS))])
    with pytest.raises(InputError, match="the network broke"):
        simulate_alignment(tree, source, outputs(tmp_path), threads=2)
    assert not list(tmp_path.iterdir())
    (tmp_path / "out.tsv.gz.tbi").touch()
    with pytest.raises(OutputError, match=r"out.tsv.gz.tbi: already exists"):
        simulate_alignment(tree, GivenSites("ACGT", [Region(CONTIG, 0, 4)]), outputs(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["out.tsv.gz.tbi"]


def test_only_the_alignment_goes_to_stdout(tree):
    with pytest.raises(UsageError, match="only the alignment"):
        simulate_alignment(tree, random_sites(10), SimulationOutputs("-", "-"))


@pytest.mark.parametrize(
    ("newick", "contig", "problem"),
    [
        ("('a b':1,c:1);", "1", "cannot name the source 'a b.1'"),
        ("(a:1,c:1);", "chr 1", "cannot name the source"),
        ("(a:1,c:1);", "#1", "cannot name the source"),
        ("(a:1,a.1:1);", "1", "could be of another species"),
        ("(a:1,a.b:1);", "b.2", "could be of another species"),
        ("((a:1,c:1)a.1:1,d:1);", "1", "could be of another species"),
    ],
)
def test_names_that_maf_cannot_tell_apart_are_refused(newick, contig, problem):
    tree = parse_newick(newick)
    with pytest.raises(InputError, match=problem):
        check_names(make_walk(tree), set(tree.names) - set(tree.tips), contig)
    check_names(make_walk(parse_newick("(a.b:1,c:1);")), set(), "chr1.2")


@pytest.mark.parametrize("name", ["gtr", "mutation-selection"])
def test_every_model_writes_its_settings(tree, tmp_path, name):
    model = make_substitution_model(name)
    source = RandomSites(SiteDistribution(), model, contig="x", length=20, seed=1)
    simulate_alignment(tree, source, SimulationOutputs(str(tmp_path / "a.maf")))
    header = (tmp_path / "a.maf").read_text().split("\na\n")[0]
    assert f'# substitution={{"model": "{name}", "exchangeabilities"' in header
    assert next(iter(AlignIO.parse(io.StringIO((tmp_path / "a.maf").read_text()), "maf")))
