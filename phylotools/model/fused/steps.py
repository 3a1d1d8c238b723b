"""Launching of `kernels`: shapes, memory for what comes out, and how many rows a program takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from phylotools.model.fused import kernels

#: Numbers of a plane in a program: four warps with 16 of each plane a thread, which leaves room
#: for several programs on a multiprocessor (counted in registers; not measured on a GPU).
_NUMBERS = 2048
#: Rows of a program of the dilated product, and terms of its sums at a time: with 256 columns its
#: sums take half the registers of eight warps, and three stages of what it reads 100 KB.
_PRODUCT_ROWS, _PRODUCT_CHUNK = 128, 32
#: Whether dilated products in narrow types are `dilated_product`. By count it saves 30 % of all
#: bytes; off until `benchmarks/gpu.py`, which measures both ways, was run on a GPU.
IS_GATHERED = False


@dataclass(frozen=True)
class Planes:
    """Two planes of positions.

    Attributes
    ----------
    values : Tensor, shape (2, windows * rows, half)
    rows : int
        Positions of a window.
    """

    values: Tensor
    rows: int

    @property
    def n_rows(self) -> int:
        return self.values.shape[1]

    @property
    def half(self) -> int:
        return self.values.shape[2]

    @property
    def windows(self) -> int:
        return self.n_rows // self.rows


@dataclass(frozen=True)
class Pending:
    """What a product gave and its bias, which the next step adds."""

    product: Planes
    bias: Tensor


def activated(
    around: Planes | None,
    pending: Pending | None,
    norm: Tensor,
    kind: torch.dtype,
    *,
    is_summed: bool,
    over_positions: bool,
) -> tuple[Planes, Planes]:
    """Residual, norm and GELU in one pass over memory; in two where the norm is over positions.

    Parameters
    ----------
    around : Planes or None
        What flows around the product, float32; longer by what its convolution cropped.
    pending : Pending or None
    norm : Tensor of float32, shape (4, half)
    kind : dtype
        Of what the GELU gives.
    is_summed : bool
        Give t + b and t - b, else t and b.
    over_positions : bool
        Whether the norm is over all positions of a window.

    Returns
    -------
    (Planes, Planes)
        What was normalised, where both were given (else whichever was); and its GELU.
    """
    shape = pending.product if pending is not None else around
    assert shape is not None
    total = shape
    if around is not None and pending is not None:
        total = Planes(torch.empty_like(shape.values, dtype=torch.float32), shape.rows)
    out = Planes(torch.empty_like(shape.values, dtype=kind), shape.rows)
    if over_positions:
        by_row = torch.empty(shape.n_rows, 2, dtype=torch.float32, device=norm.device)
        _launch(around, pending, total, norm, by_row, out, kernels.MEASURE, is_summed)
        if around is not None and pending is not None:
            around, pending = total, None
        moments = _of_windows(by_row, shape.windows)
        _launch(around, pending, total, norm, moments, out, kernels.GIVEN, is_summed)
    else:
        _launch(around, pending, total, norm, norm, out, kernels.BY_POSITION, is_summed)
    return total, out


def _launch(
    around: Planes | None,
    pending: Pending | None,
    total: Planes,
    norm: Tensor,
    moments: Tensor,
    out: Planes,
    step: Any,
    is_summed: bool,
) -> None:
    longer = out if around is None else around
    width, rows = _program(out.half)
    kernels.activate[(-(-out.n_rows // rows),)](
        longer.values,
        out.values if pending is None else pending.product.values,
        norm if pending is None else pending.bias,
        total.values,
        norm,
        moments,
        out.values,
        out.n_rows,
        longer.n_rows,
        out.rows,
        longer.rows,
        (longer.rows - out.rows) // 2,
        out.half,
        STEP=step.value,
        HAS_AROUND=around is not None,
        HAS_PRODUCT=pending is not None,
        IS_SUMMED=is_summed,
        ROWS=rows,
        WIDTH=width,
    )


def _of_windows(by_row: Tensor, windows: int) -> Tensor:
    """Mean and reciprocal deviation of windows, float32 (windows, 2), from those of positions."""
    mean, variance = by_row.double().view(windows, -1, 2).unbind(-1)
    whole = mean.mean(dim=1, keepdim=True)
    spread = (variance + (mean - whole).square()).mean(dim=1, keepdim=True)
    inverse = (spread + kernels.EPSILON.value).rsqrt()
    return torch.cat([whole, inverse], dim=1).float()


def packed_taps(source: Planes, taps: int, dilation: int) -> Planes:
    """Of t and b the taps of a dilated product side by side, (2, rows, taps * half)."""
    rows = source.rows - (taps - 1) * dilation
    n_rows = source.windows * rows
    packed = source.values.new_empty(2, n_rows, taps * source.half)
    width, together = _program(source.half)
    kernels.pack[(-(-n_rows // together), taps)](
        source.values,
        packed,
        n_rows,
        source.n_rows,
        rows,
        source.rows,
        dilation,
        source.half,
        TAPS=taps,
        ROWS=together,
        WIDTH=width,
    )
    return Planes(packed, rows)


def dilated_product(source: Planes, weights: Tensor, taps: int, dilation: int) -> Planes:
    """Of t and b a dilated product in one kernel, (2, rows, half out), for narrow types.

    It reads and writes a third less of a block's bytes than `packed_taps` and a library's product;
    whether Triton's product is fast enough for that to pay is not measured: see `IS_GATHERED`.
    """
    rows = source.rows - (taps - 1) * dilation
    n_rows, columns = source.windows * rows, weights.shape[2]
    product = source.values.new_empty(2, n_rows, columns)
    wide = min(256, max(16, 1 << (columns - 1).bit_length()))
    kernels.dilated_product[(-(-n_rows // _PRODUCT_ROWS), 2, -(-columns // wide))](
        source.values,
        weights,
        product,
        n_rows,
        source.n_rows,
        rows,
        source.rows,
        dilation,
        source.half,
        columns,
        TAPS=taps,
        ROWS=_PRODUCT_ROWS,
        COLUMNS=wide,
        CHUNK=_PRODUCT_CHUNK,
        num_warps=8,
        num_stages=3,
    )
    return Planes(product, rows)


def _program(half: int) -> tuple[int, int]:
    """Columns, a power of two, and rows of a program."""
    width = 1 << (half - 1).bit_length()
    return width, max(1, _NUMBERS // width)
