"""Every verb with an imported PhyloGPN of every layout, against the network's plain products."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
import torch
from published_layouts import LAYOUTS, dense_values, imported, tile_windows, tokens_of

import phylotools
from phylotools.cli.main import run
from phylotools.embedding.source import context_matrix
from phylotools.io.vector_reading import read_vectors

pytestmark = pytest.mark.usefixtures("one_thread")
CONTIGS = {"chr1": 1700, "chr2": 300}
#: Lone ones and neighbours, both ends of a contig, both sides of a tile's edge.
PLACES = [("chr1", at) for at in (0, 100, 101, 102, 511, 512, 1200, 1699)]
PLACES += [("chr2", at) for at in (0, 150, 299)]
BASES = "ACGT"
#: Scores are written with four digits after the point.
PRINTED = 6e-5


@pytest.fixture(scope="module")
def letters() -> dict[str, str]:
    draw = np.random.default_rng(11)
    return {name: "".join(draw.choice(list(BASES), n)) for name, n in CONTIGS.items()}


@pytest.fixture(scope="module", params=LAYOUTS)
def case(request, letters, tmp_path_factory):
    """A layout's model, and a folder with its genome and variants."""
    place = tmp_path_factory.mktemp(request.param)
    imported(request.param, place / "model")
    text = "".join(f">{name}\n{bases}\n" for name, bases in letters.items())
    (place / "genome.fa").write_text(text)
    write_variants(place / "all.vcf", letters, PLACES)
    network = phylotools.load_model(str(place / "model")).network
    return place, {name: dense_values(network, bases) for name, bases in letters.items()}


def other_base(base: str) -> str:
    return BASES[(BASES.index(base) + 1) % 4]


def write_variants(path, letters, places) -> None:
    lines = ["##fileformat=VCFv4.2", *(f"##contig=<ID={name}>" for name in CONTIGS)]
    lines.append("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO")
    for contig, at in places:
        ref = letters[contig][at]
        lines.append(f"{contig}\t{at + 1}\t.\t{ref}\t{other_base(ref)}\t.\t.\t.")
    path.write_text("\n".join(lines) + "\n")


def annotated(place, *options: str, variants: str = "all.vcf") -> tuple[list[str], list[str]]:
    """Header and records of an annotated file."""
    out = place / "out.vcf"
    arguments = ["-m", place / "model", "-f", place / "genome.fa", "-o", out, "--force", *options]
    assert run(["annotate", str(place / variants), *map(str, arguments)]) == 0
    lines = out.read_text().splitlines()
    return [x for x in lines if x[0] == "#"], [x for x in lines if x[0] != "#"]


def info(record: str) -> dict[str, str]:
    return dict(entry.split("=") for entry in record.split("\t")[7].split(";"))


def test_annotate(case, letters):
    place, dense = case
    header, records = annotated(place)
    assert len(records) == len(PLACES)
    for record, (contig, at) in zip(records, PLACES, strict=True):
        theta, ref = dense[contig][0][at], letters[contig][at]
        llr = theta[BASES.index(other_base(ref))] - theta[BASES.index(ref)]
        assert float(info(record)["PHYLOGPN_LLR"]) == pytest.approx(llr, abs=PRINTED)
        rate = np.exp(theta.astype(float)).sum() * (1 - np.sum(softmax(theta) ** 2))
        assert float(info(record)["PHYLOGPN_RATE"]) == pytest.approx(rate, rel=1e-3)
    (made_by,) = [line for line in header if line.startswith("##phylotools_annotate")]
    says_window = 'Window="tiles of 512 positions from the start of each contig and 36' in made_by
    assert says_window == ("group" in place.name)


def softmax(theta: np.ndarray) -> np.ndarray:
    shares = np.exp(theta.astype(float))
    return shares / shares.sum()


def test_a_score_is_the_same_alone_in_company_by_regions_and_threads(case, letters):
    place, _ = case
    _, together = annotated(place)
    for options in (["-@", "1"], ["-@", "3"], ["--batch-size", "2"]):
        assert annotated(place, *options)[1] == together
    chosen = annotated(place, "-r", "chr1:512-1201", "-r", "chr2:300")[1]
    assert chosen == [*together[4:7], together[10]]
    for number, contig_and_place in enumerate(PLACES):
        write_variants(place / "one.vcf", letters, [contig_and_place])
        assert annotated(place, variants="one.vcf")[1] == [together[number]]


