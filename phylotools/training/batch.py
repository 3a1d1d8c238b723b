"""A batch: windows of sequence with the alignment columns that lie in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phylotools.phylogeny.likelihood import Plan, plan_of
from phylotools.store import schema
from phylotools.store.view import StorePlans
from phylotools.training.any_row import REFERENCE, read_row
from phylotools.training.segments import Segment
from phylotools.training.windows import Windows, fill_sites


@dataclass(frozen=True)
class Batch:
    """Windows of one store and their columns.

    Attributes
    ----------
    tokens : Tensor of int64, shape (B, W + receptive_field - 1)
    site : Tensor of int64, shape (C,)
        Index of each column's position among the B * W predicted ones.
    states : Tensor of uint8, shape (C, S)
        0..3, anything else missing; held-out species are missing.
    held_out_states : Tensor of uint8, shape (C, S)
        The same columns with nothing held out.
    reference : Tensor of uint8, shape (C,)
        The base in `tokens` at the column: the reference's, or that of the species read instead.
    weight : Tensor of float32, shape (C,)
    plan : PruningPlan or ColumnPlans
        The columns of a tree stand together where there are several.
    masked : Tensor of bool, shape (C,), optional
        Whether `tokens` hides the base of each column, where an objective hides any.
    """

    tokens: Tensor
    site: Tensor
    states: Tensor
    held_out_states: Tensor
    reference: Tensor
    weight: Tensor
    plan: Plan
    masked: Tensor | None = None

    def columns(self, chosen: Tensor) -> Batch:
        """The same windows with some of their columns, by a mask (bool) or by their indices."""
        names = ("site", "states", "held_out_states", "reference", "weight")
        kept = {name: getattr(self, name)[chosen] for name in names}
        if self.states is self.held_out_states:
            kept["held_out_states"] = kept["states"]
        masked = None if self.masked is None else self.masked[chosen]
        plan = plan_of(self.plan, chosen)
        return dataclasses.replace(self, **kept, plan=plan, masked=masked)

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        names = ("tokens", "site", "states", "held_out_states", "reference", "weight")
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in names}
        if self.states is self.held_out_states:
            moved["held_out_states"] = moved["states"]
        if self.masked is not None:
            moved["masked"] = self.masked.to(device, non_blocking=True)
        return dataclasses.replace(self, **moved)


@dataclass(frozen=True)
class BatchMaker:
    """Puts windows of one store together.

    Attributes
    ----------
    width, half_window : int
        Predicted positions of a window, and positions of sequence on either side of them.
    soft_mask_weight : float
    held_out_species : int64 array
        Indices of the species that are missing in `Batch.states`.
    plans : StorePlans
    n_species : int
    """

    width: int
    half_window: int
    soft_mask_weight: float
    held_out_species: NDArray[np.int64]
    plans: StorePlans
    n_species: int

    def make(
        self,
        picked: Sequence[tuple[Segment, Windows, int]],
        read_through: Sequence[int] | None = None,
    ) -> Batch:
        """Put a batch together.

        Parameters
        ----------
        picked : sequence of (Segment, Windows, int)
            Each window by its segment, that one's windows and an index. There may be none.
        read_through : sequence of int, optional
            The species whose row each window is read through, or `REFERENCE`, as all are unless
            given. Only the columns in which that species has a base are in the batch.
        """
        around = np.empty((len(picked), self.width + 2 * self.half_window), dtype=np.uint8)
        species = [REFERENCE] * len(picked) if read_through is None else read_through
        found = [
            self._read(*window, row, tokens)
            for window, row, tokens in zip(picked, species, around, strict=True)
        ]
        nothing = _no_columns(self.n_species)
        sites = (row * self.width + part.site for row, part in enumerate(found))
        site = np.concatenate([nothing.site, *sites])
        own, bases, own_weight, tree = (
            np.concatenate([getattr(part, name) for part in (nothing, *found)])
            for name in ("own", "bases", "weight", "tree")
        )
        if self.plans.vary:
            order = np.argsort(tree, kind="stable")
            site, own, bases, own_weight, tree = (
                values[order] for values in (site, own, bases, own_weight, tree)
            )
        masked = (own & schema.SOFT_MASK) != 0
        weight = np.where(masked, self.soft_mask_weight, 1.0).astype(np.float32) * own_weight
        everything = shown = torch.from_numpy(bases)
        if len(self.held_out_species):
            hidden = bases.copy()
            hidden[:, self.held_out_species] = schema.NO_BLOCK
            shown = torch.from_numpy(hidden)
        return Batch(
            torch.from_numpy((around & schema.CODE_MASK).astype(np.int64)),
            torch.from_numpy(site),
            shown,
            everything,
            torch.from_numpy(own & schema.CODE_MASK),
            torch.from_numpy(weight),
            self.plans.of(tree),
        )

    def _read(
        self,
        segment: Segment,
        windows: Windows,
        index: int,
        species: int,
        tokens: NDArray[np.uint8],
    ) -> _Columns:
        """The columns of a window, whose sequence goes into `tokens`."""
        run, start = int(windows.run[index]), int(windows.start[index])
        begin, end = windows.first_column[index : index + 2].tolist()
        first = start - self.half_window + int(segment.origin[run])
        tokens[:] = segment.reference[first : first + len(tokens)]
        site = np.empty(end - begin, dtype=np.int64)
        fill_sites(segment.runs, run, start, site)
        own = tokens[self.half_window + site]
        bases = segment.bases[begin:end]
        weight = np.ones(len(site), np.float32)
        if segment.weight is not None:
            weight = segment.weight[begin:end]
        contig = self.plans.contigs[int(segment.runs[run, 0])]
        tree = self.plans.index(contig, start + site)
        if species == REFERENCE:
            return _Columns(site, own, bases, weight, tree)
        site, column = read_row(segment, windows, index, species, tokens)
        kept = column - begin
        masked = own[kept] & schema.SOFT_MASK
        return _Columns(site, bases[kept, species] | masked, bases[kept], weight[kept], tree[kept])


class _Columns(NamedTuple):
    """Columns of one window.

    Attributes
    ----------
    site : int64 array [C]
        Offsets in the window.
    own : uint8 array [C]
        Codes of the sequence there, with the reference's soft-mask bit.
    bases : uint8 array [C, S]
    weight : float32 array [C]
        The store's.
    tree : int64 array [C]
        Number of the plan, by the column's position in the reference.
    """

    site: NDArray[np.int64]
    own: NDArray[np.uint8]
    bases: NDArray[np.uint8]
    weight: NDArray[np.float32]
    tree: NDArray[np.int64]


def _no_columns(n_species: int) -> _Columns:
    return _Columns(
        np.empty(0, dtype=np.int64),
        np.empty(0, dtype=np.uint8),
        np.empty((0, n_species), dtype=np.uint8),
        np.empty(0, dtype=np.float32),
        np.empty(0, dtype=np.int64),
    )
