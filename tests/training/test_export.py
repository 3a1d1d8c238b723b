from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from toy_models import CHRM

from phylotools.errors import InputError, OutputError, UsageError
from phylotools.io.bed import read_bed
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region, RegionSet
from phylotools.model.registry import load_model, verify_model
from phylotools.scoring.context import TranscriptChoice, open_context
from phylotools.store.read import open_store
from phylotools.training import trained_regions
from phylotools.training.checkpoint import read_checkpoint, write_checkpoint
from phylotools.training.curves import read_curves
from phylotools.training.dataset import TrainingData
from phylotools.training.export import ExportRequest, export_model
from phylotools.training.loop import Trainer
from phylotools.training.run_folder import CHECKPOINT, METRICS

pytestmark = pytest.mark.usefixtures("one_thread")
REQUEST = ExportRequest("toy", "3", assembly="hg38", licence="CC0-1.0")


@pytest.fixture
def run(config_of, mammals_store, tmp_path):
    config = config_of(mammals_store, optimiser={"steps": 12}, data={"minimum_species": 3})
    Trainer(config, tmp_path / "run", torch.device("cpu")).run()
    return tmp_path / "run"


def test_export_is_the_trained_network(run, tmp_path, mammals_store):
    export_model(run, tmp_path / "toy", REQUEST)
    model = load_model(str(tmp_path / "toy"))
    checkpoint = read_checkpoint(run / CHECKPOINT)
    trained = checkpoint.selected_model(run)
    tokens = torch.randint(0, 6, (2, 40))
    assert torch.equal(model.site_model(tokens), trained(tokens))
    assert verify_model(model) < 1e-6
    manifest = model.manifest
    assert (manifest["name"], manifest["revision"], manifest["assembly"]) == ("toy", "3", "hg38")
    assert manifest["contigs"] == ["chrM"]
    assert manifest["steps"] == manifest["selected_step"] == 12
    assert manifest["training_stores"][0]["species"] == 30
    assert len(manifest["training_stores"][0]["tree_sha256"]) == 64
    config = tomllib.loads((tmp_path / "toy" / "config.toml").read_text())
    assert config["training"] == checkpoint.config
    card = (tmp_path / "toy" / "card.md").read_text()
    assert "973 columns" in card


