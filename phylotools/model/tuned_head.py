"""A head fitted to a user's labels, and adapters fitted with it: two files of a model folder.

``head.safetensors`` has the numbers, ``tuning.toml`` says of what, and what they are worth.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tomli_w
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.documents import read_text

if TYPE_CHECKING:
    from torch import Tensor

    from phylotools.model.adapters import Adapter
    from phylotools.model.folder import Model
    from phylotools.model.site_model import SiteModel

HEAD, TUNING = "head.safetensors", "tuning.toml"
#: Which features there are, and in which order: a head of another version is refused.
FEATURES_VERSION = 1
#: What a head may have been fitted to.
VARIANTS, REGIONS = "variants", "regions"
#: What its labels may be.
CLASSES, NUMBERS = "classes", "numbers"
_ADAPTERS = "adapters."
_REMEDY = "fine-tune again"
#: What stands in headers between quotes.
_DESCRIPTION = re.compile(r"[ !#-\[\]-~]{1,500}")
_LARGEST_TUNING = 1 << 20
#: A larger score, of either sign, is none: it comes of a head that is damaged.
LARGEST_SCORE = 1e30


@dataclass(frozen=True)
class LinearHead:
    """A score that is linear in features.

    Attributes
    ----------
    weights : float64 array [F]
        Of features in standard units; zeros where the head takes no notice of one.
    bias : float
    centre, scale : float64 array [F]
        What is subtracted from features, and what they are divided by.
    """

    weights: NDArray[np.float64]
    bias: float
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    def score(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Scores [N] of features [N, F]; one row's depends on no other's, to the last bit.

        Raises
        ------
        InputError
            If one is no number, or larger than any that a head is fitted to.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            units = (features.astype(np.float64) - self.centre) / self.scale
            # Not a matrix product: its sums depend on how many rows there are.
            total: NDArray[np.float64] = (units * self.weights).sum(axis=1) + self.bias
        if not (np.abs(total) <= LARGEST_SCORE).all():
            raise InputError("the head of the model gives scores that are none", remedy=_REMEDY)
        return total


@dataclass(frozen=True)
class TunedHead:
    """A head, its adapters, and what they are.

    Attributes
    ----------
    head : LinearHead
    of : {'variants', 'regions'}
    labels : {'classes', 'numbers'}
        Log odds of the positive class at equal numbers of both, or the label itself.
    base_sha256 : str
        `ModelIdentity.sha256` of the model whose scores are among the features.
    in_transcripts : bool
        Whether variants were read in transcripts.
    description : str
        What it was fitted to, in a line for headers.
    rank : int
        Of the adapters; 0 for none.
    adapters : dict of str to Adapter
        By convolution.
    facts : dict
        Whatever else a reader wants to know: labels, folds, figures.
    """

    head: LinearHead
    of: str
    labels: str
    base_sha256: str
    in_transcripts: bool
    description: str
    rank: int = 0
    adapters: dict[str, Adapter] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def files(self) -> dict[str, bytes]:
        """The two files, by name."""
        import safetensors.torch
        import torch

        from phylotools.model.adapters import adapter_tensors

        head = self.head
        tensors = {
            "weights": torch.from_numpy(head.weights),
            "bias": torch.tensor([head.bias], dtype=torch.float64),
            "centre": torch.from_numpy(head.centre),
            "scale": torch.from_numpy(head.scale),
            **{_ADAPTERS + name: tensor for name, tensor in adapter_tensors(self.adapters).items()},
        }
        tuning = {
            "features": FEATURES_VERSION,
            "of": self.of,
            "labels": self.labels,
            "base_sha256": self.base_sha256,
            "in_transcripts": self.in_transcripts,
            "description": self.description,
            "rank": self.rank,
            "facts": self.facts,
        }
        whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
        return {
            HEAD: safetensors.torch.save(whole, metadata={"format": "pt"}),
            # Names of files may hold what is no UTF-8.
            TUNING: tomli_w.dumps(tuning).encode(errors="replace"),
        }

    def adapted_model(self, model: Model) -> Model:
        """The model whose embeddings the head reads: with the adapters, where there are some."""
        if not self.adapters:
            return model
        return model.with_site_model(adapted_site_model(model, self.adapters))


def variant_head(model: Model) -> TunedHead | None:
    """The head that a model brings for variants, if it does."""
    tuned = model.tuned
    return tuned if tuned is not None and tuned.of == VARIANTS else None


def header_text(text: str) -> str:
    """A text as the description of a head may have it."""
    return "".join(c if _DESCRIPTION.fullmatch(c) else "?" for c in text)[:500]


def adapted_site_model(model: Model, adapters: Mapping[str, Adapter]) -> SiteModel:
    """A model's network with adapters merged into its weights, frozen."""
    from phylotools.model.adapters import merge_adapters

    site_model = model.trainable_site_model()
    merge_adapters(site_model.network, adapters)
    return site_model.freeze()


