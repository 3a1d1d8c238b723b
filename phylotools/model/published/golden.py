"""Whether a network gives the numbers that PhyloGPN's authors printed, and of which release."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from phylotools.errors import InputError, shown
from phylotools.model.folder import Model
from phylotools.model.presets import VOCABULARY
from phylotools.model.site_model import SiteModel

_TABLE = Path(__file__).with_name("golden.json")


@dataclass(frozen=True)
class GoldenSet:
    """Numbers that one release gives for one window.

    Attributes
    ----------
    id, title, source : str
    norm : {'layer', 'group'}
    tolerance : float
        Beyond rounding of the printed numbers and another machine's arithmetic.
    window : str
        Sequence that is read whole.
    log_rates, rates, probabilities : list of list of float
        Of the window's first output positions, or empty: theta, exp theta, equilibrium
        frequencies.
    embedding_ends : list of list of float
        The first and last channels of their embeddings.
    llr : dict
        ``value`` of the change of ``ref`` to ``alt`` at the output ``position``; may be empty.
    """

    id: str
    title: str
    source: str
    norm: str
    tolerance: float
    window: str
    log_rates: list[list[float]] = field(default_factory=list)
    rates: list[list[float]] = field(default_factory=list)
    probabilities: list[list[float]] = field(default_factory=list)
    embedding_ends: list[list[float]] = field(default_factory=list)
    llr: dict[str, Any] = field(default_factory=dict)

    @property
    def n_numbers(self) -> int:
        rows = [*self.log_rates, *self.rates, *self.probabilities, *self.embedding_ends]
        return sum(map(len, rows)) + bool(self.llr)

    def difference(self, model: SiteModel) -> float:
        """Largest difference of a number of this set from what a network gives."""
        device = next(model.parameters()).device
        tokens = torch.tensor([[VOCABULARY.index(base) for base in self.window]], device=device)
        with torch.inference_mode():
            theta = model(tokens)[0].double().cpu().numpy()
        frequencies = np.exp(theta) / np.exp(theta).sum(axis=1, keepdims=True)
        found = [
            _largest(theta, self.log_rates),
            _largest(theta, np.log(self.rates)),
            _largest(frequencies, self.probabilities),
        ]
        if self.embedding_ends:
            with torch.inference_mode():
                vectors = model.network.hidden(tokens)[0].double().cpu().numpy()
            half = len(self.embedding_ends[0]) // 2
            found.append(
                _largest(np.hstack([vectors[:, :half], vectors[:, -half:]]), self.embedding_ends)
            )
        if self.llr:
            ref, alt = (VOCABULARY.index(self.llr[key]) for key in ("ref", "alt"))
            row = theta[self.llr["position"]]
            found.append(abs(row[alt] - row[ref] - self.llr["value"]))
        return float(max(found))


@dataclass(frozen=True)
class GoldenTable:
    """All that the authors printed.

    Attributes
    ----------
    network : dict
        Shape of the published networks, as `ModelSpec` names it.
    known_files : dict of str to str
        SHA-256 of a published file -> what it is.
    sets : tuple of GoldenSet
    """

    network: dict[str, Any]
    known_files: dict[str, str]
    sets: tuple[GoldenSet, ...]

    @classmethod
    def read(cls, path: Path = _TABLE) -> GoldenTable:
        """The table that ships with the package, or one like it."""
        table = json.loads(path.read_text(encoding="utf-8"))
        known = {entry["sha256"]: entry["what"] for entry in table["known_files"]}
        return cls(table["network"], known, tuple(GoldenSet(**entry) for entry in table["sets"]))

    def compare(self, model: SiteModel) -> GoldenComparison:
        """Compare a network with every release that it can be."""
        spec = model.network.spec
        shape = spec.to_dict()
        if any(shape[key] != value for key, value in self.network.items()):
            return GoldenComparison(False, ())
        return GoldenComparison(
            True,
            tuple(
                (golden, golden.difference(model))
                for golden in self.sets
                if golden.norm == spec.norm
            ),
        )


@dataclass(frozen=True)
class GoldenComparison:
    """How a network compares with what was printed.

    Attributes
    ----------
    has_published_shape : bool
    differences : tuple of (GoldenSet, float)
        The sets of the network's norm, and the largest difference from each.
    """

    has_published_shape: bool
    differences: tuple[tuple[GoldenSet, float], ...]

    @property
    def matching(self) -> tuple[tuple[GoldenSet, float], ...]:
        """Those whose every number the network gives."""
        return tuple((g, d) for g, d in self.differences if d <= g.tolerance)

    @property
    def generations(self) -> list[str]:
        """Their names, for a manifest."""
        return [golden.id for golden, _ in self.matching]

    def lines(self) -> list[str]:
        """What a user is told: which release it is, or that it is none."""
        if not self.has_published_shape:
            return ["none of the published generations: the network has another shape"]
        if not self.differences:
            return ["none of the published generations: they have another norm"]
        if not self.matching:
            nearest, difference = min(self.differences, key=lambda pair: pair[1])
            return [
                "none of the published generations: the nearest, "
                f"{nearest.id}, differs by {difference:.3g}"
            ]
        return [
            f"generation {golden.id} ({golden.title}): {golden.n_numbers} numbers that its authors "
            f"printed within {difference:.1e}, tolerance {golden.tolerance:g}"
            for golden, difference in self.matching
        ]


def verify_published(model: Model, table: GoldenTable | None = None) -> GoldenComparison | None:
    """Recompute what the authors printed.

    Parameters
    ----------
    model : Model
    table : GoldenTable, optional
        By default the one that ships with the package.

    Returns
    -------
    GoldenComparison or None
        None for a model that was not imported.

    Raises
    ------
    InputError
        If the manifest names a generation whose numbers the network does not give.
    """
    published = model.manifest.get("published")
    if not isinstance(published, dict):
        return None
    comparison = (table or GoldenTable.read()).compare(model.site_model)
    claimed = published.get("generations")
    missing = set(claimed if isinstance(claimed, list) else []) - set(comparison.generations)
    if missing:
        names = ", ".join(sorted(shown(str(name)) for name in missing))
        raise InputError(
            f"the manifest says that this is {names}, but the network is {comparison.lines()[0]}",
            path=model.folder,
            remedy="fetch or import the model again",
        )
    return comparison


def _largest(found: NDArray[np.float64], wanted: Any) -> float:
    """Largest difference of the first rows from the wanted ones; NaN counts as infinite."""
    if not len(wanted):
        return 0.0
    difference = np.abs(found[: len(wanted)] - np.asarray(wanted)).max()
    return float(np.nan_to_num(difference, nan=np.inf))