@pytest.mark.parametrize(("channels", "largest_difference"), [(64, 0), (8, 2e-6)])
def test_a_training_step_computes_what_the_exported_model_does(
    channels, largest_difference, config_of, mammals_store, tmp_path
):
    """To the bit where training takes the halved products, else to rounding."""
    config = config_of(
        mammals_store,
        network={"channels": channels, "bottleneck": channels // 2},
        optimiser={"steps": 5},
        run={"select_by": "last"},
    )
    trainer = Trainer(config, tmp_path / "run", torch.device("cpu"))
    trainer.run()
    export_model(tmp_path / "run", tmp_path / "toy", REQUEST)
    exported = load_model(str(tmp_path / "toy")).site_model
    tokens = torch.randint(0, 6, (3, 150), generator=torch.Generator().manual_seed(1))
    trained = trainer.model.train()(tokens)
    assert trained.requires_grad
    assert trained.std() > 0.01
    assert (exported(tokens) - trained).abs().max() <= largest_difference


def test_the_card_shows_the_learning_curves(run, tmp_path):
    export_model(run, tmp_path / "toy", REQUEST)
    folder = tmp_path / "toy"
    picture = (folder / "training.svg").read_bytes()
    texts = {text.strip() for text in ElementTree.fromstring(picture).itertext()}
    assert {"Step", "Learning rate"} <= texts
    assert "training.svg" in load_model(str(folder)).manifest["sha256"]
    card = (folder / "card.md").read_text()
    assert "](training.svg)" in card
    last = read_curves(run).value_at("evaluation_training", 12)
    # The weights of the last step were kept, which stands there once.
    assert "| nats a column | step 12 |\n| --- | --- |" in card
    assert f"| training columns | {last:.4f} |\n" in card
    # The same run gives the same picture.
    export_model(run, tmp_path / "again", REQUEST)
    assert (tmp_path / "again" / "training.svg").read_bytes() == picture
    # A card of one's own may show it too.
    (tmp_path / "card.md").write_text("mine ![](training.svg)\n")
    export_model(run, folder, replace(REQUEST, card=tmp_path / "card.md"), force=True)
    assert (folder / "card.md").read_text() == "mine ![](training.svg)\n"
    assert (folder / "training.svg").read_bytes() == picture


@pytest.mark.parametrize("text", [None, b"", b"\xff\xfe", b"step\tloss\n", b"step\tloss\n1\t2\n"])
def test_a_model_can_be_had_without_its_curves(run, tmp_path, text, caplog):
    (run / METRICS).unlink()
    if text is not None:
        (run / METRICS).write_bytes(text)
    export_model(run, tmp_path / "toy", REQUEST)
    assert not (tmp_path / "toy" / "training.svg").exists()
    assert "training.svg" not in (tmp_path / "toy" / "card.md").read_text()
    assert ("no learning curves" in caplog.text) == (text is not None)
    verify_model(load_model(str(tmp_path / "toy")))


def test_a_changed_picture_is_seen(run, tmp_path):
    export_model(run, tmp_path / "toy", REQUEST)
    (tmp_path / "toy" / "training.svg").write_text("<svg/>")
    with pytest.raises(InputError, match=r"training\.svg: wrong checksum"):
        load_model(str(tmp_path / "toy"))


def test_the_card_names_the_step_that_was_exported(run, tmp_path):
    checkpoint = read_checkpoint(run / CHECKPOINT)
    best_earlier = replace(checkpoint, progress=replace(checkpoint.progress, best_step=7))
    write_checkpoint(run / CHECKPOINT, best_earlier)
    export_model(run, tmp_path / "toy", REQUEST)
    card = (tmp_path / "toy" / "card.md").read_text()
    assert "for 12 steps; these are the weights of step 7." in card


def test_export_with_everything(run, tmp_path):
    (tmp_path / "card.md").write_text("# Karte é\n", encoding="utf-8")
    (tmp_path / "ref.fa").write_text(">chrX\nACGT\n>chrY\nAC\n")
    (tmp_path / "cds.bed").write_text("chrX\t1\t3\n")
    (tmp_path / "metrics.json").write_text('{"auroc": 0.8}')
    request = ExportRequest(
        "toy", card=tmp_path / "card.md", reference=tmp_path / "ref.fa",
        training_regions=tmp_path / "cds.bed", metrics=tmp_path / "metrics.json",
    )  # fmt: skip
    export_model(run, tmp_path / "toy", request)
    model = load_model(str(tmp_path / "toy"))
    assert model.manifest["contigs"] == ["chrX", "chrY"]
    assert model.manifest["metrics"] == {"auroc": 0.8}
    assert model.reference_fasta is not None
    assert [str(region) for region in model.training_regions] == ["chrX:2-3"]
    assert (tmp_path / "toy" / "card.md").read_text(encoding="utf-8") == "# Karte é\n"


def test_an_unfinished_run_is_refused_but_its_checkpoint_is_not(config_of, mammals_store, tmp_path):
    trainer = Trainer(config_of(mammals_store), tmp_path / "run", torch.device("cpu"))
    trainer._save()
    with pytest.raises(InputError, match="has done 0 steps and is not complete"):
        export_model(tmp_path / "run", tmp_path / "toy", REQUEST)
    assert not (tmp_path / "toy").exists()
    export_model(tmp_path / "run" / CHECKPOINT, tmp_path / "toy", REQUEST)
    assert load_model(str(tmp_path / "toy")).manifest["steps"] == 0


def test_the_regions_of_training_come_with_the_model(config_of, birds_store, tmp_path):
    """Held-out contigs and what no column covers are not among them; annotate then flags them."""
    names = list(open_store(birds_store).contigs)
    config = config_of(birds_store, optimiser={"steps": 2}, data={"held_out_contigs": names[:1]})
    Trainer(config, tmp_path / "run", torch.device("cpu")).run()
    export_model(tmp_path / "run", tmp_path / "toy", REQUEST)
    regions = load_model(str(tmp_path / "toy")).training_regions
    store = open_store(birds_store)
    deep = RegionSet.of(store.covered_regions(config.data.minimum_species))
    assert regions.contigs == names[1:]
    assert regions == deep - RegionSet.whole({names[0]: store.contigs[names[0]]})
    # A model for something else says so.
    (tmp_path / "own.bed").write_text("q\t1\t3\n")
    own = replace(REQUEST, training_regions=tmp_path / "own.bed")
    export_model(tmp_path / "run", tmp_path / "other", own)
    assert load_model(str(tmp_path / "other")).training_regions.contigs == ["q"]


def test_very_many_regions_are_joined(config_of, birds_store, tmp_path, monkeypatch):
    monkeypatch.setattr(trained_regions, "_MOST_REGIONS", 3)
    monkeypatch.setattr(trained_regions, "_TAKEN", 2)
    data = TrainingData(config_of(birds_store))
    trained_regions.write_trained_regions(data.stores, tmp_path / "few.bed")
    few = read_bed(tmp_path / "few.bed")
    exact = RegionSet.of(data.stores[0].regions())
    assert len(few) <= 3 < len(exact)
    assert not exact - few
    assert few.contigs == exact.contigs


def test_no_run_here(tmp_path):
    for source in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match="no run here"):
            export_model(source, tmp_path / "toy", REQUEST)


