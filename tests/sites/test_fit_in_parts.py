"""Fits in parts: the same bytes as in one go, whatever the cut."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from phylotools.cli.main import run
from phylotools.errors import InputError, OutputError, PhylotoolsError
from phylotools.io.regions import Region, RegionSet
from phylotools.jobs.engines.engine import SilentBoard, Task
from phylotools.jobs.stages import Resources, do_whole_job, finalise_job, run_partitions
from phylotools.model.registry import load_model
from phylotools.sites import plan as plan_module
from phylotools.sites.decided import Decided
from phylotools.sites.finalise import finalise
from phylotools.sites.plan import Plan, completed_plan, draft_plan
from phylotools.sites.preparation import FitSettings, prepare
from phylotools.sites.run import FitOutputs
from phylotools.sites.stages import SiteStages
from phylotools.store import columns as columns_module
from phylotools.store.columns import batches_in_order, columns_in_order
from phylotools.store.read import open_store
from phylotools.store.view import viewed

pytestmark = pytest.mark.usefixtures("one_thread")
MTDNA = Path(__file__).parents[2] / "examples/human_mtdna/data"


@pytest.fixture
def small_batches(monkeypatch):
    """Batches of so few columns that small stores have many."""
    for module in (columns_module, plan_module):
        monkeypatch.setattr(module, "BATCH_COLUMNS", 150)
    monkeypatch.setattr(columns_module, "_READ", 64)


def whole_and_parts(folder: Path, store: Path, size: int, *options: str) -> list[int]:
    """Fit in one go and in parts, here; the files must be the same. Returns the partitions."""
    outputs = ("table.tsv.gz", "table.tsv.gz.tbi")
    outputs += tuple(f"t.{name}.bw" for name in ("conservation", "rate", "llr_mean"))
    one, parts, work = folder / "one", folder / "parts", folder / "w"
    for place in (one, parts):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
    shutil.rmtree(work, ignore_errors=True)

    def files(place: Path) -> list[str]:
        names = {"-o": "table.tsv.gz", "--bigwig": "t", "--summary-json": "summary.json"}
        return [text for key, name in names.items() for text in (key, str(place / name))]

    assert run(["fit-sites", str(store), *options, *files(one), "-q"]) == 0
    size_options = ["--partition-size", str(size), "--work", str(work)]
    assert run(["fit-sites-init", str(store), *options, *size_options, "-q"]) == 0
    n = len(json.loads((work / "plan.json").read_text())["extents"])
    indices = [*range(1, n, 2), *range(0, n, 2)]
    assert run(["fit-sites-partition", str(work), *map(str, indices), "-q"]) == 0
    assert run(["fit-sites-finalise", str(work), *files(parts), "-q"]) == 0
    for name in outputs:
        assert (one / name).read_bytes() == (parts / name).read_bytes(), name
    told = [json.loads((place / "summary.json").read_text()) for place in (one, parts)]
    differing = {key for key in told[0] if told[0][key] != told[1][key]}
    # Warnings of the whole are the init's.
    assert differing <= {"verb", "output", "outputs", "tracks", "seconds", "warnings"}
    return indices


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (400, ["--substitution", "mutation-selection", "--learn-shared", "--strand-symmetric",
               "--sample", "60"]),
        (1, ["--per-allele", "--rate", "free", "--sample", "60", "--clade", "Homo_sapiens"]),
        (1, ["--substitution", "hky", "--rate", "fixed", "--sample", "60", "-r",
             "{contig}:{a}-{b}", "-r", "{contig}:{c}"]),
    ],
    ids=["learned", "alleles of a clade", "regions"],
)  # fmt: skip
def test_the_same_bytes_whatever_the_cut(mammals_store, tmp_path, small_batches, size, options):
    store = open_store(mammals_store)
    contig = next(iter(store.contigs))
    first = int(store.intervals(contig)[0, 0])
    if "--clade" in options:
        options = [*options[:-1], f"{store.tree.tips[0]},{store.reference_species}"]
    places = {"contig": contig, "a": first + 20, "b": first + 90, "c": first + 201}
    options = [text.format(**places) for text in options]
    assert len(whole_and_parts(tmp_path, mammals_store, size, *options)) > 1


def test_contigs_gaps_and_lone_species(odd_store, birds_store, tmp_path, monkeypatch):
    assert len(whole_and_parts(tmp_path, odd_store, 1)) == 1
    for module in (columns_module, plan_module):
        monkeypatch.setattr(module, "BATCH_COLUMNS", 2)
    monkeypatch.setattr(columns_module, "_READ", 3)
    assert len(whole_and_parts(tmp_path, odd_store, 1)) == 4
    # A row of its own for the reference, which a FASTA may contradict.
    assert len(whole_and_parts(tmp_path, odd_store, 3, "-r", "b:4-12")) > 1


@pytest.mark.parametrize("clade", [(), ("galGal6", "taeGut2")])
def test_batches_are_known_without_their_columns(birds_store, small_batches, clade):
    store = open_store(birds_store)
    if clade and not set(clade) <= set(store.species):
        clade = (store.reference_species, store.species[-1])
    store = viewed(store, clade)
    contigs = sorted(store.contigs)
    some = RegionSet.of(
        Region(contigs[0], int(start), int(start) + 333)
        for start in store.intervals(contigs[0])[:, 0]
    )
    for regions in (None, some):
        batches = list(columns_in_order(store, regions))
        found = list(batches_in_order(store, regions))
        assert [n for _, n in found] == [sum(map(len, batch)) for batch in batches]
        for (bounds, _), batch in zip(found, batches, strict=True):
            own = RegionSet.of(bounds) if regions is None else RegionSet.of(bounds) & regions
            (again,) = columns_in_order(store, own)
            assert [c.contig for c in again] == [c.contig for c in batch]
            for one, other in zip(again, batch, strict=True):
                assert (one.position == other.position).all()
                assert (one.states == other.states).all()


@pytest.mark.parametrize("name", ["f81", "mutation-selection"])
def test_what_was_decided_is_the_same_to_the_last_bit(mammals_store, name):
    store = open_store(mammals_store)
    shared = {} if name in ("f81", "hky") else {"strand_symmetric": True}
    rate = "fitted" if name == "f81" else "free"
    prepared = prepare(store, FitSettings(name, shared, learn_shared=True, rate=rate, sample=40))
    assert bool(prepared.trials) == (name == "f81")
    decided = Decided.of(prepared)
    again = decided.preparation(prepared.plans, None, None)
    state = again.model.state_dict()
    assert prepared.model.state_dict().keys() == state.keys()
    assert all((value == state[key]).all() for key, value in prepared.model.state_dict().items())
    assert again.model.settings() == prepared.model.settings()
    assert (again.neutral == prepared.neutral).all()
    assert again.neutral.dtype == prepared.neutral.dtype
    for field in ("prior", "background", "held_out", "held_out_log_likelihood", "trials"):
        assert getattr(again, field) == getattr(prepared, field)


def test_a_networks_prior_in_parts(mammals_store, tmp_path, small_batches):
    regions = ["-r", "chrM:10500-10700", "--sample", "60", "--rate-sd", "1", "--rate", "prior"]
    fasta = ["-f", str(MTDNA / "chrM.fa"), "--prior", "mammals671-mtdna"]
    contigs = open_store(mammals_store).contigs
    assert "chrM" in contigs
    assert len(whole_and_parts(tmp_path, mammals_store, 1, *regions, *fasta)) > 1


class HereAndKilled:
    """An engine that runs partitions in this process, until it is killed."""

    name, n_workers = "here", 2

    def __init__(self, n_left: int) -> None:
        self.n_left = n_left
        self.ran: list[int] = []

    def run(self, task: Task, indices, is_done, board) -> None:
        for index in indices:
            if not self.n_left:
                raise KeyboardInterrupt
            self.n_left -= 1
            self.ran.append(index)
            run_partitions(SiteStages(), task.work, [index], Resources(1))


def drafted(store, **options) -> tuple[Plan, object]:
    opened = open_store(store)
    return draft_plan(opened, FitSettings(sample=100), None, **options), opened


def test_gone_on_with_and_refused(mammals_store, tmp_path, small_batches):
    stages = SiteStages()
    folder = stages.folder(tmp_path / "w")
    draft, store = drafted(mammals_store)
    plan = completed_plan(draft, store, partition_sites=300)
    outputs = FitOutputs(str(tmp_path / "o.tsv"))
    finish = lambda folder, job: finalise(folder, job, outputs)  # noqa: E731
    do = lambda job, engine: do_whole_job(  # noqa: E731
        stages, folder, job, finish, Resources(1), engine=engine, board=SilentBoard()
    )
    assert folder.earlier(draft) is None
    with pytest.raises(KeyboardInterrupt):
        do(plan, HereAndKilled(2))
    # What was decided is not decided again.
    earlier = folder.earlier(draft)
    assert earlier is not None
    assert dataclasses.replace(earlier, run=plan.run) == plan
    other, _ = drafted(mammals_store, per_allele=True)
    with pytest.raises(OutputError, match="parts of another run"):
        folder.earlier(other)
    damaged = folder.path / "pieces" / "000000" / "data.bin"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(PhylotoolsError, match="partitions are missing: 2"):
        finalise_job(stages, folder.path, finish)
    changed = dataclasses.replace(plan, fingerprint="0" * 64)
    with pytest.raises(InputError, match="has changed since the plan was made"):
        changed.check_inputs()
    rest = HereAndKilled(9)
    summary = do(plan, rest)
    assert rest.ran == [0, *range(2, plan.n_partitions)]
    assert summary.n_sites == 973
    assert not folder.path.exists()
    assert run(["fit-sites", str(mammals_store), "--sample", "100", "-o", str(tmp_path / "1.tsv"),
                "-q"]) == 0  # fmt: skip
    assert (tmp_path / "o.tsv").read_bytes() == (tmp_path / "1.tsv").read_bytes()


def test_streams_are_refused(mammals_store, capsys):
    assert run(["fit-sites", str(mammals_store), "--on", "local:2"]) == 2
    assert "name a file with -o" in capsys.readouterr().err
    assert run(["fit-sites", str(mammals_store), "--work", "w"]) == 2
    assert "--work has no meaning without --on" in capsys.readouterr().err


def test_a_model_that_was_exchanged_is_noticed(mammals_store, tmp_path, small_batches):
    model = load_model("mammals671-mtdna", "cpu")
    planned = plan_module.PlannedModel.of(model)
    assert planned.load("cpu").sha256 == model.sha256
    with pytest.raises(InputError, match="has changed since the plan was made"):
        dataclasses.replace(planned, sha256="0" * 64).load("cpu")
