"""An embedder for BEND, the benchmark of DNA language models, that has our models embed."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.api.vectors import embed
from phylotools.errors import UsageError
from phylotools.model.registry import load_model


def _base() -> Any:
    """BEND's base class of embedders, where BEND can be imported."""
    try:
        return importlib.import_module("bend.utils.embedders").BaseEmbedder
    except ImportError:
        return object


class PhylotoolsEmbedder(_base()):  # type: ignore[misc]
    """Embed sequences with a model of phylotools.

    Made and called as BEND's own embedders are: ``PhylotoolsEmbedder("mammals671-mtdna")``, then
    ``embed([...])``, or a call with one sequence.
    """

    # Both as in BEND's base class, for where BEND is not installed.
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.load_model(*args, **kwargs)

    def __call__(self, sequence: str, *args: Any, **kwargs: Any) -> NDArray[np.float32]:
        """The embedding of one sequence, float32 [1, L, H]."""
        return self.embed([sequence], *args, **kwargs)[0]

    def load_model(
        self,
        model_name: str = "mammals671-mtdna",
        layer: str | int = "last",
        strand: str = "forward",
        device: str = "cpu",
        threads: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Load a model.

        Parameters
        ----------
        model_name : str
            A name that `phylotools model list` has, or a folder.
        layer, strand
            As for `phylotools.embed`; strand ``forward`` or ``invariant``.
        device : str
            ``cpu``, ``cuda``, ``cuda:N`` or ``auto``.
        threads : int, optional
        **kwargs
            What BEND's configurations say to other embedders; not looked at.
        """
        self.model = load_model(model_name, device)
        self._options: dict[str, Any] = {"layer": layer, "strand": strand, "threads": threads}

    def embed(
        self,
        sequences: Sequence[str],
        disable_tqdm: bool = False,
        upsample_embeddings: bool = False,
        **kwargs: Any,
    ) -> list[NDArray[np.float32]]:
        """Embed sequences, each by itself: beyond its ends there is padding.

        Parameters
        ----------
        sequences : sequence of str
            Of any lengths, none empty.
        disable_tqdm, upsample_embeddings : bool
            For BEND's sake: there is no progress bar, and every base has an embedding anyway.
        **kwargs
            Not looked at, as ``remove_special_tokens``: there are none.

        Returns
        -------
        list of float32 array [1, L, H]
        """
        if isinstance(sequences, str):
            raise UsageError("give a list of sequences, or call the embedder with one")
        found = embed(self.model, list(sequences), pool="none", **self._options)
        return [vectors[None] for vectors in found]
