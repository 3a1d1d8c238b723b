from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "human_mtdna" / "data"


def _n_alleles(info: str) -> int:
    return max(item.count("|") for item in info.split(";")) + 1


@pytest.fixture
def example() -> Path:
    """Folder of the human mitochondrial example."""
    return EXAMPLE


@pytest.fixture
def make_vcf(tmp_path: Path) -> Callable[..., str]:
    """Writes a VCF of SNVs with the INFO texts given, on chr1 from position 1 on."""

    def make(infos: list[str], name: str = "scored.vcf", header: str = "") -> str:
        declared = [
            ("PHYLOGPN_LLR", "A", "Float"),
            ("CLASS", "1", "String"),
            ("AF", "A", "Float"),
            ("AC", "A", "Integer"),
        ]
        lines = ["##fileformat=VCFv4.2", "##contig=<ID=chr1,length=1000000>"]
        lines += [
            f'##INFO=<ID={key},Number={number},Type={kind},Description="x">'
            for key, number, kind in declared
        ]
        lines += [header] if header else []
        lines.append("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO")
        lines += [
            f"chr1\t{number}\t.\tA\t{','.join('CGT'[: _n_alleles(info)])}\t.\t.\t"
            + info.replace("|", ",")
            for number, info in enumerate(infos, start=1)
        ]
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)

    return make
