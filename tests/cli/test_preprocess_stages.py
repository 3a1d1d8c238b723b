"""The same store from one command, from stages, in partitions, threads, and after a failure."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from phylotools.cli.main import run
from phylotools.io.regions import Region
from phylotools.store.read import open_store

DATA = Path(__file__).parents[1] / "data"
MAF = DATA / "maf_edge_cases" / "birds_plain.maf"
TREE = DATA / "birds53" / "53birds.nh"
CUT = DATA / "birds53" / "galGal6_cut.maf.gz"


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a store, without the record of the run."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            if path == folder / "zarr.json":
                document = json.loads(data)
                del document["attributes"]["run"], document["attributes"]["inputs"]
                data = json.dumps(document).encode()
            found[str(path.relative_to(folder))] = data
    return found


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.maf").write_bytes(MAF.read_bytes())
    assert run(["preprocess", "a.maf", "--tree", str(TREE), "-o", "whole", "-q"]) == 0
    return tmp_path


def test_stages_in_any_order_give_the_same_store(workplace, capsys):
    arguments = ["preprocess-init", "a.maf", "--tree", str(TREE), "--work", "w", "-q"]
    # The file is smaller than a megabyte: one partition; the API cuts smaller below.
    assert run(arguments) == 0
    assert capsys.readouterr().out == "1\n"
    assert run(["preprocess-finalise", "w", "-o", "out"]) == 1
    assert "1 of 1 partitions are missing: 0;" in capsys.readouterr().err
    assert run(["preprocess-partition", "w", "1"]) == 2
    assert run(["preprocess-partition", "w", "0"]) == 0
    assert run(["preprocess-partition", "w", "0", "0"]) == 0
    assert run(["preprocess-finalise", "w", "-o", "out", "--summary-json", "s.json"]) == 0
    assert files_of(Path("out")) == files_of(Path("whole"))
    assert json.loads(Path("s.json").read_text())["covered_positions"] == 443
    assert Path("w/plan.json").exists()


@pytest.mark.parametrize(
    ("workers", "threads", "n_partitions"),
    [(None, 1, 15), (None, 4, 16), (2, 1, 16), (3, 1, 15), (2, 4, 32), (2, None, 64)],
)
def test_threads_have_equally_many_partitions(
    tmp_path, monkeypatch, workers, threads, n_partitions
):
    from phylotools.io.alignment.spans import cut
    from phylotools.jobs.engines.local import LocalEngine
    from phylotools.jobs.stages import Resources
    from phylotools.preprocess.stages import build_store

    for module in ("phylotools.jobs.engines.local", "phylotools.preprocess.stages"):
        monkeypatch.setattr(f"{module}.n_cores", lambda: 16)
    with (tmp_path / "a.maf").open("wb") as handle:
        handle.write(b"##maf version=1\n")
        handle.truncate(4_000_000_000)
    engine = None if workers is None else LocalEngine(workers, gpus=list)
    made = []

    def stop(*args, partition_bytes):
        made.append(partition_bytes)
        raise KeyboardInterrupt

    monkeypatch.setattr("phylotools.preprocess.stages.make_plan", stop)
    with pytest.raises(KeyboardInterrupt):
        build_store(
            [str(tmp_path / "a.maf")], str(TREE), tmp_path / "s",
            resources=Resources(threads), engine=engine,
        )  # fmt: skip
    assert len(cut(str(tmp_path / "a.maf"), made[0])) == n_partitions


def test_partitions_by_the_api(workplace):
    from phylotools.jobs.stages import Resources, run_partitions
    from phylotools.preprocess.plan import Settings
    from phylotools.preprocess.stages import PreprocessStages, finalise_planned, init_work

    plan = init_work(["a.maf"], str(TREE), "w", Settings(), partition_bytes=1000)
    assert len(plan.extents) > 10
    for index in np.random.default_rng(1).permutation(len(plan.extents)).tolist():
        run_partitions(PreprocessStages(), "w", [index], Resources(1))
    finalise_planned("w", "out")
    assert files_of(Path("out")) == files_of(Path("whole"))


@pytest.mark.parametrize("storage", ["plain", "bgzip", "gzip", "stdin", "two files"])
@pytest.mark.parametrize("threads", [1, 3])
def test_storage_and_threads_do_not_matter(workplace, storage, threads):
    from phylotools.jobs.stages import Resources
    from phylotools.preprocess.stages import build_store

    alignments = ["a.maf"]
    if storage in ("bgzip", "gzip"):
        from phylotools.io.bgzf import BgzfWriter

        if storage == "gzip":
            Path("a.maf.gz").write_bytes(gzip.compress(Path("a.maf").read_bytes()))
        else:
            with open("a.maf.gz", "wb") as handle:
                writer = BgzfWriter(handle)
                writer.write(Path("a.maf").read_bytes())
                writer.finish()
        alignments = ["a.maf.gz"]
    elif storage == "two files":
        text = Path("a.maf").read_text()
        cut = text.index("\na ", len(text) // 2) + 1
        Path("1.maf").write_text(text[:cut])
        Path("2.maf").write_text(text[cut:])
        alignments = ["1.maf", "2.maf"]
    if storage == "stdin":
        command = [
            sys.executable,
            "-m",
            "phylotools",
            "preprocess",
            "--tree",
            str(TREE),
            "-o",
            "out",
            "-q",
        ]
        with open("a.maf", "rb") as handle:
            subprocess.run([*command, "-@", str(threads)], stdin=handle, check=True)
    else:
        build_store(alignments, str(TREE), "out", resources=Resources(threads), partition_bytes=700)
    assert files_of(Path("out")) == files_of(Path("whole"))
    assert not Path("out.work").exists()


def test_lines_of_messages_count_from_the_start_of_the_file(workplace, capsys):
    from phylotools.errors import InputError
    from phylotools.jobs.stages import Resources
    from phylotools.preprocess.stages import build_store

    lines = Path("a.maf").read_text().splitlines()
    number = max(i for i, line in enumerate(lines) if line.startswith("s "))
    lines[number] = lines[number][:-1] + "1"
    Path("bad.maf").write_text("\n".join(lines) + "\n")
    for partition_bytes in (700, 1 << 30):
        with pytest.raises(InputError) as caught:
            build_store(
                ["bad.maf"], str(TREE), "bad", partition_bytes=partition_bytes,
                resources=Resources(2),
            )  # fmt: skip
        assert caught.value.line == number + 1
    assert not Path("bad").exists()
    assert not Path("bad.work").exists()


def test_an_interrupted_run_goes_on(workplace, monkeypatch, caplog):
    from phylotools.preprocess import stages

    finalise, calls = stages.finalise, []

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return finalise(*arguments, **options)

    monkeypatch.setattr(stages, "finalise", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stages.build_store(["a.maf"], str(TREE), "out", partition_bytes=3000)
    pieces = {path.name: path.stat().st_mtime_ns for path in Path("out.work/pieces").iterdir()}
    assert len(pieces) == 5
    # Another job does not take its place.
    from phylotools.errors import OutputError
    from phylotools.preprocess.plan import Settings

    with pytest.raises(OutputError, match="another run"):
        stages.build_store(["a.maf"], str(TREE), "out", Settings(duplicates="first"))
    shutil.rmtree("out.work/pieces/000002")
    stages.build_store(["a.maf"], str(TREE), "out")
    assert files_of(Path("out")) == files_of(Path("whole"))
    assert not Path("out.work").exists()


def test_a_changed_input_is_noticed_between_stages(workplace, capsys):
    assert run(["preprocess-init", "a.maf", "--tree", str(TREE), "--work", "w", "-q"]) == 0
    Path("a.maf").write_bytes(MAF.read_bytes() + b"\n")
    assert run(["preprocess-partition", "w", "0"]) == 1
    assert "a.maf: has changed since the plan was made" in capsys.readouterr().err


def test_a_damaged_work_folder_is_one_line(workplace, capsys):
    assert run(["preprocess-init", "a.maf", "--tree", str(TREE), "--work", "w", "-q"]) == 0
    assert run(["preprocess-partition", "w", "0", "-q"]) == 0
    capsys.readouterr()
    damages = {
        "w/pieces/000000/piece.json": [b"{}", b"[]", b"\xff"],
        "w/pieces/000000/index.npy": [b"", b"\x93NUMPY nonsense"],
        "w/pieces/000000/data.bin": [b"", bytes(100_000)],
        "w/plan.json": [
            *(b"", b"[]", b"{}", b"\xff"),
            b'{"format": "phylotools-preprocess-plan", "version": 2}',
            Path("w/plan.json").read_bytes().replace(b'"start": 0', b'"start": null'),
        ],
    }
    for name, contents in damages.items():
        good = Path(name).read_bytes()
        flipped = bytes([good[0] ^ 1]) + good[1:]
        for content in [*contents, flipped]:
            Path(name).write_bytes(content)
            assert run(["preprocess-finalise", "w", "-o", "out"]) == 1
            (error,) = capsys.readouterr().err.splitlines()
            is_piece = name.startswith("w/pieces")
            assert error.startswith("error: w: piece 0 is damaged: run it again" if is_piece else
                                    "error: w/plan.json: is ")  # fmt: skip
            assert not Path("out").exists()
        if is_piece:
            assert run(["preprocess-partition", "w", "0"]) == 0
            assert "piece 0 is damaged and is made again" in capsys.readouterr().err
            assert Path(name).read_bytes() == good
        else:
            Path(name).write_bytes(good)
    assert run(["preprocess-finalise", "w", "-o", "out", "-q"]) == 0
    assert files_of(Path("out")) == files_of(Path("whole"))


def test_a_work_folder_of_someone_else_is_left_alone(workplace, capsys):
    Path("out.work").mkdir()
    Path("out.work/thesis.tex").write_text("years of work")
    assert run(["preprocess", "a.maf", "--tree", str(TREE), "-o", "out"]) == 1
    assert "thesis.tex" in capsys.readouterr().err
    assert Path("out.work/thesis.tex").read_text() == "years of work"


def columns(path):
    store = open_store(path)
    return {
        (region.contig, region.start + i): row
        for region in store.covered_regions(0)
        for i, row in enumerate(store.bases(region).tolist())
    }


def test_regions_and_excluded_positions(workplace):
    whole = columns("whole")
    positions = sorted(whole)
    contig, first = positions[20]
    Path("in.bed").write_text(f"{contig[3:]}\t{first}\t{first + 60}\n")
    Path("out.bed").write_text(f"{contig}\t{first + 10}\t{first + 12}\n")
    base = ["preprocess", "a.maf", "--tree", str(TREE), "-q", "--force", "-o", "part"]
    assert run([*base, "-R", "in.bed", "--exclude", "out.bed"]) == 0
    wanted = {
        key: row
        for key, row in whole.items()
        if key[0] == contig and 0 <= key[1] - first < 60 and not 10 <= key[1] - first < 12
    }
    assert columns("part") == wanted
    assert run([*base, "-r", f"{contig}:{first + 1}-{first + 60}", "--exclude", "out.bed"]) == 0
    assert columns("part") == wanted
    assert run([*base, "-r", contig]) == 0
    assert columns("part") == {key: row for key, row in whole.items() if key[0] == contig}


def test_regions_without_columns_are_an_error(workplace, capsys):
    arguments = ["preprocess", "a.maf", "--tree", str(TREE), "-o", "part", "-r", "chrZ:1-100"]
    assert run(arguments) == 1
    err = capsys.readouterr().err
    assert "no column is left to store" in err
    assert "1 contigs of the regions are not in the alignment (first: chrZ)" in err
    assert not Path("part").exists()


def test_minimum_species(workplace):
    whole = columns("whole")
    arguments = ["preprocess", "a.maf", "--tree", str(TREE), "-o", "part", "-q"]
    assert run([*arguments, "--minimum-species", "10"]) == 0
    deep = {key: row for key, row in whole.items() if sum(value % 8 < 4 for value in row) >= 10}
    assert 0 < len(deep) < len(whole)
    assert columns("part") == deep


def test_species_subset(workplace):
    store = open_store("whole")
    names = [store.species[i] for i in (0, 5, 9, 30)] + ["galGal6"]
    Path("names.txt").write_text("# kept\n" + "\n".join(names) + "\n")
    base = ["preprocess", "a.maf", "--tree", str(TREE), "-q", "--force", "-o", "part"]
    for value in ("names.txt", ",".join(names)):
        assert run([*base, "--species", value]) == 0
        part = open_store("part")
        assert set(part.species) == set(names)
        rows = [store.species.index(name) for name in part.species]
        for region in store.covered_regions(0):
            np.testing.assert_array_equal(part.bases(region), store.bases(region)[:, rows])


def test_species_subset_errors(workplace, capsys):
    base = ["preprocess", "a.maf", "--tree", str(TREE), "-o", "part"]
    assert run([*base, "--species", "galGal6,dodo"]) == 1
    assert "no tip called dodo" in capsys.readouterr().err
    assert run([*base, "--species", "taeGut2,galGal6", "--reference", "melGal5"]) == 2


def test_weights(workplace, capsys):
    contig, first = min(columns("whole"))
    Path("w.bed").write_text(
        f"{contig}\t{first}\t{first + 3}\t0.5\n{contig}\t{first + 5}\t{first + 6}\t0\n"
    )
    base = ["preprocess", "a.maf", "--tree", str(TREE), "-q", "--force", "-o", "part"]
    assert run([*base, "--weights", "w.bed"]) == 0
    weight = open_store("part").weight(Region(contig, first, first + 7))
    assert weight.tolist() == [0.5, 0.5, 0.5, 1, 1, 0, 1]
    assert open_store("whole").weight(Region(contig, first, first + 7)) is None
    bad = ("1\t5\tx", "1\t5\t-1", "1\t5\tnan", "1\t5", "1\t5\t1\nchr1\t4\t6\t2")
    for text in bad:
        Path("w.bed").write_text(f"chr1\t{text}\n")
        assert run([*base, "--weights", "w.bed"]) == 1
        assert "w.bed" in capsys.readouterr().err


def test_the_same_file_twice_and_two_streams_are_usage_errors(workplace):
    base = ["preprocess", "--tree", str(TREE), "-o", "part"]
    assert run([*base, "a.maf", "a.maf"]) == 2
    assert run([*base, "-", "-"]) == 2
    assert run(["preprocess-init", "-", "--tree", str(TREE), "--work", "w"]) == 2
    assert not Path("w").exists()


def test_report_folder(workplace, capsys):
    arguments = ["preprocess", "a.maf", "--tree", str(TREE), "-o", "out", "--report", "report"]
    assert run(arguments) == 0
    assert Path("report/report.html").is_file()
    assert "report/report.html" in capsys.readouterr().err
    assert run([*arguments[:-1], "out", "--force"]) == 2


def test_odd_branch_lengths_are_said_once(workplace, capsys):
    """By the report where there is one, and by `preprocess` where there is none."""
    lengths = re.compile(r":([0-9.e-]+)")
    times = lengths.sub(lambda found: f":{float(found[1]) * 500}", TREE.read_text())
    Path("times.nh").write_text(times)
    for report in ([], ["--report", "r"]):
        arguments = ["preprocess", str(CUT), "--tree", "times.nh", "-o", "out", "--force"]
        assert run([*arguments, *report]) == 0
        assert capsys.readouterr().err.count("times too long") == 1


def test_regions_under_two_spellings(workplace):
    whole = columns("whole")
    contig, first = min(whole)
    base = ["preprocess", "a.maf", "--tree", str(TREE), "-q", "-o", "part"]
    regions = f"{contig}:{first + 1}-{first + 2},{contig[3:]}:{first + 4}-{first + 4}"
    assert run([*base, "-r", regions]) == 0
    assert {position - first for _, position in columns("part")} == {0, 1, 3}


def test_what_a_kill_left_beside_the_output_is_removed(workplace):
    Path(".out.abcdefgh.part/bases").mkdir(parents=True)
    assert run(["preprocess", "a.maf", "--tree", str(TREE), "-q", "-o", "out"]) == 0
    assert not [path for path in Path().iterdir() if path.name.startswith(".out")]