@pytest.mark.parametrize(
    ("field", "content"),
    [
        ("training_regions", b"chrM\tten\t20\n"),
        ("reference", b"no FASTA"),
        ("metrics", b"{"),
        ("metrics", b"[" * 100_000),
        ("card", b"\xff\xfe"),
    ],
)
def test_bad_additions_leave_nothing(run, tmp_path, field, content):
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(InputError, match="bad"):
        export_model(run, tmp_path / "toy", ExportRequest("toy", **{field: tmp_path / "bad"}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad", "run"]


@pytest.mark.parametrize("field", ["card", "metrics"])
def test_endless_additions_are_refused(run, tmp_path, field):
    with pytest.raises(InputError, match="too large"):
        export_model(run, tmp_path / "toy", ExportRequest("toy", **{field: Path("/dev/zero")}))


def test_existing_models_need_force(run, tmp_path):
    export_model(run, tmp_path / "toy", REQUEST)
    with pytest.raises(OutputError):
        export_model(run, tmp_path / "toy", REQUEST)
    export_model(run, tmp_path / "toy", ExportRequest("toy", "4"), force=True)
    assert json.loads((tmp_path / "toy" / "manifest.json").read_text())["revision"] == "4"


@pytest.mark.parametrize("source", ["store", "genome", "transcripts"])
def test_transcripts_come_with_their_sequences(run, tmp_path, mammals_store, source):
    """From a store, a FASTA of the genome, or a FASTA of the transcripts: the same files."""
    first, second = open_store(mammals_store).covered_regions()[:2]
    parts = [(first.start + 3, first.start + 40), (second.start, second.start + 25)]
    rows = [
        f"MT\t.\texon\t{start + 1}\t{end}\t.\t{strand}\t.\tParent={name}\n"
        for name, strand in (("a", "+"), ("b", "-"))
        for start, end in parts[: 2 if name == "a" else 1]
    ]
    gff = tmp_path / "t.gff3"
    gff.write_text("".join(rows))
    chrm = ReferenceGenome.open(CHRM)
    pieces = [chrm.letters(Region("chrM", *part)).decode() for part in parts]
    joined = {"a": "".join(pieces), "b": pieces[0][::-1].translate(str.maketrans("ACGT", "TGCA"))}
    own = tmp_path / "own.fa"
    own.write_text("".join(f">{name}\n{letters}\n" for name, letters in joined.items()))
    reference = {"store": mammals_store, "genome": CHRM, "transcripts": own}[source]
    request = replace(REQUEST, reference=reference, transcripts=gff, transcript_part="exon")
    export_model(run, tmp_path / "toy", request)
    model = load_model(str(tmp_path / "toy"))
    assert model.reference_fasta is None
    assert model.manifest["transcripts"] == {"number": 2, "part": "exon", "bases": 37 * 2 + 25}
    assert {"transcripts.gff3", "transcripts.fa"} < model.manifest["sha256"].keys()
    _, fasta = model.transcripts
    with ReferenceGenome.open(fasta) as found:
        letters = {
            n: found.letters(Region(n, 0, size)).decode() for n, size in found.contigs.items()
        }
    assert letters == joined
    with open_context(model, None, TranscriptChoice()) as spliced:
        assert [spliced.joined(k).decode() for k in range(2)] == [joined["a"], joined["b"]]
        contig = model.manifest["contigs"][0]
        assert spliced.genome.letters(Region(contig, *parts[1])).decode() == pieces[1]


def test_transcripts_need_a_sequence_that_is_theirs(run, tmp_path):
    gff = tmp_path / "t.gff3"
    gff.write_text("chrM\t.\tCDS\t3307\t3400\t.\t+\t0\tParent=a\n")
    short = tmp_path / "short.fa"
    short.write_text(">a\nACGT\n")
    request = replace(REQUEST, transcripts=gff)
    with pytest.raises(UsageError, match="--fasta"):
        export_model(run, tmp_path / "toy", request)
    with pytest.raises(InputError, match="has 4 bases, its parts 94"):
        export_model(run, tmp_path / "toy", replace(request, reference=short))
    assert not (tmp_path / "toy").exists()