def test_changes_of_several_bases_have_scores(case, letters):
    place, _ = case
    text = letters["chr1"]
    rows = [(600, text[600:603], text[600:601]), (900, text[900], text[900] + "ACG"),
            (510, text[510:514], "".join(map(other_base, text[510:514])))]  # fmt: skip
    lines = ["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    lines += [f"chr1\t{at + 1}\t.\t{ref}\t{alt}\t.\t.\t." for at, ref, alt in sorted(rows)]
    (place / "changes.vcf").write_text("\n".join(lines) + "\n")
    together = annotated(place, variants="changes.vcf")[1]
    assert all(np.isfinite(float(info(record)["PHYLOGPN_LLR"])) for record in together)
    for number in range(3):
        (place / "one.vcf").write_text("\n".join([*lines[:2], lines[2 + number]]) + "\n")
        assert annotated(place, variants="one.vcf")[1] == [together[number]]


def test_tracks_say_what_annotate_says(case, letters):
    place, dense = case
    _, records = annotated(place)
    arguments = ["-m", place / "model", "-f", place / "genome.fa", "-o", place / "tracks"]
    assert run(["tracks", *map(str, arguments), "--force"]) == 0
    table = gzip.decompress((place / "tracks" / "snv_scores.tsv.gz").read_bytes()).decode()
    scores = {}
    for line in table.splitlines():
        if line[0] != "#":
            contig, pos, ref, alt, llr, *_ = line.split("\t")
            scores[contig, pos, ref, alt] = float(llr)
            shares = dense[contig][0][int(pos) - 1]
            wanted = shares[BASES.index(alt)] - shares[BASES.index(ref)]
            assert float(llr) == pytest.approx(wanted, abs=PRINTED)
    assert len(scores) == 3 * sum(CONTIGS.values())
    for record in records:
        contig, pos, _, ref, alt, *_ = record.split("\t")
        assert float(info(record)["PHYLOGPN_LLR"]) == pytest.approx(
            scores[contig, pos, ref, alt], abs=1e-4
        )
    record = json.loads((place / "tracks" / "tracks.json").read_text())
    assert ("window" in record["model"]) == ("Window" in table) == ("group" in place.name)
    looked_up = annotated(place, "--scores", str(place / "tracks"))[1]
    for found, computed in zip(looked_up, records, strict=True):
        for key, value in info(computed).items():
            if key != "PHYLOGPN_STATUS":
                assert float(info(found)[key]) == pytest.approx(float(value), rel=1e-3, abs=1e-3)


def embedded(place, *options: str):
    """What `phylotools embed` makes of three regions, base by base."""
    bed = "chr1\t90\t110\na\nchr1\t500\t1030\nb\nchr2\t0\t300\nc\n".replace("\na\n", "\ta\n")
    (place / "three.bed").write_text(bed.replace("\nb\n", "\tb\n").replace("\nc\n", "\tc\n"))
    out = place / "vectors.parquet"
    arguments = ["-m", place / "model", "-f", place / "genome.fa", "-o", out, "--force"]
    words = ["embed", str(place / "three.bed"), *map(str, arguments), "--pool", "none", *options]
    assert run(words) == 0
    return read_vectors(str(out))


def rows_of(dense, kind: int) -> np.ndarray:
    spans = (("chr1", 90, 110), ("chr1", 500, 1030), ("chr2", 0, 300))
    return np.concatenate([dense[contig][kind][start:end] for contig, start, end in spans])


def test_embed(case):
    place, dense = case
    found = embedded(place)
    assert found.rows.vector.shape == (850, 32)
    np.testing.assert_allclose(found.rows.vector, rows_of(dense, 1), rtol=0, atol=1e-5)
    assert ("window" in found.metadata) == ("group" in place.name)


def test_embed_with_the_context_of_phylogpn_x(case):
    """By torch's own pooling, as the authors write it, over contigs that end."""
    place, dense = case
    found = embedded(place, "--context-pooling")
    linear = torch.nn.Linear(32, 32, bias=False)
    state = torch.get_rng_state()
    torch.manual_seed(42)
    with torch.no_grad():
        linear.weight.normal_(mean=0.0, std=1.0)
    torch.set_rng_state(state)
    np.testing.assert_array_equal(linear.weight.detach().numpy(), context_matrix(32))
    pooled = {}
    for contig, (_, vectors) in dense.items():
        own = torch.from_numpy(vectors.copy())
        means = torch.nn.functional.avg_pool1d(own.T[None], 5521, stride=1, padding=2760)[0].T
        with torch.no_grad():
            pooled[contig] = (None, (own + linear(means)).numpy())
    np.testing.assert_allclose(found.rows.vector, rows_of(pooled, 1), rtol=0, atol=2e-5)


def test_embed_on_the_other_strand(case, letters):
    """The norms are no palindromes: the other strand is read for itself, in the same windows."""
    place, _ = case
    network = phylotools.load_model(str(place / "model")).network
    windows = tile_windows(letters["chr1"], network.spec.receptive_field // 2)
    complement = str.maketrans("ACGT", "TGCA")
    found = []
    for window in windows:
        tokens = torch.from_numpy(tokens_of(window.translate(complement)[::-1]).astype(np.int64))
        with torch.inference_mode():
            found.append(network.dense_hidden(tokens, 6, True)[0].numpy()[::-1])
    (place / "reverse.bed").write_text("chr1\t500\t1030\tb\t0\t-\n")
    out = place / "reverse.parquet"
    words = ["embed", place / "reverse.bed", "-m", place / "model", "-f", place / "genome.fa", "-o",
             out, "--pool", "none", "--strand", "bed", "--force"]  # fmt: skip
    assert run([str(word) for word in words]) == 0
    vectors = read_vectors(str(out)).rows.vector
    # Rows follow the region's strand.
    np.testing.assert_allclose(vectors[::-1], np.concatenate(found)[500:1030], rtol=0, atol=1e-5)


def test_plot_logo(case):
    place, _ = case
    arguments = ["-m", place / "model", "-f", place / "genome.fa", "-o", place / "logo.svg"]
    assert run(["plot", "logo", "-r", "chr1:500-560", *map(str, arguments), "--force"]) == 0
    assert "<svg" in (place / "logo.svg").read_text()


def test_python(case, letters):
    place, dense = case
    model = phylotools.load_model(str(place / "model"))
    fasta = place / "genome.fa"
    sites = phylotools.predict_sites(model, regions=[("chr1", 500, 560)], fasta=fasta)
    np.testing.assert_allclose(sites[0].theta, dense["chr1"][0][500:560], rtol=0, atol=1e-5)
    (vectors,) = phylotools.embed(model, regions=[("chr2", 0, 300)], fasta=fasta, pool="none")
    np.testing.assert_allclose(vectors, dense["chr2"][1], rtol=0, atol=1e-5)
    # A sequence is a contig of its own: its tiles begin where it does, whatever else is given.
    alone = phylotools.predict_sites(model, letters["chr2"])
    np.testing.assert_allclose(alone.theta, dense["chr2"][0], rtol=0, atol=1e-5)
    several = phylotools.predict_sites(model, ["ACGT", letters["chr2"], letters["chr1"]])
    np.testing.assert_array_equal(several[1].theta, alone.theta)
    np.testing.assert_allclose(several[2].theta, dense["chr1"][0], rtol=0, atol=1e-5)
    found = phylotools.score_variants(
        model, {"chrom": ["chr1"], "pos": [601], "ref": [letters["chr1"][600]],
                "alt": [other_base(letters["chr1"][600])]}, fasta=fasta,
    )  # fmt: skip
    theta, ref = dense["chr1"][0][600], letters["chr1"][600]
    wanted = theta[BASES.index(other_base(ref))] - theta[BASES.index(ref)]
    np.testing.assert_allclose(found.llr, [wanted], atol=1e-5)


def test_info_inspect_and_list_say_what_it_is(case, capsys, monkeypatch, tmp_path):
    place, _ = case
    folder = str(place / "model")
    for words in (["model", "info", folder], ["inspect", "--json", folder]):
        capsys.readouterr()
        assert run(words) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["published"]["generations"] == []
        assert len(said["published"]["files"]) == 2
        assert said["network"]["norm"] == LAYOUTS[place.name.rstrip("0123456789")]
    assert run(["inspect", folder]) == 0
    assert "norm known by" in capsys.readouterr().out
    assert run(["model", "info", "--card", folder]) == 0
    card = capsys.readouterr().out
    assert "Licence of the weights" in card
    assert "SHA-256" in card
