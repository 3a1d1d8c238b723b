"""What a family of substitution models must tell the compiled pruning, in vectors of lanes.

A family is a group of models with one closed form for P(t). Its functions are overloads of the ones
declared here, chosen by the type of their first argument: a named tuple, of vectors where it is
called ``site``. Partial likelihoods and their adjoints are tuples of four vectors (A, C, G, T).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.extending import overload

Code = TypeVar("Code", bound=Callable[..., Any])

#: Of functions that compiled code alone calls. Division by zero gives inf, as in numpy: such
#: columns count as lost.
jit: Any = numba.njit(  # type: ignore[call-overload]  # numba's stubs do not know the last one
    nogil=True, error_model="numpy", no_cpython_wrapper=True
)


def implements(declared: Callable[..., Any], named_tuple: type) -> Callable[[Code], Code]:
    """Make a function what `declared` is where its first argument is this named tuple."""

    def register(code: Code) -> Code:
        # Not strict: the chooser need not have the arguments of what it chooses.
        @overload(declared, strict=False)
        def choose(*types: Any) -> Code | None:
            is_kind = getattr(types[0], "instance_class", None) is named_tuple
            return code if is_kind else None

        return code

    return register


def sizes(family):
    """Numbers of rows: a block's sites, exponentials of a branch, what a branch carries (4 to store
    it, 0 to compute it anew), a block's gradient, a vector of sites in float64.
    """
    raise NotImplementedError("for compiled code")


def fill_sites(family, inputs, column, wide, rows):
    """Turn the inputs of a block's columns into the rows of its sites; the first four are pi.

    `wide` is float64 rows of one vector each, kept for `finish_gradients`.
    """
    raise NotImplementedError("for compiled code")


def load_site(family, rows):
    """The sites of a block as a named tuple of vectors."""
    raise NotImplementedError("for compiled code")


def exponentials(site, kept, row, length):
    """Compute what carrying over a branch needs, keep it from row `row` on, and return it."""
    raise NotImplementedError("for compiled code")


def load_exponentials(site, kept, row):
    """What `exponentials` kept."""
    raise NotImplementedError("for compiled code")


def carry(site, branch, partial):
    """P(t) L: partials at the upper end of a branch from those at its lower end."""
    raise NotImplementedError("for compiled code")


def load_sums(site, gradient):
    """Sums of the gradient before the backward pass."""
    raise NotImplementedError("for compiled code")


def back(site, sums, branch, length, outer, partial):
    """Adjoints at the lower end of a branch from those at its upper end, and the sums."""
    raise NotImplementedError("for compiled code")


def store_sums(site, gradient, sums):
    """Write the sums of the gradient to its rows."""
    raise NotImplementedError("for compiled code")


def finish_gradients(family, wide, rows, gradient, column, used, result):
    """Turn the rows of a block's gradient into rows `column` of the result.

    With respect to theta, then, where the result has room for them, the shared parameters.
    """
    raise NotImplementedError("for compiled code")
