"""The same tracks from one call, from stages, cut anyhow, and after a kill."""

from __future__ import annotations

import dataclasses
import gzip
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from track_files import expected, files_of, without_command, written, written_by_another

from phylotools.errors import InputError, OutputError, PhylotoolsError, UsageError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.locks import lock_folder
from phylotools.io.regions import Region
from phylotools.jobs.stages import Resources, run_partitions
from phylotools.model import planned
from phylotools.scoring.scorer import Scorer
from phylotools.tracks import stages
from phylotools.tracks.catalogue import SIGNALS
from phylotools.tracks.partition import TrackMaker
from phylotools.tracks.plan import TrackSettings
from phylotools.tracks.stages import TrackStages, finalise_tracks, init_tracks, make_tracks

pytestmark = pytest.mark.usefixtures("one_thread", "small_units")


def test_every_value_by_an_independent_route(model, fasta, tmp_path):
    summary = make_tracks(
        model, tmp_path / "out", TrackSettings(), fasta=str(fasta), partition_positions=512
    )
    wanted = expected(model, fasta)
    for track in SIGNALS:
        path = tmp_path / "out" / track.file
        assert written(path) == wanted[track.name], track.name
        assert written_by_another(path) == wanted[track.name], track.name
    n_sites = len(wanted["rate"])
    assert (summary.n_sites, summary.n_positions, summary.n_outside) == (n_sites, 4205, None)
    lengths = "chr10\t3200\nchr2\t1000\nn\t4\ntiny\t1\n"
    assert (tmp_path / "out" / "chrom.sizes").read_text() == lengths
    text = gzip.decompress((tmp_path / "out" / "snv_scores.tsv.gz").read_bytes()).decode()
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    with ReferenceGenome.open(fasta) as genome:
        alleles = [
            (contig, str(at + 1), "ACGT"[ref], alt)
            for contig in sorted(genome.contigs)
            for at, ref in enumerate(genome.fetch(Region(contig, 0, genome.contigs[contig])) & 7)
            if ref < 4
            for alt in "ACGT"
            if alt != "ACGT"[ref]
        ]
    assert [tuple(row[:4]) for row in rows] == alleles
    llr: dict[tuple[str, int], list[float]] = {}
    for contig, pos, _, _, value, *_ in rows:
        llr.setdefault((contig, int(pos) - 1), []).append(float(value))
    for place, values in llr.items():
        assert min(values) == pytest.approx(wanted["llr_min"][place], rel=1.2e-4, abs=1.2e-4)
        mean = math.fsum(values) / 3
        assert mean == pytest.approx(wanted["llr_mean"][place], rel=1.2e-4, abs=1.2e-4)
    record = json.loads((tmp_path / "out" / "tracks.json").read_text())
    assert record["model"]["sha256"] == model.sha256
    assert record["regions"] is None
    assert set(record["files"]) == {path.name for path in (tmp_path / "out").iterdir()}
    assert not (tmp_path / "out.work").exists()


def test_neither_threads_nor_the_cut_matter(model, fasta, tmp_path):
    def make(name: str, threads: int, size: int, **settings: object) -> dict[str, object]:
        make_tracks(
            model, tmp_path / name, TrackSettings(**settings), fasta=str(fasta),
            resources=Resources(threads), partition_positions=size,
        )  # fmt: skip
        return files_of(tmp_path / name)

    one = make("a", 1, 512)
    assert make("b", 3, 512) == one
    assert make("c", 2, 1 << 20) == one
    assert make("d", 1, 1500) == one
    bed = tmp_path / "some.bed"
    bed.write_text("".join(f"chr10\t{at}\t{at + 90}\n" for at in range(0, 3000, 200)))
    some = make("e", 1, 512, regions_file=str(bed))
    assert make("f", 2, 1 << 20, regions_file=str(bed)) == some


