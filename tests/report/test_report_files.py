"""The files of a report: tables, page and picture."""

from __future__ import annotations

import html.parser
import itertools
import json
import re

import matplotlib as mpl
import numpy as np
import pytest
from report_cases import ABSENT, MemoryStore, comb, made_quality

from phylotools.drawing import STYLE
from phylotools.errors import InputError, OutputError
from phylotools.report import REPORT, write_report
from phylotools.report.figure import make_figure
from phylotools.store.read import open_store


@pytest.fixture(scope="module")
def report(birds_store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "birds"
    summary = write_report(open_store(birds_store), folder)
    return folder, summary


def table(path):
    header, *rows = (line.split("\t") for line in path.read_text().splitlines())
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_the_folder_holds_what_it_should(report, birds_store):
    folder, summary = report
    assert {path.name for path in folder.iterdir()} == set(REPORT)
    assert (folder / "report.png").read_bytes().startswith(b"\x89PNG")
    store = open_store(birds_store)
    species = table(folder / "species.tsv")
    assert [row["species"] for row in species] == list(store.species)
    bases = np.concatenate([store.bases(region) for region in store.covered_regions(min_species=0)])
    reference = bases[:, store.reference_index] & 7
    for index, row in enumerate(species):
        codes = bases[:, index]
        base = (codes & 7) < 4
        assert int(row["aligned_bases"]) == base.sum()
        assert float(row["coverage"]) == pytest.approx(base.mean(), rel=1e-5)
        same = (codes & 7)[base] == reference[base]
        assert float(row["identity"]) == pytest.approx(same.mean(), rel=1e-5)
        assert float(row["gap_fraction"]) == pytest.approx(
            (codes == 5).sum() / (codes != 6).sum(), rel=1e-5
        )
        assert float(row["soft_masked_fraction"]) == pytest.approx(
            (codes >= 8).sum() / ((codes & 7) < 5).sum(), rel=1e-5
        )
    depth = table(folder / "depth.tsv")
    assert [int(row["species"]) for row in depth] == list(range(1, len(species) + 1))
    counted = np.bincount(((bases & 7) < 4).sum(axis=1), minlength=len(species) + 1)
    assert [int(row["columns"]) for row in depth] == counted[1:].tolist()
    contigs = table(folder / "contigs.tsv")
    assert {row["contig"]: int(row["length"]) for row in contigs} == store.contigs
    assert sum(int(row["covered"]) for row in contigs) == len(bases) == summary.columns


def test_the_json_says_the_same(report):
    folder, summary = report
    content = json.loads((folder / "report.json").read_text())
    assert content["columns"] == summary.columns
    assert [f["kind"] for f in content["findings"]] == [f.kind for f in summary.findings]
    for row, line in zip(content["by_species"], table(folder / "species.tsv"), strict=True):
        assert row["species"] == line["species"]
        assert row["identity"] == pytest.approx(float(line["identity"]), rel=1e-5)


class Page(html.parser.HTMLParser):
    """Tags that are open, and everything that would be loaded."""

    def __init__(self):
        super().__init__()
        self.open, self.loaded, self.tags = [], [], set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.loaded += [
            value for key, value in attributes if key in ("src", "href", "xlink:href", "data")
        ]

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(path):
    page = Page()
    page.feed(path.read_text())
    page.close()
    assert page.open == []
    return page


def test_the_page_stands_alone(report):
    folder, summary = report
    page = parsed(folder / "report.html")
    assert "svg" in page.tags
    assert not {"script", "link", "iframe", "img"} & page.tags
    assert all(target.startswith("#") for target in page.loaded)
    text = (folder / "report.html").read_text()
    assert "@import" not in text
    assert not re.search(r"url\((?!['\"]?#)", text)
    assert text.count('class="finding') == len(summary.findings)


def test_equal_stores_give_equal_reports(report, birds_store, tmp_path):
    folder, _ = report
    write_report(open_store(birds_store), tmp_path / "again", threads=3)
    for name in REPORT:
        if name != "report.json":  # the time is in it
            assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_no_report_is_overwritten_unasked(report, birds_store, tmp_path):
    store = open_store(birds_store)
    folder = tmp_path / "r"
    write_report(store, folder)
    with pytest.raises(OutputError):
        write_report(store, folder)
    write_report(store, folder, force=True)
    (folder / "mine.txt").write_text("x")
    with pytest.raises(OutputError):
        write_report(store, folder, force=True)
    assert (folder / "mine.txt").exists()


def test_nothing_is_left_where_drawing_fails(birds_store, tmp_path, monkeypatch):
    from phylotools.report import figure

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "save_figure", fail)
    with pytest.raises(OutputError, match="No space"):
        write_report(open_store(birds_store), tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


HOSTILE = [
    "<script>alert(1)</script>", "a&b", "$x$", "_under", "tab\tname", "line\nbreak", "\x1b[2J",
    "x" * 500, "\u202eabc", "日本語", "--><b>", "\ud800",
]  # fmt: skip


def test_names_do_no_harm(tmp_path):
    tree = comb(12, [f"t{n}" for n in range(12)])
    nodes = list(tree.names)
    for node, name in zip(tree.tip_nodes, HOSTILE, strict=True):
        nodes[node] = name
    tree = type(tree)(tuple(nodes), tree.parent, tree.branch_length, tree.postorder)
    rng = np.random.default_rng(3)
    contigs = {name: rng.integers(0, 4, (50, 12)).astype(np.uint8) for name in HOSTILE}
    statistics = {"unknown_sources": dict.fromkeys(HOSTILE, 3)}
    summary = write_report(MemoryStore(tree, contigs, statistics=statistics), tmp_path / "r")
    assert summary.species == 12
    page = parsed(tmp_path / "r" / "report.html")
    assert not {"script", "img"} & page.tags
    text = (tmp_path / "r" / "report.html").read_text()
    assert "<script>" not in text
    assert "\x1b" not in text
    assert len(table(tmp_path / "r" / "species.tsv")) == 12
    assert json.loads((tmp_path / "r" / "report.json").read_text())["species"] == 12


@pytest.mark.parametrize(
    "bases",
    [
        np.zeros((1, 1), dtype=np.uint8),
        np.full((30, 2), 4, dtype=np.uint8),
        np.full((5, 3), 6, dtype=np.uint8),
        np.array([[0, 5, 5], [1, 5, 6]], dtype=np.uint8),
    ],
    ids=["one species", "N only", "no block", "gaps only"],
)
def test_stores_with_next_to_nothing_get_a_report(bases, tmp_path):
    statistics = {"blocks": float("nan"), "rows": {"reference": {"rows": [float("inf")]}}}
    store = MemoryStore(comb(bases.shape[1]), {"chr1": bases}, statistics=statistics)
    summary = write_report(store, tmp_path / "r")
    assert summary.species == bases.shape[1]
    json.loads((tmp_path / "r" / "report.json").read_text())


def test_a_tree_without_lengths_is_drawn(tmp_path):
    from phylotools.phylogeny.tree import parse_newick

    bases = np.zeros((500, 3), dtype=np.uint8)
    write_report(MemoryStore(parse_newick("(a:0,b:0,c:0);"), {"c": bases}), tmp_path / "r")


def boxes(texts, renderer):
    """Extents of the texts that show something."""
    from matplotlib.text import Text

    shown = [text for text in texts if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), Text.get_window_extent(text, renderer)) for text in shown]


