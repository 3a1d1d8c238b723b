"""Pictures: well-formed, complete, equal for equal numbers, whatever the names in them."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import numpy as np
import pytest

from phylotools.errors import OutputError, UsageError
from phylotools.io.features import Feature
from phylotools.io.regions import Region
from phylotools.plots import output
from phylotools.plots.alleles import AlleleQuery
from phylotools.plots.distribution import distributions_by_class
from phylotools.plots.distribution_drawing import Style, draw_distributions
from phylotools.plots.embedding import Projection
from phylotools.plots.embedding_drawing import draw_embedding
from phylotools.plots.frequency import scores_by_frequency
from phylotools.plots.frequency_drawing import draw_frequency
from phylotools.plots.logo import Scale, SiteProfile
from phylotools.plots.logo_drawing import LogoPicture, draw_logo
from phylotools.plots.marks import Mark
from phylotools.plots.output import PlotTable, plot_files, refuse_outputs, write_plot

SVG = "{http://www.w3.org/2000/svg}"
#: Mathtext, XML, control characters, right to left, letters that no font has, a lone surrogate.
HOSTILE = "$x^$ <b>&\"' \t\a\x1b[31m \u202eabc \u0915 \U0001f9ec \udc80 " + "long" * 30


def texts_of(path: Path) -> list[str]:
    root = ElementTree.parse(path).getroot()
    assert root.tag == f"{SVG}svg"
    return ["".join(element.itertext()).strip() for element in root.iter(f"{SVG}text")]


def draw_to(tmp_path: Path, draw, name: str = "p") -> Path:
    """Both pictures, without a warning; the SVG."""
    files = plot_files(str(tmp_path / name))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_plot(files, draw, PlotTable({"Plot": "x"}, ["a"], [[1]]), force=True)
    png = files.pictures["png"].read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    assert 300 < width <= 6000
    assert 100 < height <= 6000
    return files.pictures["svg"]


def profile_of(n_bases, seed=1):
    random = np.random.default_rng(seed)
    logits = random.normal(size=(n_bases, 4)) * 2
    log_probability = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    reference = random.integers(0, 5, n_bases).astype(np.uint8)
    rows = np.arange(n_bases)
    at_reference = np.where(reference < 4, log_probability[rows, reference % 4], np.nan)
    status = tuple("ok" if i % 7 else "outside_training" for i in range(n_bases))
    rate = random.gamma(1, size=n_bases)
    return SiteProfile(
        Region("chr1", 1000, 1000 + n_bases), reference, log_probability,
        log_probability - at_reference[:, None], rate, status,
    )  # fmt: skip


FEATURES = [
    Feature(Region("chr1", 990, 1010), "begins before", "+"),
    Feature(Region("chr1", 1005, 1006), "a tiny one", "-"),
    Feature(Region("chr1", 1015, 1500), HOSTILE, "."),
]


def test_logo_has_sequence_positions_features_and_letters(tmp_path):
    picture = LogoPicture(
        profile_of(40), "information", FEATURES, False, "made by x", [Mark(3, 4, "T")]
    )
    svg = draw_to(tmp_path, lambda: draw_logo(picture))
    texts = texts_of(svg)
    sequence = ["ACGTN"[code] for code in picture.profile.reference]
    at = next(i for i in range(len(texts)) if texts[i : i + 40] == sequence)
    assert texts[at + 40] == "T"
    assert "1,010" in texts
    assert "chr1:1,001-1,040" in texts
    assert {"begins before", "a tiny one"} <= set(texts)
    assert any(text.startswith("made by x") and "shaded: outside" in text for text in texts)
    groups = {group.get("id") for group in ElementTree.parse(svg).getroot().iter(f"{SVG}g")}
    assert {f"letters_{base}" for base in "ACGT"} <= groups


def test_letters_are_as_high_as_their_numbers():
    picture = LogoPicture(profile_of(25), "probability", None, False, "")
    axes = draw_logo(picture).axes[0]
    found = {}
    for collection in axes.collections:
        base = "ACGT".find((collection.get_gid() or "?")[-1])
        for path in collection.get_paths() if base >= 0 else []:
            box = path.get_extents()
            found[round((box.x0 + box.x1) / 2), base] = (box.y0, box.height)
    probability = picture.profile.probability
    for (place, base), (bottom, height) in found.items():
        assert height == pytest.approx(probability[place, base], abs=1e-6)
        # Letters stack up from the least to the most probable.
        below = probability[place][probability[place] < probability[place, base]]
        assert bottom == pytest.approx(below[below > 0.004].sum(), abs=1e-6)
    assert len(found) == int((probability > 0.004).sum())


@pytest.mark.parametrize("scale", get_args(Scale))
@pytest.mark.parametrize(
    ("n_bases", "reverse"), [(1, False), (20, True), (201, False), (900, True)]
)
def test_logos_of_any_length(tmp_path, scale, n_bases, reverse):
    marks = [Mark(0, 1, "A"), Mark(0, n_bases + 5, "-"), Mark(n_bases - 1, n_bases, "+")]
    picture = LogoPicture(profile_of(n_bases), scale, FEATURES, reverse, "made by x", marks)
    texts = texts_of(draw_to(tmp_path, lambda: draw_logo(picture)))
    assert ("reverse complement" in " ".join(texts)) == reverse
    assert sum(text.startswith("Rate") for text in texts) >= 1


def test_reversed_positions_stand_at_their_bases():
    picture = LogoPicture(profile_of(30), "probability", None, True, "")
    rate = draw_logo(picture).axes[-1]
    labels = {tick.get_text(): x for tick, x in zip(rate.get_xticklabels(), rate.get_xticks())}  # noqa: B905
    # 1-based 1030 is the last base, shown first.
    assert labels["1,030"] == 0
    assert labels["1,020"] == 10


def test_classes_with_any_name(tmp_path, make_vcf):
    infos = [
        f"PHYLOGPN_LLR={n % 13};CLASS={HOSTILE.replace(';', '').replace(chr(9), ' ')}{n % 30}"
        for n in range(300)
    ]
    path = make_vcf([info.encode("utf-8", "replace").decode() for info in infos])
    found = distributions_by_class(AlleleQuery(path), "CLASS")
    assert len(found.tallies) == 30
    for style in get_args(Style):
        svg = draw_to(tmp_path, lambda style=style: draw_distributions(found, style, "l", "f"))
        texts = texts_of(svg)
        n_shown = sum("$x^$" in text for text in texts)
        assert n_shown == (8 if style == "ecdf" else 24)
        assert any(f"{30 - n_shown} more in the table" in text for text in texts)


@pytest.mark.parametrize("style", get_args(Style))
def test_distributions_show_counts_and_medians(tmp_path, make_vcf, style):
    path = make_vcf([f"PHYLOGPN_LLR={-n};CLASS={'ab'[n % 2]}" for n in range(2000)])
    found = distributions_by_class(AlleleQuery(path), "CLASS")
    texts = " ".join(
        texts_of(draw_to(tmp_path, lambda: draw_distributions(found, style, "score", "made by x")))
    )
    # Medians of the even and of the odd numbers below 2000.
    for text in ("1,000", "\N{MINUS SIGN}999.00", "\N{MINUS SIGN}1,000", "score", "made by x"):
        assert text in texts


@pytest.mark.parametrize(
    "infos",
    [
        ["PHYLOGPN_LLR=-1.5;AF=0.01"],
        ["PHYLOGPN_LLR=-1.5;AF=0"] * 20,
        ["PHYLOGPN_LLR=-1.5;AF=1e-7;AC=1"] * 20,
        ["PHYLOGPN_LLR=-1.5;AF=1"] * 20 + ["PHYLOGPN_LLR=1e30;AF=1e-300"],
        [f"PHYLOGPN_LLR={n % 17};AF={n / 3000}" for n in range(3000)],
    ],
)
def test_frequencies_of_any_kind(tmp_path, make_vcf, infos):
    found = scores_by_frequency(AlleleQuery(make_vcf(infos)), "AF", allele_count="AC")
    texts = texts_of(draw_to(tmp_path, lambda: draw_frequency(found, "score", "AF", "made by x")))
    for one in found.bins:
        assert f"{one.tally.n:,}" in texts
    assert "score" in texts


def projection_of(n, classes, method="pca"):
    random = np.random.default_rng(1)
    columns = {"contig": ["c"] * n, "start": [0] * n, "end": [1] * n, "name": [""] * n,
               "strand": ["."] * n}  # fmt: skip
    return Projection(
        method, ("one", "two"), random.normal(size=(n, 2)), columns, classes, "by", 0, 0, None, {}
    )


@pytest.mark.parametrize("n_classes", [1, 7, 14, 40])
def test_embeddings_of_many_classes(tmp_path, n_classes):
    classes = [f"{HOSTILE[:12]}{i % n_classes}" for i in range(200)] + ["none"] * 9
    found = projection_of(209, classes)
    texts = texts_of(draw_to(tmp_path, lambda: draw_embedding(found, "made by x")))
    n_named = sum(text.startswith("$x^$") for text in texts)
    assert n_named == min(n_classes, 14)
    assert any(text.startswith("other (") for text in texts) == (n_classes > 14)
    assert "none (9)" in texts
    assert "by" in texts


def test_many_points_are_an_image_in_the_svg(tmp_path):
    few = draw_to(tmp_path, lambda: draw_embedding(projection_of(200, ["a"] * 200), ""))
    assert not list(ElementTree.parse(few).getroot().iter(f"{SVG}image"))
    many = draw_to(tmp_path, lambda: draw_embedding(projection_of(5000, ["a"] * 5000), ""), "q")
    assert list(ElementTree.parse(many).getroot().iter(f"{SVG}image"))
    assert many.stat().st_size < 1_000_000


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    """Whatever a user's matplotlib is set to."""
    import matplotlib as mpl

    picture = LogoPicture(profile_of(60), "llr", FEATURES, False, "made by x")
    first = draw_to(tmp_path, lambda: draw_logo(picture))
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.fonttype": "path"}):
        second = draw_to(tmp_path, lambda: draw_logo(picture), "q")
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".png").read_bytes() == second.with_suffix(".png").read_bytes()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a.svg", ["a.svg", "a.tsv"]),
        ("a.PNG", ["a.PNG", "a.tsv"]),
        ("a", ["a.svg", "a.png", "a.tsv"]),
        ("chr1.v2", ["chr1.v2.svg", "chr1.v2.png", "chr1.v2.tsv"]),
        (".svg", [".svg.svg", ".svg.png", ".svg.tsv"]),
    ],
)
def test_files_of_an_output(tmp_path, given, expected):
    found = plot_files(str(tmp_path / given))
    assert [path.name for path in found.paths] == expected