def test_regions_overlap_and_are_unsorted(model, fasta, tmp_path):
    bed = tmp_path / "some.bed"
    bed.write_text("chr2\t900\t950\nchr10\t10\t30\nchr2\t940\t960\nchr10\t30\t31\n")
    settings = TrackSettings(("rate",), False, regions=("chr2:1-5",), regions_file=str(bed))
    summary = make_tracks(model, tmp_path / "out", settings, fasta=str(fasta))
    whole = expected(model, fasta)["rate"]
    places = {("chr2", at) for at in (*range(5), *range(900, 960))}
    places |= {("chr10", at) for at in range(10, 31)}
    found = written(tmp_path / "out" / "rate.bw")
    assert found == {place: value for place, value in whole.items() if place in places}
    assert summary.n_positions == len(places)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {name for name in names if name.endswith(".bw")} == {"rate.bw"}
    assert not {name for name in names if name.startswith(("snv", "trained"))}
    record = json.loads((tmp_path / "out" / "tracks.json").read_text())
    assert record["regions"] == ["chr10:11-31", "chr2:1-5", "chr2:901-960"]


def test_no_position_is_computed_twice_and_none_without_bases(model, fasta, tmp_path, monkeypatch):
    asked: list[tuple[str, int, int]] = []
    tokens = Scorer.tokens

    def counted(scorer, contig, begin, end):
        asked.append((contig, begin + scorer.half_window, end - scorer.half_window))
        return tokens(scorer, contig, begin, end)

    monkeypatch.setattr(Scorer, "tokens", counted)
    bed = tmp_path / "some.bed"
    bed.write_text("".join(f"chr10\t{at}\t{at + 7}\n" for at in range(0, 3200, 40)))
    settings = TrackSettings(("rate",), regions_file=str(bed))
    make_tracks(model, tmp_path / "out", settings, fasta=str(fasta), partition_positions=512)
    asked.sort()
    assert all(one[2] <= two[1] for one, two in itertools.pairwise(asked))
    assert len(asked) > 3
    # The third tile of chr10 lies within a gap.
    assert not any(start < 1536 and end > 1024 for _, start, end in asked)
    asked.clear()
    settings = TrackSettings(("rate",), regions=("chr10:601-1800", "n"))
    with pytest.raises(InputError, match="no position of the regions has A, C, G or T"):
        make_tracks(model, tmp_path / "none", settings, fasta=str(fasta))
    assert not asked
    assert not (tmp_path / "none.work").exists()


def test_devices_that_share_the_partitions(model, fasta, tmp_path, monkeypatch):
    """Here two networks on one CPU: every partition is made once, whoever makes it."""
    counts: list[int] = []
    monkeypatch.setattr(planned, "device_names", lambda text: text.split(","))
    make_tracks(model, tmp_path / "one", TrackSettings(), fasta=str(fasta), partition_positions=512)
    make_tracks(
        model, tmp_path / "two", TrackSettings(), fasta=str(fasta), partition_positions=512,
        resources=Resources(device="cpu,cpu"), on_positions=counts.append,
    )  # fmt: skip
    one, two = files_of(tmp_path / "one"), files_of(tmp_path / "two")
    table = "snv_scores.tsv.gz"
    assert without_command(two.pop(table)) == without_command(one.pop(table))
    assert two == one
    assert sum(counts) == 4205
    with pytest.raises(UsageError, match="there is no device 'cuda:9' here"):
        make_tracks(
            model, tmp_path / "three", TrackSettings(), fasta=str(fasta),
            resources=Resources(device="cpu,cuda:9"),
        )  # fmt: skip
    assert not (tmp_path / "three").exists()


def test_a_network_that_runs_ahead_makes_the_same(model, fasta, tmp_path, monkeypatch):
    """As on a GPU: theta in a thread of its own, in long tiles."""
    made = []

    class Ahead(TrackMaker):
        def __init__(self, *arguments, is_ahead, **options):
            made.append(is_ahead)
            super().__init__(*arguments, is_ahead=True, **options)

    settings = TrackSettings(("rate", "llr_mean"), snv_table=False)
    make_tracks(model, tmp_path / "one", settings, fasta=str(fasta))
    monkeypatch.setattr(stages, "TrackMaker", Ahead)
    monkeypatch.setattr(stages, "dense_tile_length", lambda model, regions: 2048)
    make_tracks(model, tmp_path / "two", settings, fasta=str(fasta))
    assert made == [False]
    for name in ("rate.bw", "llr_mean.bw"):
        one, two = (written(tmp_path / folder / name) for folder in ("one", "two"))
        assert one.keys() == two.keys()
        for place, value in one.items():
            assert two[place] == pytest.approx(value, rel=1.3e-4, abs=1e-4)


