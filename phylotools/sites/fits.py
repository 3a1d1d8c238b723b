"""Fits and rate tests of a batch of alignment columns, and their lines in a table."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from phylotools.io.bases import BASES, BASES_AND_N
from phylotools.phylogeny.score_meaning import DEFAULT_SCORES, LLR, score_key, score_meaning
from phylotools.phylogeny.site_fit import fit_sites
from phylotools.phylogeny.site_fit.conservation import rate_test
from phylotools.provenance import command_line
from phylotools.sites.preparation import Preparation
from phylotools.store import schema
from phylotools.store.columns import Columns
from phylotools.store.read import ColumnStore
from phylotools.store.view import StoreView
from phylotools.version import __version__

_MISSING = "."
#: The columns that a table of sites and one of alleles share.
_SITE_COLUMNS = {
    "n_species": "species with A, C, G or T, the reference included",
    "log_rate": "log R",
    "site_rate": "expected substitutions per neutral substitution",
    "entropy": "of the equilibrium frequencies, in nats",
    "conservation": "-log10 p of the likelihood-ratio test against the neutral rate; positive: "
    "slower than neutral, negative: faster",
}


@dataclass(frozen=True)
class SiteFits:
    """Fits of the sites of a batch; first axis C, positions of one contig.

    Attributes
    ----------
    contig : str
    position : int64 array [C]
        0-based.
    reference : uint8 array [C]
        Base codes; above 3 where the reference base is not known.
    n_species : int64 array [C]
        Species with A, C, G or T, the reference included.
    llr : float64 array [C, 4]
        log pi of each base minus that of the reference base; NaN where that is not known.
    default : float64 array [C, 4] or None
        The substitution model's default score of the change to each base; None where that is `llr`.
    log_rate : float64 array [C]
        log R.
    site_rate : float64 array [C]
        Expected substitutions per neutral substitution.
    entropy : float64 array [C]
        Of the equilibrium frequencies, in nats.
    log_scale : float64 array [C]
        Logarithm of the maximum likelihood rate of the rate test, relative to neutral; -inf where
        all species have one base.
    conservation : float64 array [C]
        -log10 of the p-value of the rate test, positive where conserved, negative where fast.
    """

    contig: str
    position: NDArray[np.int64]
    reference: NDArray[np.uint8]
    n_species: NDArray[np.int64]
    llr: NDArray[np.float64]
    default: NDArray[np.float64] | None
    log_rate: NDArray[np.float64]
    site_rate: NDArray[np.float64]
    entropy: NDArray[np.float64]
    log_scale: NDArray[np.float64]
    conservation: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.position)

    @property
    def mean_llr(self) -> NDArray[np.float64]:
        """Mean over the three alternatives, shape [C]; NaN where the reference is not known."""
        return self.llr.sum(axis=1) / 3


def fit_columns(batch: Sequence[Columns], prepared: Preparation) -> list[SiteFits]:
    """Fit and test every column of a batch, all in one search; one result for each of its parts."""
    device = prepared.neutral.device
    all_states = np.concatenate([columns.states for columns in batch])
    states = torch.from_numpy(all_states).to(device)
    reference = torch.from_numpy(np.concatenate([c.reference for c in batch])).to(device)
    network, model = prepared.network, prepared.model
    plan = prepared.plans.of_columns(batch)
    centre = None
    if network is not None:
        centre = torch.cat([network.theta(columns) for columns in batch]).to(device)
    theta = fit_sites(states, reference, plan, prepared.prior, model, centre)
    with torch.no_grad():
        wide = theta.double()
        site_rate = model.site_rate(wide)
        scores = [
            _of_reference(model.change_scores(wide, name), reference.cpu())
            for name in dict.fromkeys((LLR, DEFAULT_SCORES[model.name]))
        ]
        test = rate_test(
            states, plan, prepared.neutral, model, start=site_rate.clamp(min=1e-30).log()
        )
        found = (
            *scores, model.log_rate(wide), site_rate, model.entropy(wide),
            test.log_scale, test.signed_log10_p,
        )  # fmt: skip
    ends = np.cumsum([len(columns) for columns in batch])[:-1]
    n_species = schema.species_depth(all_states).astype(np.int64)
    values = (n_species, *(value.cpu().numpy() for value in found))
    parts = zip(*(np.split(value, ends) for value in values), strict=True)
    fits = []
    for columns, (depth, llr, *rest) in zip(batch, parts, strict=True):
        default = rest.pop(0) if len(scores) > 1 else None
        place = columns.contig, columns.position, columns.reference
        fits.append(SiteFits(*place, depth, llr, default, *rest))
    return fits


def _of_reference(changes: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Scores of changes from the reference base, [C, 4], out of those of all, [C, 4, 4]."""
    rows = torch.arange(len(reference))
    chosen = changes[rows, reference.clamp(max=3).long()]
    return chosen.masked_fill((reference > 3).unsqueeze(1), torch.nan)


