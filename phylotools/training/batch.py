"""A batch: windows of sequence with the alignment columns that lie in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phylotools.phylogeny.likelihood import PruningPlan
from phylotools.store import schema
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
    weight : Tensor of float32, shape (C,)
    plan : PruningPlan
    """

    tokens: Tensor
    site: Tensor
    states: Tensor
    held_out_states: Tensor
    reference: Tensor
    weight: Tensor
    plan: PruningPlan

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        names = ("tokens", "site", "states", "held_out_states", "reference", "weight")
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in names}
        if self.states is self.held_out_states:
            moved["held_out_states"] = moved["states"]
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
    plan : PruningPlan
    """

    width: int
    half_window: int
    soft_mask_weight: float
    held_out_species: NDArray[np.int64]
    plan: PruningPlan

    def make(self, picked: Sequence[tuple[Segment, Windows, int]]) -> Batch:
        """A batch of windows, each given by its segment, that one's windows and an index."""
        bounds = [w.first_column[index : index + 2].tolist() for _, w, index in picked]
        total = sum(end - start for start, end in bounds)
        span = self.width + 2 * self.half_window
        around = np.empty((len(picked), span), dtype=np.uint8)
        site = np.empty(total, dtype=np.int64)
        bases = np.empty((total, picked[0][0].bases.shape[1]), dtype=np.uint8)
        own_weight = np.ones(total, dtype=np.float32)
        done = 0
        for row, (segment, windows, index) in enumerate(picked):
            run, start = int(windows.run[index]), int(windows.start[index])
            first = start - self.half_window + int(segment.origin[run])
            around[row] = segment.reference[first : first + span]
            begin, end = bounds[row]
            here = slice(done, done + end - begin)
            fill_sites(segment.runs, run, start, site[here])
            site[here] += row * self.width
            bases[here] = segment.bases[begin:end]
            if segment.weight is not None:
                own_weight[here] = segment.weight[begin:end]
            done += end - begin
        own = around[:, self.half_window : self.half_window + self.width].ravel()[site]
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
            self.plan,
        )