def test_stages_in_any_order(model, fasta, tmp_path):
    make_tracks(
        model, tmp_path / "whole", TrackSettings(), fasta=str(fasta), partition_positions=1024
    )
    work = tmp_path / "w"
    plan = init_tracks(model, work, TrackSettings(), fasta=str(fasta), partition_positions=1024)
    n = plan.n_partitions
    assert n == 6
    with pytest.raises(
        PhylotoolsError, match=f"{n} of {n} partitions are missing: 0, 1, 2, 3, 4, 5; "
    ):
        finalise_tracks(work, tmp_path / "out")

    def run_tracks(work: Path, indices: Sequence[int], threads: int | None = None) -> None:
        run_partitions(TrackStages(model), work, indices, Resources(threads))

    for index in (2, 0, 0, 5, 3, 4):
        run_tracks(work, [index], threads=1)
    before = {path.name: path.stat().st_mtime_ns for path in (work / "pieces").iterdir()}
    with pytest.raises(
        PhylotoolsError, match=r"1 of 6 partitions are missing: 1; run .*-partition"
    ):
        finalise_tracks(work, tmp_path / "out")
    with pytest.raises(UsageError, match="no partition 6: they are 0 to 5"):
        run_tracks(work, [1, 6])
    run_tracks(work, range(n), threads=2)
    after = {path.name: path.stat().st_mtime_ns for path in (work / "pieces").iterdir()}
    assert {name: after[name] for name in before} == before
    # What a user keeps beside the pieces is no obstacle.
    (work / "slurm.log").write_text("fine")
    finalise_tracks(work, tmp_path / "out", threads=2)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
    with pytest.raises(OutputError, match="--force"):
        finalise_tracks(work, tmp_path / "out")
    finalise_tracks(work, tmp_path / "out", force=True, assembly="hg38")
    assert json.loads((tmp_path / "out/tracks.json").read_text())["reference"]["assembly"] == "hg38"
    with pytest.raises(OutputError, match="already exists"):
        init_tracks(model, work, TrackSettings(), fasta=str(fasta))


def test_one_process_at_a_time_puts_tracks_together(model, fasta, tmp_path):
    work = tmp_path / "out.work"
    with (
        lock_folder(work),
        pytest.raises(OutputError, match="another run is going on"),
    ):
        make_tracks(model, tmp_path / "out", TrackSettings(), fasta=str(fasta))
    (work / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match=r"thesis\.tex"):
        make_tracks(model, tmp_path / "out", TrackSettings(), fasta=str(fasta))
    assert (work / "thesis.tex").read_text() == "years of work"


def test_what_changed_since_the_plan_is_noticed(model, fasta, tmp_path):
    work = tmp_path / "w"
    init_tracks(model, work, TrackSettings(), fasta=str(fasta))
    identity = dataclasses.replace(model.identity, sha256="0" * 64)
    other = dataclasses.replace(model, identity=identity)
    with pytest.raises(InputError, match="has changed since the plan was made"):
        run_partitions(TrackStages(other), work, [0], Resources())
    fasta.write_text(">chr1\nACGT\n")
    with pytest.raises(InputError, match=r"genome\.fa: has changed since the plan was made"):
        run_partitions(TrackStages(model), work, [0], Resources())


def flipped(data: bytes) -> bytes:
    """The same with one bit changed, in the middle."""
    half = len(data) // 2
    return data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]