def header(
    store: ColumnStore, prepared: Preparation, *, per_allele: bool, command: str | None = None
) -> bytes:
    """The lines before the first site; the command is this one unless given."""
    prior = prepared.prior
    facts = {
        "fit_sites": f"phylotools {__version__}",
        "command": command_line() if command is None else command,
        "store": f"{store.path.name} {store.fingerprint}",
        "reference_species": store.reference_species,
        "substitution": " ".join(
            [
                prepared.model.name,
                *(f"{k}={_plain(v)}" for k, v in prepared.model.settings().items()),
            ]
        ),
        "prior": f"log_rate_mean={_mean(prepared)} log_rate_sd={prior.log_rate_sd:g} "
        f"frequency_sd={prior.log_frequency_sd:g}",
        "background": _plain(prepared.background),
    }
    if isinstance(store, StoreView) and store.region_trees is not None:
        facts["trees"] = f"{store.region_trees.path} {store.region_trees.sha256}"
    if isinstance(store, StoreView):
        facts["species"] = ",".join(store.species)
    if prepared.predictor is not None:
        model = prepared.predictor
        facts["prior_model"] = f"{model.name} {model.revision} {model.sha256}"
    name = prepared.model.name
    own, default = (
        {score_key(score): score_meaning(name, score)}
        if per_allele
        else {
            f"{score_key(score)}_{base}": f"{score_meaning(name, score)}, ALT = {base}"
            for base in BASES
        }
        for score in (LLR, DEFAULT_SCORES[name])
    )
    # The same again where the default is the LLR.
    columns = {**own, **_SITE_COLUMNS, **{k: v for k, v in default.items() if k not in own}}
    lines = [f"##{name}={value}" for name, value in facts.items()]
    lines += [f"##column={name}: {text}" for name, text in columns.items()]
    place = ["contig", "pos", "ref", *(["alt"] if per_allele else [])]
    lines.append("#" + "\t".join([*place, *columns]))
    # One line each, whatever a command line holds.
    return "".join(line.replace("\n", " ") + "\n" for line in lines).encode(
        "utf-8", "surrogateescape"
    )


def site_lines(fits: SiteFits) -> bytes:
    """A line for every site of a batch."""
    llr = zip(*(_decimals(fits.llr[:, base]) for base in range(4)), strict=True)
    default: Iterable[tuple[str, ...]] = itertools.repeat((), len(fits))
    if fits.default is not None:
        default = zip(*(_decimals(fits.default[:, base]) for base in range(4)), strict=True)
    return "".join(
        "\t".join([place, BASES_AND_N[base], *own, rest, *more]) + "\n"
        for place, base, own, rest, more in zip(
            _places(fits), _bases(fits), llr, _site_values(fits), default, strict=True
        )
    ).encode()


def allele_lines(fits: SiteFits) -> bytes:
    """A line for every alternative of every site of a batch whose reference base is known."""
    llr = [_decimals(fits.llr[:, base]) for base in range(4)]
    scores = [] if fits.default is None else [fits.default]
    more = [[_decimals(values[:, base]) for base in range(4)] for values in scores]
    return "".join(
        "\t".join(
            [
                place,
                BASES_AND_N[base],
                BASES_AND_N[other],
                llr[other][row],
                rest,
                *(texts[other][row] for texts in more),
            ]
        )
        + "\n"
        for row, (place, base, rest) in enumerate(
            zip(_places(fits), _bases(fits), _site_values(fits), strict=True)
        )
        for other in range(4)
        if base < 4 and other != base
    ).encode()


def _places(fits: SiteFits) -> list[str]:
    return [f"{fits.contig}\t{position}" for position in (fits.position + 1).tolist()]


def _bases(fits: SiteFits) -> list[int]:
    return np.minimum(fits.reference, 4).tolist()


def _site_values(fits: SiteFits) -> Iterable[str]:
    return map(
        "\t".join,
        zip(
            map(str, fits.n_species.tolist()),
            _decimals(fits.log_rate),
            (f"{value:.4g}" for value in fits.site_rate.tolist()),
            _decimals(fits.entropy),
            _decimals(fits.conservation),
            strict=True,
        ),
    )


def _decimals(values: NDArray[np.float64]) -> list[str]:
    """Three decimals, no minus before a zero; the fits are good to about so much."""
    return [
        _MISSING if value != value else f"{value:.3f}"
        for value in (np.round(values, 3) + 0.0).tolist()
    ]


def _mean(prepared: Preparation) -> str:
    given = prepared.prior.log_rate_mean
    if given is None and prepared.predictor is not None:
        return "model"
    return _plain(prepared.model.neutral_log_rate if given is None else given)


def _plain(value: object) -> str:
    """A setting in few characters."""
    if isinstance(value, list | tuple):
        return ",".join(map(_plain, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value).lower()
