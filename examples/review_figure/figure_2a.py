"""Review Fig. 2a with the shipped models: logos over known regulatory sites, and a number for each.

For each site: the mean information of its positions, against that of every other window of its
length within 300 bases. The picture shows the networks' own numbers, by the sequence alone; the
table has those of the models as they ship beside them, which also know the columns that they were
trained on. Usage:

    python examples/review_figure/figure_2a.py OUTPUT

writes OUTPUT.svg, OUTPUT.png and OUTPUT.tsv.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import phylotools
from phylotools.drawing import FOOTER_LOOK, new_figure, picture_style, save_figure
from phylotools.plots.logo import SiteProfile, profile_sites
from phylotools.plots.logo_panels import draw_letters, draw_ticks, write_sequence
from phylotools.scoring.scorer import Scorer

#: Windows so far from a site, on either side, are what it is compared with.
AROUND = 300
#: Bases shown beside a site.
FLANK = 14
MTDNA, DENGUE = "mammals671-mtdna", "dengue1509"
ALONE, WITH_COLUMNS = "sequence alone", "with its columns"


@dataclass(frozen=True)
class Site:
    """A known site: 1-based, both ends included.

    Attributes
    ----------
    name : str
    model, contig : str
    first, last : int
    letters : str
        What must stand there, or at its beginning: a wrong coordinate is noticed.
    is_drawn : bool
    """

    name: str
    model: str
    contig: str
    first: int
    last: int
    letters: str
    is_drawn: bool = True


#: Human mitochondrial sites on the rCRS, as MITOMAP's table of loci has them (Lott et al. 2013);
#: mTERF: Christianson and Clayton 1988. Dengue's cyclisation sequences: Hahn et al. 1987, Alvarez
#: et al. 2005; by their letters, which are each other's reverse complement.
SITES = (
    Site(
        "light-strand promoter, TFAM site", MTDNA, "chrM", 418, 445, "CACTTTTAACAGTCACCCCC", False
    ),
    Site("light-strand promoter (LSP)", MTDNA, "chrM", 392, 445, "TTCAAATTTTATCTTTTGGC"),
    Site("heavy-strand promoter 1 (HSP1)", MTDNA, "chrM", 545, 567, "GAACCAACCAAACCCCAAAGACA"),
    Site(
        "heavy-strand promoter, TFAM site", MTDNA, "chrM", 523, 550, "ACCGCTGCTAACCCCATACC", False
    ),
    Site("conserved sequence block 1", MTDNA, "chrM", 213, 235, "TAATTAATGCTTGTAGGACATAA", False),
    Site("conserved sequence block 2", MTDNA, "chrM", 299, 315, "CAAACCCCCCCTCCCCC"),
    Site("conserved sequence block 3", MTDNA, "chrM", 346, 363, "TGCCAAACCCCAAAAACA", False),
    Site("mTERF site in tRNA-Leu(UUR)", MTDNA, "chrM", 3229, 3256, "TGTTAAGATGGCAGAGCCCGG"),
    Site("dengue 5' cyclisation sequence", DENGUE, "dengue_all", 136, 146, "TCAATATGCTG"),
    Site("dengue 5' UAR", DENGUE, "dengue_all", 81, 96, "AGAGAGCAGATCTCTG", False),
    Site("dengue 3' cyclisation sequence", DENGUE, "dengue_all", 10544, 10554, "CAGCATATTGA"),
)


@dataclass(frozen=True)
class Finding:
    """What a model says of a site.

    Attributes
    ----------
    site : Site
    profile : SiteProfile
        Of the site and its surroundings.
    inside : float
        Mean information of its positions, bits.
    others : float array
        The same of every window of its length around it.
    is_trained : bool
        Whether the model was trained on these positions.
    how : str
        By the sequence alone, or with fits of the training columns.
    """

    site: Site
    profile: SiteProfile
    inside: float
    others: np.ndarray
    is_trained: bool
    how: str

    @property
    def interval(self) -> tuple[float, float]:
        """Where 95 % of the other windows lie."""
        low, high = np.quantile(self.others, (0.025, 0.975))
        return float(low), float(high)

    @property
    def p_value(self) -> float:
        """Part of all windows, this one among them, with as much information."""
        return float((1 + (self.others >= self.inside).sum()) / (1 + len(self.others)))


def look_at(site: Site, model: phylotools.Model, how: str) -> Finding:
    """Compare a site with the windows around it."""
    with phylotools.ReferenceGenome.open(model.reference_fasta) as genome:
        length = genome.contigs[site.contig]
        start, end = max(site.first - 1 - AROUND, 0), min(site.last + AROUND, length)
        region = phylotools.Region(site.contig, start, end)
        chosen = model.from_sequence_alone() if how == ALONE else model
        profile = profile_sites(Scorer(chosen, genome), region)
        there = genome.letters(phylotools.Region(site.contig, site.first - 1, site.last)).decode()
    if not there.startswith(site.letters):
        raise SystemExit(f"{site.name}: the reference has {there}, not {site.letters}")
    information, width = profile.information, site.last - site.first + 1
    means = np.convolve(information, np.full(width, 1 / width), "valid")
    own = site.first - 1 - start
    apart = np.abs(np.arange(len(means)) - own) >= width
    trained = all(s != "outside_training" for s in profile.status[own : own + width])
    return Finding(site, profile, float(means[own]), means[apart], trained, how)


def write_table(findings: list[Finding], path: Path) -> None:
    header = "site model position trained_on predicted_from bits bits_around around_2.5% "
    header = (header + "around_97.5% p_value").split()
    lines = ["\t".join(header)]
    for found in findings:
        site, (low, high) = found.site, found.interval
        cells = (
            site.name, site.model, f"{site.contig}:{site.first}-{site.last}",
            "yes" if found.is_trained else "no", found.how, f"{found.inside:.3f}",
            f"{found.others.mean():.3f}", f"{low:.3f}", f"{high:.3f}", f"{found.p_value:.3f}",
        )  # fmt: skip
        lines.append("\t".join(cells))
    path.write_text("\n".join(lines) + "\n")


def draw(findings: list[Finding]) -> object:
    """A logo for each site that is drawn; the site shaded."""
    shown = [found for found in findings if found.site.is_drawn]
    width, row, left, top = 9.6, 1.6, 0.75, 0.15
    height = top + row * len(shown) + 0.3
    figure = new_figure(width, height, is_arranged=False)
    for number, found in enumerate(shown):
        site, profile = found.site, found.profile
        own = site.first - 1 - profile.region.start
        size = site.last - site.first + 1
        first, last = max(own - FLANK, 0), min(own + size + FLANK, len(profile.region))
        begin = top + number * row
        wide = (width - left - 0.2) * (last - first) / 82
        axes = figure.add_axes(
            (left / width, 1 - (begin + 1.12) / height, wide / width, 0.85 / height)
        )
        axes.set_xlim(first - 0.5, last - 0.5)
        draw_letters(axes, "information", profile, first, last)
        axes.axvspan(own - 0.5, own + size - 0.5, color="#e8edf2", zorder=0)
        axes.set_ylabel("Bits", fontsize=7)
        axes.tick_params(axis="y", labelsize=6.5, length=2)
        axes.tick_params(axis="x", bottom=False, labelbottom=False)
        low, high = found.interval
        axes.set_title(
            f"{site.name}: {found.inside:.2f} bits, around it {low:.2f} to {high:.2f} "
            f"(p = {found.p_value:.2g})",
            fontsize=8,
        )
        letters = figure.add_axes(
            (left / width, 1 - (begin + 1.27) / height, wide / width, 0.14 / height)
        )
        letters.set_xlim(first - 0.5, last - 0.5)
        write_sequence(letters, profile.reference, first, last, 6.5)
        places = {place: profile.region.start + place + 1 for place in range(first, last)}
        axes.tick_params(axis="x", pad=10)
        draw_ticks(axes, places, 82 / (width - left - 0.2))
        axes.tick_params(axis="x", bottom=False, labelbottom=True, pad=13, labelsize=6.5)
    text = (
        f"phylotools   ·   {MTDNA} (trained on coding sequence alone) and {DENGUE} (the whole "
        "genome), by the sequence alone"
    )
    figure.text(0.1 / width, 0.07 / height, text, va="bottom", **FOOTER_LOOK)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", help="prefix of the files")
    output = parser.parse_args().output
    models = {name: phylotools.load_model(name) for name in (MTDNA, DENGUE)}
    findings = [look_at(site, models[site.model], ALONE) for site in SITES]
    known = [found.site for found in findings if found.is_trained]
    more = [look_at(site, models[site.model], WITH_COLUMNS) for site in known]
    write_table([*findings, *more], Path(f"{output}.tsv"))
    with picture_style():
        save_figure(draw(findings), [Path(f"{output}.svg"), Path(f"{output}.png")])
    print(Path(f"{output}.tsv").read_text(), end="")


if __name__ == "__main__":
    main()