@pytest.mark.parametrize("n_species", [1, 5, 24, 53, 81, 100, 240, 447, 700])
def test_no_text_covers_another_or_leaves_the_picture(n_species):
    """Names are longer than any real ones; a sixth of the species is unusual."""
    names = ["reference", *(f"Genusnamelong_speciesname{n}" for n in range(1, n_species))]
    rng = np.random.default_rng(n_species)
    changes = {
        name: {"identity": float(rng.uniform(0.3, 1)), "duplicate_rows": int(rng.integers(900))}
        for name in names[1::6]
    }
    quality = made_quality(n_species, names=names, **changes, **{names[-1]: ABSENT})
    with mpl.rc_context(STYLE):
        figure = make_figure(quality)
        figure.canvas.draw()
        renderer = figure.canvas.get_renderer()
        found = boxes(figure.texts, renderer)
        for axes in figure.axes:
            texts = [*axes.texts, axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
            if axes.axison:
                # Those that are drawn: an axis has ticks beyond its limits too.
                ticks = [*axes.xaxis._update_ticks(), *axes.yaxis._update_ticks()]
                texts += [label for tick in ticks for label in (tick.label1, tick.label2)]
            found += boxes([t for t in texts if axes.axison or t in axes.texts], renderer)
    assert len([text for text, _ in found if text.startswith("Genusname")]) >= n_species - 1
    frame = figure.bbox
    for text, box in found:
        assert frame.x0 <= box.x0, text
        assert box.x1 <= frame.x1, text
        assert frame.y0 <= box.y0, text
        assert box.y1 <= frame.y1, text
    for (one, first), (other, second) in _near(found):
        assert not first.overlaps(second), (one, other)


def _near(found):
    """Pairs of texts that begin within an inch of height of each other."""
    ordered = sorted(found, key=lambda item: item[1].y0)
    starts = np.array([box.y0 for _, box in ordered])
    for index, item in enumerate(ordered):
        last = int(np.searchsorted(starts, item[1].y1))
        yield from itertools.product([item], ordered[index + 1 : last])


def test_a_damaged_store_gives_one_error_and_no_report(birds_store, tmp_path):
    import shutil

    broken = shutil.copytree(birds_store, tmp_path / "s.store")
    spoilt = [p for p in broken.rglob("*") if "bases" in p.parts and p.name != "zarr.json"]
    spoilt = [path for path in spoilt if path.is_file()]
    assert spoilt
    for path in spoilt:
        path.write_bytes(b"nonsense" * 9)
    with pytest.raises(InputError):
        write_report(open_store(broken), tmp_path / "r")
    assert not (tmp_path / "r").exists()