def test_a_damaged_work_folder_is_one_line(model, fasta, tmp_path):
    work = tmp_path / "w"
    init_tracks(model, work, TrackSettings(), fasta=str(fasta))
    run_partitions(TrackStages(model), work, [0], Resources())
    piece = work / "pieces" / "000000"
    plan = (work / "plan.json").read_bytes()
    head = plan[: plan.index(b'"settings"')]
    damages = {
        piece / "piece.json": [b"{}", b"[]", b"\xff"],
        piece / "index.npy": [b"", b"\x93NUMPY nonsense"],
        piece / "data.bin": [b"", bytes(1000)],
        work / "plan.json": [
            *(b"", b"\xff", b"[]", b"{}", head + b'"x": 1}', plan.replace(b"chr2", b"chr3", 1)),
            plan.replace(b'"snv_table": true', b'"snv_table": 1'),
            plan.replace(b'"start": 0', b'"start": "0"'),
        ],
    }
    for path, contents in damages.items():
        good = path.read_bytes()
        for content in contents if path.parent == work else [*contents, flipped(good)]:
            path.write_bytes(content)
            with pytest.raises(PhylotoolsError, match=r"damaged|is no plan") as caught:
                finalise_tracks(work, tmp_path / "out")
            assert path.parent == work or "w: piece 0 is damaged: run it again" in str(caught.value)
            assert not (tmp_path / "out").exists()
        path.write_bytes(good)
    # A file that the piece does not have, as of another version.
    (piece / "blocks.bin").write_bytes(b"")
    with pytest.raises(PhylotoolsError, match="piece 0 is damaged"):
        finalise_tracks(work, tmp_path / "out")
    # To run it again is all that is needed.
    run_partitions(TrackStages(model), work, [0], Resources())
    finalise_tracks(work, tmp_path / "out")
    with pytest.raises(InputError, match="holds no plan"):
        finalise_tracks(tmp_path, tmp_path / "out2")


def test_a_full_disk_is_one_line_and_leaves_nothing(model, fasta, tmp_path, file_size_limit):
    with (
        file_size_limit(20_000),
        pytest.raises(OutputError, match="cannot write: File too large"),
    ):
        make_tracks(model, tmp_path / "out", TrackSettings(), fasta=str(fasta))
    assert {path.name for path in tmp_path.iterdir()} == {"genome.fa"}
    work = tmp_path / "w"
    init_tracks(model, work, TrackSettings(), fasta=str(fasta))
    run_partitions(TrackStages(model), work, [0], Resources())
    with (
        file_size_limit(8_000),
        pytest.raises(OutputError, match="cannot write: File too large"),
    ):
        finalise_tracks(work, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"genome.fa", "w"}


def test_many_tiny_contigs(model, tmp_path):
    fasta = tmp_path / "tiny.fa"
    chance = np.random.default_rng(1)
    fasta.write_text(
        "".join(f">c{i}\n{''.join(chance.choice(list('ACGT'), 3))}\n" for i in range(120))
    )
    settings = TrackSettings(("llr_mean", "log_probability"))
    summary = make_tracks(
        model, tmp_path / "out", settings, fasta=str(fasta), partition_positions=50 * 512
    )
    assert summary.n_sites == 360
    assert written(tmp_path / "out" / "llr_mean.bw") == expected(model, fasta)["llr_mean"]
    names = (tmp_path / "out" / "chrom.sizes").read_text().split()[::2]
    assert names == sorted(names)
    assert len(names) == 120


def test_trained_regions(shipped, tmp_path):
    settings = TrackSettings(("rate",), False, regions=("chrM:3000-3400",))
    summary = make_tracks(shipped, tmp_path / "a", settings)
    assert (summary.n_positions, summary.n_outside) == (401, 307)
    text = gzip.decompress((tmp_path / "a" / "trained_regions.bed.gz").read_bytes())
    assert text == b"chrM\t3306\t3400\n"
    assert (tmp_path / "a" / "trained_regions.bed.gz.tbi").exists()
    only = dataclasses.replace(settings, trained_only=True)
    summary = make_tracks(shipped, tmp_path / "b", only)
    assert (summary.n_positions, summary.n_outside) == (94, 0)
    whole = written(tmp_path / "a" / "rate.bw")
    found = written(tmp_path / "b" / "rate.bw")
    assert found == {place: value for place, value in whole.items() if place[1] >= 3306}
    outside = dataclasses.replace(only, regions=("chrM:1-100",))
    with pytest.raises(InputError, match="leave out --trained-only"):
        make_tracks(shipped, tmp_path / "c", outside)
    everywhere = dataclasses.replace(shipped, training_regions=None)
    with pytest.raises(UsageError, match="does not say what it was trained on"):
        make_tracks(everywhere, tmp_path / "c", only)
