from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

DATA = Path(__file__).parent / "data"
sys.path.insert(0, str(Path(__file__).parent / "oracles"))
# A shell without job control starts what it puts in the background with Ctrl-C ignored, and the
# processes of tests would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# How long an example takes says nothing on a machine that others keep busy. Examples may share the
# fixtures of their test: none of ours changes by being used.
settings.register_profile(
    "shared machine",
    settings.default,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("shared machine")


#: Folders whose tests start programs, daemons or browsers: files of few tests that take long.
_LONG = ("jobs", "clusters", "workflows", "benchmarks", "interpret", "site", "shell", "examples")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: one that is begun last is waited for, with nothing left to do meanwhile."""
    tests = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(tests).parts[0]
        return _LONG.index(folder) if folder in _LONG else len(_LONG)

    items.sort(key=place)


@pytest.fixture(scope="session", autouse=True)
def no_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees what whoever runs it has set, and no proxy the servers of tests."""
    os.environ["PHYLOTOOLS_CACHE"] = str(tmp_path_factory.mktemp("user") / "cache")
    os.environ.pop("PHYLOTOOLS_MODEL", None)
    for name in [name for name in os.environ if name.startswith("HF_")]:
        del os.environ[name]
    # torchrun has its processes meet under the machine's name, which need not lead anywhere.
    os.environ["PET_LOCAL_ADDR"] = "localhost"
    # What comes from outside, as packages do, may need the proxy.
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    direct = ",".join(filter(None, [direct, "127.0.0.1", "localhost"]))
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = direct


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory):
    """A real SLURM of two emulated nodes (`slurm_cluster.SlurmCluster`), stopped afterwards."""
    from slurm_cluster import slurm_cluster

    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of the test data."""
    return DATA


@pytest.fixture(scope="session")
def one_thread() -> None:
    """One thread for tests that compute: these machines are shared."""
    import torch

    from phylotools.threads import set_threads

    torch.set_num_threads(1)
    set_threads(1)


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Partitions of tracks may be as small as a tile."""
    from phylotools.tracks import plan

    monkeypatch.setattr(plan, "UNIT_TILES", 1)


@pytest.fixture
def file_size_limit():
    """Context manager: no file may grow beyond so many bytes, as if the disk were full."""

    @contextlib.contextmanager
    def limit(size: int):
        old = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)

    return limit


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest, one_thread: None):
    """Every device of this machine."""
    import torch

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU here")
    return torch.device(request.param)


@pytest.fixture(scope="session")
def mammals_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Column store of 30 mammals, 973 columns in three blocks of one contig."""
    from phylotools.phylogeny.tree import parse_newick

    tips = parse_newick((DATA / "mammals671" / "mammals671.nh").read_text()).tips
    kept = {"Homo_sapiens", *tips[::23][:29]}
    return _pruned_store(tmp_path_factory, "mammals671", "mammals671.nh", "mtCDS_cut.maf.gz", kept)


@pytest.fixture(scope="session")
def birds_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Column store of 14 birds with two contigs, soft-masked bases and blocks with gaps."""
    from phylotools.phylogeny.tree import parse_newick

    tips = parse_newick((DATA / "birds53" / "53birds.nh").read_text()).tips
    kept = {"galGal6", *tips[::4]}
    return _pruned_store(tmp_path_factory, "birds53", "53birds.nh", "galGal6_cut.maf.gz", kept)


def _pruned_store(factory, folder: str, tree: str, alignment: str, kept: set[str]) -> Path:
    from small_stores import build_store

    from phylotools.phylogeny.tree import parse_newick

    place = factory.mktemp(folder)
    pruned = parse_newick((DATA / folder / tree).read_text()).prune(kept)
    (place / "tree.nh").write_text(pruned.to_newick())
    build_store(DATA / folder / alignment, place / "tree.nh", place / "store", drop_unknown=True)
    return place / "store"


@pytest.fixture
def odd_store(tmp_path: Path) -> Path:
    """Two contigs, gaps, an N, lower case, and columns of the reference alone.

    contig b (positions 1-based): 3 A, 4 c, 5 N, 6 T, 7 and 8 of the reference alone, 11 to 14;
    contig a: 1 to 2.
    """
    from small_stores import build_store

    blocks = [
        ("b", 2, "AcNT", "Ac-T", "GcAN"),
        ("b", 6, "GG", "--", "NN"),
        ("b", 10, "TTAC", "TTAC", "TAAC"),
        ("a", 0, "CA", "CA", "TA"),
    ]
    text = ["##maf version=1\n"]
    for contig, start, *rows in blocks:
        size = {"a": 5, "b": 20}[contig]
        text.append("a\n")
        for species, row in zip("XYZ", rows, strict=True):
            n_bases = len(row) - row.count("-")
            name = f"X.{contig}" if species == "X" else f"{species}.chr"
            length = size if species == "X" else 1000
            text.append(f"s {name} {start} {n_bases} + {length} {row}\n")
        text.append("\n")
    (tmp_path / "odd.maf").write_text("".join(text))
    (tmp_path / "odd.nh").write_text("((X:0.3,Y:0.2):0.1,Z:0.5);")
    build_store(tmp_path / "odd.maf", tmp_path / "odd.nh", tmp_path / "odd.store")
    return tmp_path / "odd.store"
