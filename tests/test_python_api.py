"""The functions that `import phylotools` offers, and the examples of docs/python.md."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import polars
import pytest

import phylotools
from phylotools.cli.main import run
from phylotools.phylogeny.score_meaning import SCORE_NAMES, score_key

ROOT = Path(__file__).parents[1]
ND1 = ("chrM", 3306, 4262)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model():
    return phylotools.load_model()


@pytest.fixture(scope="module")
def sequence(model) -> str:
    """ND1 and half a receptive field on either side."""
    half = (model.receptive_field - 1) // 2
    with phylotools.ReferenceGenome.open(model.reference_fasta) as genome:
        codes = genome.fetch(phylotools.Region("chrM", ND1[1] - half, ND1[2] + half)) & 7
    return "".join("ACGTN"[code] for code in codes)


def test_importing_is_cheap_and_names_are_found() -> None:
    code = (
        "import sys, phylotools; heavy = {'torch', 'numpy', 'numba', 'pyarrow', 'zarr'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "names = [n for n in phylotools.__all__ if getattr(phylotools, n) is None]\n"
        "assert not names and set(phylotools.__all__) <= set(dir(phylotools))\n"
        "assert not {'numba', 'pyarrow', 'zarr'} & set(sys.modules) - {'numba'}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'telepathy'"):
        phylotools.telepathy  # noqa: B018


def test_sequences_and_regions_agree(model, sequence) -> None:
    # A sequence that is given has no place, and so nothing that was fitted to columns.
    model = model.from_sequence_alone()
    half = (model.receptive_field - 1) // 2
    alone = phylotools.predict_sites(model, sequence)
    there = phylotools.predict_sites(model, regions=[ND1])[0]
    assert (len(alone), len(there)) == (len(sequence), ND1[2] - ND1[1])
    np.testing.assert_array_equal(alone.codes[half:-half], there.codes)
    for name in ("theta", "frequencies", "log_rate", "rate", "entropy"):
        values = getattr(alone, name)[half:-half]
        np.testing.assert_allclose(values, getattr(there, name), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(there.frequencies.sum(axis=1), 1, atol=1e-6)
    own = there.llr[np.arange(len(there)), there.codes]
    assert (own == 0).all()


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 128, 300, 513])
def test_a_sequence_does_not_depend_on_the_others(model, sequence, length: int) -> None:
    others = [sequence[:40], sequence, sequence[100:400]]
    text = sequence[200 : 200 + length]
    alone = phylotools.predict_sites(model, text)
    together = phylotools.predict_sites(model, [*others, text])[-1]
    np.testing.assert_array_equal(alone.theta, together.theta)
    vector = phylotools.embed(model, text)
    np.testing.assert_array_equal(vector, phylotools.embed(model, [text, *others])[0])
    padded = phylotools.embed(model, text, pool="none")
    assert padded.shape == (length, model.spec.channels)
    np.testing.assert_allclose(padded.mean(axis=0), vector, atol=1e-5)


def test_sequences_of_every_kind(model) -> None:
    expected = phylotools.predict_sites(model, "ACGTN").theta
    for given in (b"acgtn", np.arange(5, dtype=np.uint8), "ACGTR", "ACGUX"):
        np.testing.assert_array_equal(phylotools.predict_sites(model, given).theta, expected)
    several = phylotools.predict_sites(model, np.array([[0, 1, 2], [3, 3, 3]]))
    assert [site.codes.tolist() for site in several] == [[0, 1, 2], [3, 3, 3]]
    assert np.isnan(phylotools.predict_sites(model, "ACGTN").llr[4]).all()
    assert phylotools.embed(model, ["ACG"] * 2).shape == (2, model.spec.channels)


def test_sequences_from_arrays_and_frames(model) -> None:
    texts = ["ACGT", "GATTACA"]
    expected = phylotools.embed(model, texts)
    for given in (
        np.array(texts),
        np.array(texts, dtype="S"),
        np.array(texts, dtype=object),
        tuple(texts),
        (text for text in texts),
        pandas.Series(texts),
        pandas.Series(texts, dtype="string"),
        pandas.DataFrame({"sequence": texts})["sequence"],
        polars.Series(texts),
    ):
        np.testing.assert_array_equal(phylotools.embed(model, given), expected)
    codes = [0, 1, 2, 3]
    texts_alone = (np.array("ACGT"), np.str_("ACGT"), np.bytes_(b"ACGT"))
    for single in (*texts_alone, pandas.Series(codes), polars.Series(codes), np.array(codes)):
        np.testing.assert_array_equal(phylotools.embed(model, single), expected[0])


def test_regions_from_arrays_and_frames(model) -> None:
    expected = phylotools.embed(model, regions=[ND1, ("chrM", 20, 30)])
    columns = {"chrom": ["chrM"] * 2, "start": [3306, 20], "end": [4262, 30], "more": [1, 2]}
    for given in (
        pandas.DataFrame(columns),
        pandas.DataFrame(columns | {"start": [3306.0, 20.0]}),
        polars.DataFrame(columns),
        {name: np.array(column) for name, column in columns.items()},
        np.array([ND1, ("chrM", 20, 30)], dtype=object),
        np.array([ND1, ("chrM", 20, 30)], dtype=[("contig", "U9"), ("start", int), ("end", int)]),
        pandas.Series(["chrM:3307-4262", "chrM:21-30"]),
        np.array(["chrM:3307-4262", "chrM:21-30"]),
    ):
        np.testing.assert_array_equal(phylotools.embed(model, regions=given), expected)
    (one,) = phylotools.predict_sites(model, regions=("chrM", 20, 30))
    assert len(one) == 10


def test_variants_from_arrays_and_frames(model) -> None:
    variants = [("chrM", 3308, "T", "C"), ("chrM", 3316, "G", "A")]
    expected = phylotools.score_variants(model, variants).llr
    contig, pos, ref, alt = (list(column) for column in zip(*variants, strict=True))
    columns = {"CHROM": contig, "pos": pos, "ref": ref, "alt": alt}
    for given in (
        columns,
        {"chrom": contig, "pos": pos, "ref": ref, "alt": alt},
        pandas.DataFrame(columns),
        pandas.DataFrame(columns | {"pos": [3308.0, 3316.0]}),
        pandas.DataFrame(columns).astype("category"),
        polars.DataFrame(columns),
        pandas.DataFrame({"variant": ["chrM:3308:T:C", "chrM-3316-G-A"]}),
        ["chrM:3308:T:C", "chrM:3316:G:A"],
        np.array(variants, dtype=object),
        np.array(variants),
        np.array(variants, dtype="S"),
        iter(variants),
    ):
        np.testing.assert_array_equal(phylotools.score_variants(model, given).llr, expected)
    assert phylotools.score_variants(model, variants[0]).llr == expected[0]
    text = ":".join(map(str, variants[0]))
    assert phylotools.score_variants(model, text).llr == expected[0]


def test_regions_of_every_kind(model, tmp_path) -> None:
    expected = phylotools.embed(model, regions=[ND1])
    (tmp_path / "r.bed").write_text("MT\t3306\t4262\n")
    columns = {"chrom": ["chrM"], "start": [3306], "end": [4262], "strand": ["+"]}
    for given in (phylotools.Region(*ND1), [phylotools.Region(*ND1)], "chrM:3307-4262",
                  ["MT:3307-4262"], tmp_path / "r.bed", str(tmp_path / "r.bed"), columns,
                  [(*ND1, "ND1", "+")]):  # fmt: skip
        np.testing.assert_array_equal(phylotools.embed(model, regions=given), expected)
    reverse = phylotools.embed(model, regions=columns | {"strand": ["-"]}, strand="bed")
    np.testing.assert_array_equal(reverse, expected[:, ::-1])


def test_variants_score_as_annotate_has_them(model, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    variants = [("chrM", 3308, "T", "C"), ("chrM", 3308, "T", "G"), ("chrM", 3316, "GCA", "ACG"),
                ("chrM", 3308, "T", "TA"), ("chrM", 3308, "T", "<DEL>"), ("chrM", 3308, "A", "C"),
                ("chr9", 5, "A", "C"), ("chrM", 3, "T", "A"), ("chrM", 3308, "t", "c")]  # fmt: skip
    body = "".join(f"{c}\t{p}\t.\t{r}\t{a}\t.\t.\t.\n" for c, p, r, a in variants)
    Path("v.vcf").write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + body
    )
    assert run(["annotate", "v.vcf", "-o", "out.vcf", "-q", "-@", "1"]) == 0
    scores = phylotools.score_variants(model, variants)
    lines = [x for x in Path("out.vcf").read_text().splitlines() if not x.startswith("#")]
    for k, line in enumerate(lines):
        info = dict(entry.split("=") for entry in line.split("\t")[7].split(";"))
        assert info["PHYLOGPN_STATUS"] == scores.status[k]
        default = score_key(scores.default_score).upper()
        numbers = {"LLR": scores.llr, "ENTROPY": scores.entropy, default: scores.default}
        for key, values in numbers.items():
            text = info.get(f"PHYLOGPN_{key}", ".")
            assert (text == ".") == bool(np.isnan(values[k]))
            assert text == "." or float(text) == pytest.approx(values[k], abs=6e-5)
    sites = phylotools.predict_sites(model, regions=[("chrM", 3307, 3308)])[0]
    assert scores.llr[:2] == pytest.approx(sites.llr[0, [1, 2]], abs=1e-5)
    columns = dict(zip(("contig", "pos", "ref", "alt"), zip(*variants, strict=True), strict=True))
    again = phylotools.score_variants(model, columns)
    assert again.status == scores.status
    np.testing.assert_array_equal(again.llr, scores.llr)
    others = [score_key(name) for name in scores.scores if name != "llr"]
    assert list(scores.to_dict()) == ["llr", "status", "rate", "entropy", *others]
    assert set(scores.scores) == {"llr", scores.default_score}
    computed = [name for name in SCORE_NAMES if name != "calibrated"]
    more = phylotools.score_variants(model, variants[:2], scores=computed)
    assert list(more.scores) == computed
    for name in computed:
        expected = sites.score(name)[0]
        assert more.scores[name] == pytest.approx(expected[[1, 2]], abs=1e-4)
        assert np.isfinite(expected[3]) == (name == "llr")  # T, the reference's own
    np.testing.assert_array_equal(sites.score(), sites.score(sites.default_score))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: phylotools.embed(m), "sequences or regions"),
        (lambda m: phylotools.embed(m.name, "ACGT"), "phylotools.load_model gives, not a str"),
        (lambda m: phylotools.predict_sites(m.name, "ACGT"), "phylotools.load_model gives"),
        (lambda m: phylotools.score_variants(m.name, "chrM:3308:T:C"), "load_model gives"),
        (lambda m: phylotools.embed(m, "ACGT", regions=[ND1]), "sequences or regions"),
        (lambda m: phylotools.embed(m, ""), "sequence 0 is empty"),
        (
            lambda m: phylotools.predict_sites(m, ["ACGT", "AC?T"]),
            "sequence 1 holds '?' at position 3",
        ),
        (lambda m: phylotools.predict_sites(m, ["é"]), "sequence 0 holds '?'"),
        (lambda m: phylotools.embed(m, "MKTAYIAKQRQIS"), "sequence 0 holds 'I' at position 6"),
        (lambda m: phylotools.predict_sites(m, np.array([0, 9])), "sequence 0 must be text"),
        (lambda m: phylotools.predict_sites(m, np.array([0, -1])), "negative"),
        (lambda m: phylotools.embed(m, "ACGT", pool="median"), "pool must be one of"),
        (lambda m: phylotools.embed(m, "ACGT", strand="minus"), "strand must be one of"),
        (lambda m: phylotools.embed(m, "ACGT", strand="bed"), "no strand"),
        (lambda m: phylotools.embed(m, regions=[("chrM", 5, 5)]), "is empty in the reference"),
        (lambda m: phylotools.embed(m, regions=[ND1, ("chrM", -5, 5)]), "does not lie within"),
        (
            lambda m: phylotools.embed(m, regions=[("chrQ", 1, 5)]),
            "assembly, whose contigs are chrM",
        ),
        (lambda m: phylotools.embed(m, regions=[("chrM", 1)]), "region 0 is not"),
        (lambda m: phylotools.embed(m, regions=[]), "no region"),
        (lambda m: phylotools.embed(m, regions={"contig": [], "start": []}), "no column 'end'"),
        (lambda m: phylotools.embed(m, regions=[ND1], fasta="absent.fa"), "absent.fa"),
        (lambda m: phylotools.score_variants(m, []), "no variant"),
        (lambda m: phylotools.score_variants(m, [("chrM", 1, "A")]), "variant 0 is not"),
        (lambda m: phylotools.score_variants(m, [("chrM", 1, "A", "C\t")]), "unprintable"),
        (lambda m: phylotools.score_variants(m, [("chrM", 1, "A", "C,G")]), "several ALTs"),
        (lambda m: phylotools.score_variants(m, {"contig": ["a"]}), "no columns contig, pos"),
        (lambda m: phylotools.score_variants(m, 5), "cannot be read from a int"),
        (lambda m: phylotools.score_variants(m, ["chrM:5"]), "variant 0 is not"),
        (
            lambda m: phylotools.score_variants(m, [("chrM", 3308, "T", "-")]),
            "ALT is -, which",
        ),
        (lambda m: phylotools.score_variants(m, [("chrM", 3308, None, "T")]), "REF is None, which"),
        (lambda m: phylotools.score_variants(m, [("chrM", 1.5, "T", "C")]), "variant 0 is not"),
        (
            lambda m: phylotools.score_variants(
                m, {"chrom": "chrM", "pos": 1, "ref": "A", "alt": "C"}
            ),
            "must be lists or arrays",
        ),
        (
            lambda m: phylotools.score_variants(
                m, {"chrom": ["chrM"], "pos": [1, 2], "ref": ["A"], "alt": ["C"]}
            ),
            "not equally long",
        ),
        (lambda m: phylotools.embed(m, 5), "cannot be read from a int"),
        (lambda m: phylotools.embed(m, "MKTAYIAKQRQISF"), "holds 'I' at position 6, which is no"),
        (lambda m: phylotools.predict_sites(m, ["ACGT", "MKEF"]), "sequence 1 holds 'E'"),
        (lambda m: phylotools.embed(m, ["ACGT", None]), "sequence 1 must be text"),
        (lambda m: phylotools.embed(m, pandas.DataFrame({"s": ["ACGT"]})), "are one column"),
        (lambda m: phylotools.embed(m, regions=7), "cannot be read from a int"),
        (lambda m: phylotools.embed(m, regions=[7]), "region 0 is not"),
        (lambda m: phylotools.embed(m, regions=[("chrM", 1, float("nan"))]), "region 0 is not"),
        (lambda m: phylotools.embed(m, regions=[("chrM", 1, 1 << 80)]), "region 0 is not"),
    ],
)
def test_what_cannot_be_is_one_error(model, call, words: str) -> None:
    with pytest.raises(phylotools.PhylotoolsError, match=re.escape(words)):
        call(model)


def test_variants_score_in_transcripts_as_annotate_has_them(model, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    genes = "".join(
        f"chrM\t.\tCDS\t{start}\t{end}\t.\t{strand}\t0\tParent={name}\n"
        for name, start, end, strand in (("ND1", 3307, 4262, "+"), ("a;b", 14149, 14673, "-"))
    )
    Path("genes.gff3").write_text(genes.replace("a;b", "a%3Bb"))
    variants = [("chrM", 3308, "T", "C"), ("chrM", 3394, "T", "G"), ("chrM", 3306, "C", "T"),
                ("chrM", 14200, "T", "C"), ("chrM", 3308, "T", "<DEL>")]  # fmt: skip
    body = "".join(f"{c}\t{p}\t.\t{r}\t{a}\t.\t.\t.\n" for c, p, r, a in variants)
    Path("v.vcf").write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + body
    )
    options = ["--transcripts", "genes.gff3", "--outside-transcripts", "skip"]
    assert run(["annotate", "v.vcf", "-o", "out.vcf", "-q", "-@", "1", *options]) == 0
    scores = phylotools.score_variants(
        model, variants, transcripts=Path("genes.gff3"), outside_transcripts="skip"
    )
    assert scores.transcript is not None
    for k, line in enumerate(x for x in Path("out.vcf").read_text().splitlines() if x[0] != "#"):
        info = dict(entry.split("=") for entry in line.split("\t")[7].split(";"))
        assert info["PHYLOGPN_STATUS"] == scores.status[k]
        named = scores.transcript[k] or "."
        assert info["PHYLOGPN_TRANSCRIPT"] == named.replace(";", "%3B")
        text = info["PHYLOGPN_LLR"]
        assert (text == ".") == bool(np.isnan(scores.llr[k]))
        assert text == "." or float(text) == pytest.approx(scores.llr[k], abs=6e-5)
    assert scores.transcript == ["ND1" if k < 2 else "a;b" if k == 3 else "" for k in range(5)]
    assert scores.to_dict()["transcript"] == scores.transcript
    plain = phylotools.score_variants(model, variants, transcripts=False)
    assert plain.transcript is None
    # What was fitted to a position is its own, whatever is read around it.
    assert scores.llr[0] == pytest.approx(plain.llr[0], abs=1e-6)
    # ND1 begins there: in the genome the bases before it are seen, in the transcript they are not.
    network = model.from_sequence_alone()
    in_genome, in_transcript = (
        phylotools.score_variants(network, variants[:1], transcripts=choice).llr[0]
        for choice in (False, Path("genes.gff3"))
    )
    assert in_transcript != pytest.approx(in_genome, abs=1e-3)


def test_the_examples_of_the_guide_run(capsys) -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) > 5
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "['ND1', 'ND6'] (2, 128) last" in printed
    assert "nan symbolic" in printed
    assert float(re.search(r"second half of ND1: (\S+)", printed)[1]) > 0.4
