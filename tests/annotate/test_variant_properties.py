"""What must hold of `annotate` for any file."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pysam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phylotools.annotate import judging
from phylotools.annotate.judging import Judge
from phylotools.annotate.run import AnnotationSettings, annotate_file
from phylotools.io.bigwig.writer import open_bigwig
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.io.vcf import reader
from phylotools.phylogeny.substitution import make_substitution_model
from phylotools.scoring.scorer import Scorer
from phylotools.tracks.catalogue import SIGNALS
from phylotools.tracks.values import rounded, site_values

COLUMNS = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
HEADER = b"##fileformat=VCFv4.3\n##contig=<ID=chr1>\n##contig=<ID=chr2>\n##contig=<ID=chrM>\n"
FIELDS = re.compile(
    rb"PHYLOGPN_LLR=(\S*);PHYLOGPN_STATUS=(\S*);PHYLOGPN_RATE=(\S*);PHYLOGPN_ENTROPY=(\S*);"
    rb"PHYLOGPN_FITNESS=(\S*);PHYLOGPN_RATE_TO_ALT=(\S*);PHYLOGPN_FIXATION=(\S*);"
    rb"PHYLOGPN_SITE_RATE=(\S*)$"
)
SCORES = ("fitness", "rate-to-alt", "fixation", "site-rate")
QUIET = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))


def make_genome() -> dict[str, str]:
    """Random sequence, short repeats, soft-masked bases and N; longer than a tile of the scorer."""
    rng = random.Random(4)
    pieces = ["".join(rng.choices("ACGT", k=rng.randrange(5, 60))) for _ in range(30)]
    repeats = ["A" * 9, "CA" * 7, "GAT" * 5, "NNNN", "acgtacgttt", "T" * 20, "CCCCC"]
    chr1 = "".join(piece + rng.choice(repeats) for piece in pieces)
    return {"chr1": chr1, "chr2": "ACACACACACTTTTTGNACGT", "chrM": "GATCACAGGT"}


GENOME = make_genome()


@pytest.fixture(scope="module")
def model(random_model, tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text("".join(f">{name}\n{letters}\n" for name, letters in GENOME.items()))
    return replace(random_model, reference_fasta=path)


@st.composite
def records(draw: st.DrawFn) -> tuple[str, int, str, str]:
    """Mostly changes of what stands in the genome, some of it nonsense."""
    contig = draw(st.sampled_from(["chr1", "chr1", "chr1", "chr2", "chrM", "MT", "2", "chr9"]))
    name = {"MT": "chrM", "2": "chr2"}.get(contig, contig)
    letters = GENOME.get(name, "A" * 9)
    start = draw(st.integers(-1, len(letters)) | st.integers(0, 8))
    longest = draw(st.sampled_from([4, 4, 4, 90]))
    ref = letters[max(start, 0) : max(start, 0) + draw(st.integers(1, longest))]
    ref = draw(st.sampled_from([ref] * 8 + ["N", "A", ref.swapcase()])) or "A"
    alts = st.text("ACGTacgt", min_size=1, max_size=4) | st.sampled_from(
        [
            ref,
            ref[0],
            ref + "T",
            ref * 3,
            ref[: len(ref) // 2 + 1],
            ".",
            "*",
            "<DEL>",
            "<*>",
            "N",
            "A[chr1:3[",
            "A.",
        ]
    )
    return contig, start + 1, ref, ",".join(draw(st.lists(alts, min_size=1, max_size=3)))


many_records = st.lists(records(), min_size=1, max_size=12)
infos = st.sampled_from([".", "A=1", "FLAG;B=x=y", "PHYLOGPN_LLR=9;A=2", "A=\xe4;;B"])


def make_lines(rows: list[tuple[str, int, str, str]], info: str = ".") -> list[bytes]:
    return [
        f"{contig}\t{pos}\tid{index}\t{ref}\t{alt}\t.\tPASS\t{info}".encode("latin-1")
        for index, (contig, pos, ref, alt) in enumerate(rows)
    ]


def annotated(
    model, lines: list[bytes], *, header: bytes = HEADER, columns: bytes = COLUMNS, **options
) -> list[bytes]:
    """Record lines that come out."""
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "in.vcf"), Path(folder, "out.vcf")
        source.write_bytes(b"\n".join([header + columns, *lines, b""]))
        run(model, source, output, **options)
        return [line for line in output.read_bytes().split(b"\n")[:-1] if line[:1] != b"#"]


def run(model, source: Path, output: Path, **options) -> None:
    # The generated REF alleles may well be those of another assembly.
    given_options = {"on_ref_mismatch": "warn", "threads": 1, "force": True} | options
    given_options["extra_scores"] = SCORES
    with tolerant():
        annotate_file(model, str(source), str(output), AnnotationSettings(**given_options))


@contextlib.contextmanager
def tolerant() -> Iterator[None]:
    """Without the refusal of files that are wholly on other contigs."""
    with mock.patch("phylotools.scoring.reference.ContigNames.refuse_foreign"):
        yield


def added(line: bytes) -> tuple[bytes, ...]:
    match = FIELDS.search(line.split(b"\t")[7])
    assert match
    return match.groups()


@QUIET
@given(many_records, infos, st.integers(0, 3), st.booleans())
def test_nothing_but_info_changes(model, rows: list, info: str, n_samples: int, crlf: bool) -> None:
    samples = b"".join(b"\ts%d" % index for index in range(n_samples))
    columns = COLUMNS + (b"\tFORMAT" + samples if n_samples else b"")
    genotypes = b"\tGT:X" + b"\t0|1:\xff" * n_samples if n_samples else b""
    end = b"\r" if crlf else b""
    lines = [line + genotypes + end for line in make_lines(rows, info)]
    header = HEADER.replace(b"\n", end + b"\n")
    written = annotated(model, lines, header=header, columns=columns + end)
    assert len(written) == len(lines)
    for before, after in zip(lines, written, strict=True):
        assert after.endswith(end)
        old, new = (line.removesuffix(end).split(b"\t") for line in (before, after))
        assert old[:7] == new[:7]
        assert old[8:] == new[8:]
        kept = info.encode("latin-1").replace(b"PHYLOGPN_LLR=9;", b"")
        assert new[7].startswith(b"PHYLOGPN_LLR=" if kept == b"." else kept + b";PHYLOGPN_LLR=")
        n_alts = old[4].count(b",") + 1
        ratios, statuses, *_ = (field.split(b",") for field in added(b"\t".join(new)))
        assert len(ratios) == len(statuses) == n_alts


@settings(QUIET, max_examples=20)
@given(many_records, st.randoms(use_true_random=False))
def test_company_order_blocks_and_threads_do_not_matter(model, rows: list, rng) -> None:
    lines = make_lines(rows)
    expected = dict(zip(lines, annotated(model, lines), strict=True))
    shuffled = rng.sample(lines, len(lines))
    others = {
        "order": annotated(model, shuffled),
        "threads": annotated(model, shuffled, threads=2),
        "company": annotated(model, [line for line in shuffled for _ in range(2)])[::2],
    }
    with mock.patch.object(reader, "BLOCK_BYTES", rng.randrange(1, 200)):
        others["blocks"] = annotated(model, shuffled)
    with mock.patch.object(Judge, "uses_compiled_loops", False):
        others["general path"] = annotated(model, shuffled)
    # Repeats and alleles that are too long for the compiled loops.
    margin, longest = rng.randrange(0, 40), rng.randrange(1, 5)
    with mock.patch.multiple(judging, _MARGIN=margin, _LONGEST=longest):
        others["little at hand"] = annotated(model, shuffled)
    for what, found in others.items():
        assert found == [expected[line] for line in shuffled], what
    alone = rng.choice(lines)
    assert annotated(model, [alone]) == [expected[alone]]


@st.composite
def spellings(draw: st.DrawFn) -> list[tuple[str, int, str, str]]:
    """Ways to write one change of the genome, padded and shifted within repeats."""
    contig = draw(st.sampled_from(["chr1", "chr1", "chr2", "chrM"]))
    letters = GENOME[contig].upper()
    start = draw(st.integers(0, len(letters) - 1))
    end = min(len(letters), start + draw(st.integers(0, 5)))
    kind = draw(st.sampled_from(["any", "copy"]))
    inserted = letters[start:end] * 2 if kind == "copy" else draw(st.text("ACGT", max_size=5))
    changed = letters[:start] + inserted + letters[end:]
    if changed == letters or not {*letters[start:end]} | {*inserted} <= set("ACGT"):
        return []
    length = len(changed) - len(letters)
    found = []
    for begin in range(max(0, start - 12), min(len(letters), start + 12)):
        for stop in range(begin + 1, min(len(letters), end + 12) + 1):
            alt = changed[begin : stop + length]
            if alt and letters[:begin] + alt + letters[stop:] == changed:
                found.append((contig, begin + 1, letters[begin:stop], alt))
    chosen = draw(st.lists(st.sampled_from(found), min_size=1, max_size=6)) if found else []
    return chosen + [(*row[:2], row[2].lower(), row[3].swapcase()) for row in chosen[:1]]


@settings(QUIET, max_examples=50)
@given(spellings())
def test_equivalent_spellings_get_equal_scores(model, rows: list) -> None:
    if rows:
        results = {added(line)[:2] for line in annotated(model, make_lines(rows))}
        assert len(results) == 1
        ((ratio, status),) = results
        assert ratio != b"."
        assert status in (b"ok", b"mnv", b"experimental_indel", b"edge_padded")


@QUIET
@given(st.lists(st.tuples(st.integers(0, 900), st.sampled_from("ACGT")), min_size=1, max_size=20))
def test_numbers_are_the_network_s(model, sites: list) -> None:
    letters = GENOME["chr1"].upper()
    rows = [
        ("chr1", site + 1, letters[site], alt)
        for site, alt in sites
        if letters[site] not in ("N", alt)
    ]
    with ReferenceGenome.open(model.reference_fasta) as genome:
        theta = Scorer(model, genome, threads=1).theta(Region("chr1", 0, len(letters)))
    theta = theta.astype(np.float64)
    for row, line in zip(rows, annotated(model, make_lines(rows)), strict=True):
        here = theta[row[1] - 1]
        pi = np.exp(here - here.max())
        pi /= pi.sum()
        ratio, _, rate, entropy, *_ = added(line)
        ref, alt = ("ACGT".index(base) for base in row[2:])
        assert float(ratio) == pytest.approx(here[alt] - here[ref], abs=5.1e-5)
        assert float(entropy) == pytest.approx(-(pi * np.log(pi)).sum(), abs=6e-5)
        assert float(rate) == pytest.approx(np.exp(here).sum() * (1 - (pi**2).sum()), rel=6e-4)


def overlaps(row: tuple[str, int, str, str], contig: str, start: int, end: int) -> bool:
    name = {"MT": "chrM", "2": "chr2"}.get(row[0], row[0])
    return name == contig and row[1] - 1 < end and row[1] - 1 + len(row[2]) > start


@settings(QUIET, max_examples=25)
@given(many_records, st.lists(st.integers(1, 1100), max_size=3), st.booleans())
def test_parts_put_together_are_the_whole(model, rows: list, cuts: list, is_indexed: bool) -> None:
    """By contig, and by regions, where a record that spans a cut comes out on both sides."""
    rows = sorted((row for row in rows if row[1] > 0 and row[0].startswith("chr")), key=place)
    lines = make_lines(rows)
    whole = annotated(model, lines)
    length = len(GENOME["chr1"])
    bounds = sorted({0, length, *(cut for cut in cuts if cut < length)})
    regions = [("chr1", start, end) for start, end in itertools.pairwise(bounds)]
    regions += [(contig, 0, len(GENOME[contig])) for contig in ("chr2", "chrM")]
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "in.vcf"), Path(folder, "out.vcf")
        source.write_bytes(b"\n".join([HEADER + COLUMNS, *lines, b""]))
        if is_indexed:
            pysam.tabix_index(str(source), preset="vcf", force=True)
            source = Path(f"{source}.gz")
        for contig, start, end in regions:
            run(model, source, output, regions=(f"{contig}:{start + 1}-{end}",))
            written = [x for x in output.read_bytes().split(b"\n")[:-1] if x[:1] != b"#"]
            expected = [
                line
                for row, line in zip(rows, whole, strict=True)
                if overlaps(row, contig, start, end)
            ]
            assert written == expected
        bed = Path(folder, "r.bed")
        bed.write_text("".join(f"{c}\t{start}\t{end}\n" for c, start, end in reversed(regions)))
        run(model, source, output, regions_file=str(bed))
        written = [x for x in output.read_bytes().split(b"\n")[:-1] if x[:1] != b"#"]
        assert written == [
            line
            for row, line in zip(rows, whole, strict=True)
            if any(overlaps(row, *region) for region in regions)
        ]


def place(row: tuple[str, int, str, str]) -> tuple[int, int]:
    return ["chr1", "chr2", "chrM", "chr9"].index(row[0]), row[1]


def write_tracks(folder: Path, model, share: float, seed: int = 0) -> None:
    """What the model says of a share of the sites, as `phylotools tracks` writes it."""
    chance = np.random.default_rng(seed)
    lengths = {name: len(letters) for name, letters in GENOME.items()}
    with contextlib.ExitStack() as stack:
        writers = {
            signal: stack.enter_context(open_bigwig(str(folder / signal.file), lengths))
            for signal in SIGNALS
        }
        with ReferenceGenome.open(model.reference_fasta) as genome:
            scorer = Scorer(model, genome, threads=1)
            for name, length in lengths.items():
                codes = genome.bases(Region(name, 0, length))
                kept = np.flatnonzero((codes < 4) & (chance.random(length) < share))
                theta = scorer.theta_at(name, kept)
                values = site_values(model.substitution, theta, codes[kept])
                for signal, writer in writers.items():
                    writer.add(name, kept, rounded(values.signal(signal)))
    record = {
        "format": "phylotools-tracks",
        "model": {"name": "toy", "sha256": model.sha256},
        "computed_on": [{"precision": "float32"}],
        "tracks": [],
        "scores": {},
    }
    (folder / "tracks.json").write_text(json.dumps(record))


@QUIET
@given(
    many_records,
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(0, 99),
    st.sampled_from(
        [("f81", {}), ("mutation-selection", {"mutation_frequencies": [0.4, 0.3, 0.1, 0.2]})]
    ),
)
def test_looked_up_numbers_are_those_computed(
    model, rows: list, share: float, seed: int, substitution: tuple[str, dict]
) -> None:
    model = replace(model, substitution=make_substitution_model(substitution[0], **substitution[1]))
    with tempfile.TemporaryDirectory() as folder:
        write_tracks(Path(folder), model, share, seed)
        lines = make_lines(rows)
        computed = annotated(model, lines)
        for line, expected in zip(annotated(model, lines, scores=folder), computed, strict=True):
            assert_alike(line, expected)


def assert_alike(line: bytes, expected: bytes) -> None:
    """Records whose numbers are the same but for their last digits."""
    found, wanted = FIELDS.search(line), FIELDS.search(expected)
    assert found is not None
    assert wanted is not None
    assert line[: found.start()] == expected[: wanted.start()]
    assert found[2] == wanted[2]
    for field in (1, *range(3, 9)):
        numbers, others = (match[field].split(b",") for match in (found, wanted))
        assert [x == b"." for x in numbers] == [x == b"." for x in others]
        for number, other in zip(numbers, others, strict=True):
            if number != b".":
                # An indel sums what rounding leaves of a hundred terms.
                assert float(number) == pytest.approx(float(other), rel=2e-4, abs=0.02)


def test_whole_tracks_leave_nothing_to_compute(model, tmp_path: Path) -> None:
    write_tracks(tmp_path, model, 1.0)
    rows = [
        ("chr1", position, ref, alt)
        for position, ref in enumerate(GENOME["chr1"].upper(), start=1)
        for alt in ("A", ref + "ACG")
        if ref not in ("N", alt)
        and "N" not in GENOME["chr1"][max(position - 30, 0) : position + 30]
    ]
    assert len(rows) > 500
    with mock.patch.object(Scorer, "values_at_places", side_effect=AssertionError("computed")):
        lines = annotated(model, make_lines(rows), scores=str(tmp_path))
    assert not any(b"PHYLOGPN_LLR=." in line for line in lines)