def read_tuned_head(folder: Path, model: Model) -> TunedHead:
    """The head of a model folder, read without trust.

    Raises
    ------
    InputError
        If a file is damaged, or not of a model of this shape.
    """
    from phylotools.model.weights import load_tensors, tensors_under

    path = folder / TUNING
    try:
        tuning = tomllib.loads(read_text(path, remedy=_REMEDY, largest=_LARGEST_TUNING))
    except (ValueError, RecursionError) as error:
        raise InputError(f"not valid TOML ({error})", path=path, remedy=_REMEDY) from None
    kinds = {
        "of": str, "labels": str, "base_sha256": str, "in_transcripts": bool,
        "description": str, "rank": int, "facts": dict,
    }  # fmt: skip
    for key, kind in kinds.items():
        if type(tuning.get(key)) is not kind:
            raise InputError(
                f"the entry '{key}' is missing or of the wrong type", path=path, remedy=_REMEDY
            )
    if not _DESCRIPTION.fullmatch(tuning["description"]):
        raise InputError(
            "the entry 'description' is no line for a header", path=path, remedy=_REMEDY
        )
    is_known = tuning["of"] in (VARIANTS, REGIONS) and tuning["labels"] in (CLASSES, NUMBERS)
    if tuning.get("features") != FEATURES_VERSION or not is_known:
        raise InputError("is of another phylotools", path=path, remedy=_REMEDY)
    tensors, _ = load_tensors(folder / HEAD)
    own = {name: t for name, t in tensors.items() if not name.startswith(_ADAPTERS)}
    head = _linear_head(own, n_features(model, tuning["of"]), folder / HEAD)
    adapters: dict[str, Adapter] = {}
    if tuning["rank"]:
        from phylotools.model.adapters import read_adapters

        adapters = read_adapters(
            tensors_under(_ADAPTERS, tensors), model.network, tuning["rank"], folder / HEAD
        )
    del tuning["features"]
    return TunedHead(head=head, adapters=adapters, **{key: tuning[key] for key in kinds})


def _linear_head(tensors: Mapping[str, Tensor], width: int, path: Path) -> LinearHead:
    expected = {"weights": width, "bias": 1, "centre": width, "scale": width}
    if tensors.keys() != expected.keys():
        raise InputError("holds other tensors than a head", path=path, remedy=_REMEDY)
    found = {}
    for name, size in expected.items():
        numbers = tensors[name].numpy()
        is_right = numbers.shape == (size,) and numbers.dtype == np.float64
        if not is_right or not np.isfinite(numbers).all():
            raise InputError(
                f"tensor {name} is none of a head of {width} features", path=path, remedy=_REMEDY
            )
        found[name] = numbers
    if (found["scale"] <= 0).any():
        raise InputError("tensor scale is not positive", path=path, remedy=_REMEDY)
    return LinearHead(found["weights"], float(found["bias"][0]), found["centre"], found["scale"])


#: The model's own numbers among the features of a variant: its default score, the LLR, the log of
#: the site's rate, its entropy; and of a region: the means of the latter two.
N_SCORES = {VARIANTS: 4, REGIONS: 2}


def n_features(model: Model, of: str) -> int:
    """How many features there are of a variant or region: scores first, then embeddings."""
    width = model.spec.channels // 2 * 2
    return N_SCORES[of] + (2 * width if of == VARIANTS else width)
