"""Records a second of `annotate`, from bgzip VCF to bgzip VCF with an index.

python benchmarks/annotate.py [--records 1000000] [--threads 2] [--runs 3] [--network]

1. Everything but the network: a stand-in that says the same of every base. In the same turn:
   bcftools reading the file and writing it again, with its index, and cyvcf2 (where it can be
   imported) reading it while Python writes text.
2. The stages one by one, each alone on one core.
3. With --network, the model that ships with phylotools on a tenth of the records.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

# As the command does before torch is loaded, see cli/main.py.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
import torch
from make_variants import make_variants
from paired import compare

from phylotools.annotate.run import AnnotationSettings, annotate_file
from phylotools.annotate.variants import VariantAnnotator
from phylotools.io.bgzf import BgzfWriter
from phylotools.io.genome import ReferenceGenome
from phylotools.io.vcf.reader import open_variants
from phylotools.model.folder import ModelIdentity
from phylotools.model.presets import ModelSpec
from phylotools.phylogeny.change_scores import MutationProcess
from phylotools.phylogeny.substitution import F81, SubstitutionModel
from phylotools.scoring.scorer import Scorer


class Constant(torch.nn.Module):
    """The same theta everywhere, at no cost."""

    def forward(self, tokens: torch.Tensor, wanted: torch.Tensor | None) -> torch.Tensor:
        return torch.tensor([0.1, 0.2, 0.3, 0.4]).expand(len(tokens), tokens.shape[1] - 72, 4)


SPEC = ModelSpec(channels=2, bottleneck=2, dilations=(1, 5, 12))
IDENTITY = ModelIdentity("constant", "1", "0" * 64)


@dataclass
class ConstantModel:
    """What `annotate_file` reads of a model."""

    reference_fasta: Path
    site_model: torch.nn.Module = field(default_factory=Constant)
    spec: ModelSpec = SPEC
    receptive_field: int = 73
    training_regions: None = None
    transcripts: None = None
    site_fits: None = None
    tile_length: None = None
    masks_site: bool = False
    substitution: SubstitutionModel = field(default_factory=F81)
    identity: ModelIdentity = field(default_factory=lambda: IDENTITY)
    mutation_process: MutationProcess = field(default_factory=lambda: F81().mutation_process())
    name: str = "constant"
    device: str = "cpu"

    def choose_reference(self, fasta: str | None) -> str:
        return str(fasta or self.reference_fasta)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--network", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n = arguments.records
        path, fasta = make_variants(folder, n)
        print(f"{n:,} records, {path.stat().st_size / 1e6:.0f} MB compressed")
        whole_runs(path, fasta, n, arguments.threads, arguments.runs)
        stages(path, fasta, n)
        if arguments.network:
            with_network(folder, n // 10, arguments.threads)


def whole_runs(path: Path, fasta: Path, n: int, threads: int, runs: int) -> None:
    """Whole runs, in turn."""
    model = ConstantModel(fasta)
    output = path.with_name("out.vcf.gz")

    def annotate(**given: bool) -> Callable[[], object]:
        settings = AnnotationSettings(force=True, threads=threads, **given)
        return lambda: annotate_file(model, str(path), str(output), settings)  # type: ignore[arg-type]

    def bcftools() -> None:
        view = ["bcftools", "view", "--threads", str(threads), "-Oz", "-o", str(output), str(path)]
        subprocess.run(view, check=True)
        subprocess.run(["bcftools", "index", "-f", "-t", str(output)], check=True)

    ways: dict[str, Callable[[], object]] = {
        "annotate, no indels": annotate(score_indels=False),
        "annotate": annotate(),
        "bcftools view and index": bcftools,
    }
    try:
        import cyvcf2
    except ImportError:
        print("cyvcf2 cannot be imported: not compared")
    else:

        def read_and_write_text() -> None:
            with open(path.with_name("out.vcf"), "w") as handle:
                for record in cyvcf2.VCF(str(path)):
                    handle.write(str(record))

        ways["cyvcf2 to text"] = read_and_write_text
    compare(ways, work=n, unit="records/s", runs=runs)
    start = time.process_time()
    ways["annotate, no indels"]()
    spent = time.process_time() - start
    print(f"  annotate, no indels: {spent / n * 1e6:.1f} us of CPU a record, all threads together")


def stages(path: Path, fasta: Path, n: int) -> None:
    """Each stage on what the one before it made; nothing overlaps."""
    seconds: dict[str, float] = dict.fromkeys(
        ("read", "judge", "score", "write", "compress", "index"), 0.0
    )

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        seconds[stage] += time.perf_counter() - start

    output = path.with_name("stages.vcf.gz")
    with (
        open_variants(str(path)) as source,
        ReferenceGenome.open(fasta) as genome,
        open(output, "wb") as raw,
        BgzfWriter(raw) as out,
    ):
        out.write(source.header.to_bytes())
        scorer = Scorer(ConstantModel(fasta), genome, threads=1)  # type: ignore[arg-type]
        annotator = VariantAnnotator(scorer, source.header, source.path, score_indels=False)
        blocks = iter(source.blocks)
        while True:
            with timed("read"):
                block = next(blocks, None)
            if block is None:
                break
            with timed("judge"):
                judged = annotator.judge(block)
            with timed("score"):
                scores = annotator.score(judged)
            with timed("write"):
                batch = annotator.write(judged, scores)
            with timed("compress"):
                out.write(batch.text)
        out.finish()
    import pysam

    with timed("index"):
        pysam.tabix_index(str(output), preset="vcf", force=True)
    print("each stage alone, no indels scored")
    for stage, spent in seconds.items():
        print(f"  {stage:10s} {n / spent:12,.0f} records/s  {spent / n * 1e6:6.2f} us a record")


def with_network(folder: Path, n: int, threads: int) -> None:
    """The model that ships, on fewer records; its network is most of the time."""
    from phylotools.model.registry import load_model

    path, fasta = make_variants(folder, n)
    settings = AnnotationSettings(force=True, threads=threads, fasta=str(fasta), score_indels=False)
    start = time.perf_counter()
    annotate_file(load_model(None, "auto"), str(path), str(folder / "network.vcf.gz"), settings)
    print(f"with the network: {n / (time.perf_counter() - start):,.0f} records/s")


if __name__ == "__main__":
    main()
