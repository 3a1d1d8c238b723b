"""`--summary-json` of every verb, and the sections of a MultiQC report that are made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from only_error import only_error

from phylotools.cli.main import phylotools_command, run
from phylotools.cli.summaries import COMMON
from phylotools.version import __version__

DATA = Path(__file__).parents[1] / "data"
MAF = DATA / "maf_edge_cases" / "birds_plain.maf"
TREE = DATA / "birds53" / "53birds.nh"

#: Verbs that only say what there is, or remember a choice.
WITHOUT_WORK = {
    *("completion", "evaluate protocols", "inspect", "multiqc"),
    *("model info", "model list", "model set-reference", "model use"),
}


def commands(
    command: click.Command, context: click.Context, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    """Every command that can be given, by its words."""
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    default = getattr(command, "default", None)
    if default is not None:
        yield " ".join(path), default
    for name in command.list_commands(context):
        part = command.get_command(context, name)
        assert part is not None
        yield from commands(part, context, (*path, name))


def test_every_verb_that_does_work_can_summarise_it():
    context = click.Context(phylotools_command)
    can = {
        verb: any("--summary-json" in parameter.opts for parameter in command.params)
        for verb, command in commands(phylotools_command, context)
    }
    assert {"annotate", "tracks-partition", "model export", "interpret motifs"} <= can.keys()
    assert {verb for verb, it_can in can.items() if not it_can} == WITHOUT_WORK


def test_all_stages_say_the_same_keys_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = {
        "preprocess-init": [str(MAF), "--tree", str(TREE), "--work", "work"],
        "preprocess-partition": ["work", "0"],
        "preprocess-finalise": ["work", "-o", "store"],
    }
    told = {}
    for verb, arguments in steps.items():
        assert run([verb, *arguments, "-q", "--summary-json", f"{verb}.json"]) == 0
        told[verb] = json.loads(Path(f"{verb}.json").read_text())
        assert tuple(told[verb])[: len(COMMON)] == COMMON
        assert told[verb]["verb"] == verb
        assert told[verb]["version"] == __version__
        assert 0 < told[verb]["seconds"] < 600
    planned, ran, made = told.values()
    assert (planned["outputs"], planned["counts"]) == (["work"], {"partitions": 1})
    assert (ran["outputs"], ran["counts"]) == (["work"], {"partitions": 1})
    assert made["outputs"] == ["store"]
    assert made["counts"]["covered_positions"] == 443
    # Said with -q too, and once: stdout and stderr are not what a pipeline reads.
    assert len(made["warnings"]) == 1
    assert "38 of the tree's 53 tips have no row" in made["warnings"][0]
    assert planned["warnings"] == []


def test_a_plan_of_any_verb_says_so_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["--length", "500", "--work", "work", "-q", "--summary-json", "s.json"]
    assert run(["simulate-init", str(TREE), *arguments]) == 0
    told = json.loads(Path("s.json").read_text())
    assert (told["verb"], told["outputs"], told["counts"]) == (
        "simulate-init", ["work"], {"partitions": 1}
    )  # fmt: skip
    assert run(["simulate-init", str(TREE), *arguments[:-2], "--summary-json", "work"]) == 2


def test_warnings_of_one_command_are_not_those_of_the_next(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = [str(MAF), "--tree", str(TREE), "-q", "--force", "--summary-json", "s.json"]
    for _ in range(2):
        assert run(["preprocess", *arguments, "-o", "store"]) == 0
    assert len(json.loads(Path("s.json").read_text())["warnings"]) == 1


def summary(verb: str, **facts: object) -> dict[str, object]:
    common = {"verb": verb, "version": "1", "outputs": ["o"], "seconds": 1.5, "warnings": ["w"]}
    return {**common, "counts": {}, **facts}


def annotated(n_scored: int = 3, **facts: object) -> dict[str, object]:
    counts = {"records": 4, "alleles": 4, "alleles_scored": n_scored, "ref_checked": 4}
    statuses = {"ok": n_scored, "symbolic": 4 - n_scored}
    return summary("annotate", counts=counts, alleles_by_status=statuses, **facts)


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(name: str, content: object) -> str:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(content if isinstance(content, str) else json.dumps(content))
    return name


def section(name: str) -> dict[str, dict[str, dict[str, object]]]:
    found = json.loads(Path("mqc", f"phylotools_{name}_mqc.json").read_text())
    assert found["id"] == f"phylotools_{name}"
    return found


def test_samples_are_rows_of_a_table_of_their_verb(place):
    files = [
        put("HG002.annotate.json", annotated(model="<b>&")),
        put("HG003.json", annotated(1)),
        put("HG002.embed.json", summary("embed", counts={"regions_left_out": 2})),
        put(
            "all.evaluate.json",
            summary("evaluate", measures=["auroc"], auroc={"LLR": 0.75, "phyloP": None}),
        ),
        put(
            "net.train.json",
            summary(
                "train",
                counts={"steps": 20, "selected": 10},
                held_out={"best": -1.5, "null_tree": -2.0},
                curves={"held-out columns": [[10, -1.5], [20, -1.6]]},
            ),
        ),
        put("net.preprocess.json", summary("preprocess-finalise", counts={"species": 3})),
    ]
    assert run(["multiqc", *files, "-o", "mqc", "-q"]) == 0
    table = section("annotate")
    assert table["plot_type"] == "table"
    assert table["data"]["HG003"] == {
        "records": 4, "alleles": 4, "scored": 25.0, "ref_differs": 0.0, "seconds": 1.5,
        "warnings": 1,
    }  # fmt: skip
    # MultiQC takes text of a cell for HTML.
    assert table["data"]["HG002"]["model"] == "&lt;b&gt;&amp;"
    assert set(table["data"]["HG002"]) <= set(table["headers"])
    bars = section("annotate_statuses")
    assert bars["data"] == {"HG002": {"ok": 3, "symbolic": 1}, "HG003": {"ok": 1, "symbolic": 3}}
    assert section("embed")["data"]["HG002"]["regions_left_out"] == 2
    assert section("evaluate")["data"] == {"all: LLR": {"auroc": 0.75}, "all: phyloP": {}}
    assert section("train")["data"]["net"]["gain"] == pytest.approx(0.5)
    assert section("train_curves")["data"] == {
        "net: held-out columns": {"10": -1.5, "20": -1.6},
    }
    assert section("preprocess")["data"]["net"]["species"] == 3
    assert len(list(Path("mqc").iterdir())) == 7
    assert run(["multiqc", *files, "-o", "mqc", "-q"]) == 1
    assert run(["multiqc", files[2], "-o", "mqc", "-q", "--force"]) == 0
    assert [path.name for path in Path("mqc").iterdir()] == ["phylotools_embed_mqc.json"]


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ({"a.json": "{"}, "a.json: is damaged: it is no JSON"),
        ({"a.json": "[]"}, "a.json: is damaged: it is no JSON object"),
        ({"a.json": {"verb": "annotate"}}, "a.json: is no summary: it has no version"),
        ({"a.json": summary("annotate", counts=None)}, "a.json: is damaged"),
        ({"a.json": summary("train", counts={"steps": [1]})}, "a.json: is damaged"),
        ({"a.json": {**annotated(), "alleles_by_status": {"ok": "many"}}}, "a.json: is damaged"),
        ({"a.json": summary("evaluate", measures=["auroc"])}, "a.json: is damaged"),
        ({"a.json": annotated(), "b/a.annotate.json": annotated()}, "is called as a.json"),
    ],
)
def test_what_is_no_summary_is_one_line(place, capsys, contents, expected):
    files = [put(name, content) for name, content in contents.items()]
    assert run(["multiqc", *files, "-o", "mqc"]) == 1
    captured = capsys.readouterr()
    only_error(captured.out, captured.err, expected)
    assert not Path("mqc").exists()


def test_a_folder_of_others_is_not_replaced(place, capsys):
    put("mqc/notes.txt", "mine")
    assert run(["multiqc", put("a.json", annotated()), "-o", "mqc", "--force"]) == 1
    captured = capsys.readouterr()
    only_error(captured.out, captured.err, "mqc")
    assert Path("mqc/notes.txt").read_text() == "mine"
