"""Chromosomes of well-known assemblies: names, accessions, lengths. Facts alone.

Lengths are those of the assemblies' own reports at NCBI, which UCSC and Ensembl share. The
mitochondrion stands apart: see `Assembly`.
"""

from __future__ import annotations

from dataclasses import dataclass

HUMAN_CHROMOSOMES = (*map(str, range(1, 23)), "X", "Y")
_MOUSE_CHROMOSOMES = (*map(str, range(1, 20)), "X", "Y")
#: Of the revised Cambridge Reference Sequence (NC_012920.1).
HUMAN_MITOCHONDRION_LENGTH = 16569


@dataclass(frozen=True, eq=False)
class Assembly:
    """A genome assembly whose chromosomes are known.

    Attributes
    ----------
    name : str
        As UCSC has it: hg38.
    other_name : str
        As its makers have it: GRCh38.
    species : str
    lengths : dict of str to int
        Length of each nuclear chromosome by its name without ``chr``.
    mitochondrion_lengths : tuple of int
        That its mitochondrion has in files on this assembly. UCSC's hg19 began with another
        sequence than that of GRCh37.
    """

    name: str
    other_name: str
    species: str
    lengths: dict[str, int]
    mitochondrion_lengths: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} ({self.other_name})"


def _assembly(
    name: str,
    other_name: str,
    species: str,
    lengths: tuple[int, ...],
    mitochondrion_lengths: tuple[int, ...] = (HUMAN_MITOCHONDRION_LENGTH,),
) -> Assembly:
    names = _MOUSE_CHROMOSOMES if species == "mouse" else HUMAN_CHROMOSOMES
    by_name = dict(zip(names, lengths, strict=True))
    return Assembly(name, other_name, species, by_name, mitochondrion_lengths)


ASSEMBLIES = (
    _assembly("hg38", "GRCh38", "human", (
        248956422, 242193529, 198295559, 190214555, 181538259, 170805979, 159345973, 145138636,
        138394717, 133797422, 135086622, 133275309, 114364328, 107043718, 101991189, 90338345,
        83257441, 80373285, 58617616, 64444167, 46709983, 50818468, 156040895, 57227415,
    )),
    _assembly("hg19", "GRCh37", "human", (
        249250621, 243199373, 198022430, 191154276, 180915260, 171115067, 159138663, 146364022,
        141213431, 135534747, 135006516, 133851895, 115169878, 107349540, 102531392, 90354753,
        81195210, 78077248, 59128983, 63025520, 48129895, 51304566, 155270560, 59373566,
    ), (16571, HUMAN_MITOCHONDRION_LENGTH)),
    _assembly("hs1", "T2T-CHM13v2.0", "human", (
        248387328, 242696752, 201105948, 193574945, 182045439, 172126628, 160567428, 146259331,
        150617247, 134758134, 135127769, 133324548, 113566686, 101161492, 99753195, 96330374,
        84276897, 80542538, 61707364, 66210255, 45090682, 51324926, 154259566, 62460029,
    )),
    _assembly("hg18", "NCBI36", "human", (
        247249719, 242951149, 199501827, 191273063, 180857866, 170899992, 158821424, 146274826,
        140273252, 135374737, 134452384, 132349534, 114142980, 106368585, 100338915, 88827254,
        78774742, 76117153, 63811651, 62435964, 46944323, 49691432, 154913754, 57772954,
    ), (16571,)),
    _assembly("mm39", "GRCm39", "mouse", (
        195154279, 181755017, 159745316, 156860686, 151758149, 149588044, 144995196, 130127694,
        124359700, 130530862, 121973369, 120092757, 120883175, 125139656, 104073951, 98008968,
        95294699, 90720763, 61420004, 169476592, 91455967,
    ), (16299,)),
    _assembly("mm10", "GRCm38", "mouse", (
        195471971, 182113224, 160039680, 156508116, 151834684, 149736546, 145441459, 129401213,
        124595110, 130694993, 122082543, 120129022, 120421639, 124902244, 104043685, 98207768,
        94987271, 90702639, 61431566, 171031299, 91744698,
    ), (16299,)),
)  # fmt: skip
BY_NAME = {assembly.name: assembly for assembly in ASSEMBLIES}