@pytest.mark.parametrize("name", ["-", "a.pdf", "a.tsv", "a.jpeg", "folder", "folder/", "a.html"])
def test_outputs_that_cannot_be(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=r"give -o NAME.svg, NAME.png, or a prefix for both"):
        plot_files(name)


def test_nothing_is_replaced_without_force_nor_an_input_with_it(tmp_path):
    (tmp_path / "a.tsv").write_text("mine")
    files = plot_files(str(tmp_path / "a.svg"))
    with pytest.raises(OutputError, match=r"a.tsv: already exists; give --force"):
        refuse_outputs(files, force=False, inputs=[])
    refuse_outputs(files, force=True, inputs=[None])
    with pytest.raises(UsageError, match="the output is the input"):
        refuse_outputs(files, force=True, inputs=[str(tmp_path / "a.tsv")])


@pytest.mark.parametrize("broken", ["draw", "rows", "save"])
def test_all_files_or_none(tmp_path, monkeypatch, broken):
    def fail(*_, **__):
        raise ValueError(broken)

    def rows():
        yield [1]
        if broken == "rows":
            fail()

    if broken == "save":
        monkeypatch.setattr(output, "save_picture", fail)
    (tmp_path / "p.svg").write_text("old")
    draw = fail if broken == "draw" else lambda: draw_embedding(projection_of(3, ["a"] * 3), "")
    with pytest.raises(ValueError, match=broken):
        write_plot(plot_files(str(tmp_path / "p")), draw, PlotTable({}, ["a"], rows()), force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["p.svg"]
    assert (tmp_path / "p.svg").read_text() == "old"


def test_a_full_disk_leaves_nothing(tmp_path, file_size_limit):
    files = plot_files(str(tmp_path / "p"))
    found = projection_of(3, ["a"] * 3)
    with file_size_limit(5000), pytest.raises(OutputError, match="cannot write"):
        write_plot(files, lambda: draw_embedding(found, ""), PlotTable({}, ["a"], []), force=False)
    assert not list(tmp_path.iterdir())


def test_tables_hold_no_broken_lines(tmp_path):
    files = plot_files(str(tmp_path / "p.svg"))
    rows = [["a\tb\nc\rd", float("nan"), 1.23456789], ["\udc80", 2, 0.0]]
    facts = {"Name": 'q"\n\\'}
    found = projection_of(3, ["a"] * 3)
    numbers = PlotTable(facts, ["x", "y", "z"], rows)
    write_plot(files, lambda: draw_embedding(found, ""), numbers, force=False)
    lines = files.table.read_text().split("\n")
    assert lines == [
        '##phylotools_plot=<Name="q\\" \\\\">', "x\ty\tz", "a b c d\tNA\t1.23457", "?\t2\t0", "",
    ]  # fmt: skip
