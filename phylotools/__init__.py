"""phylotools: genomic language models trained by phylogenetic likelihood.

From Python: `load_model`, then functions over the model, `predict_sites`, `score_variants` and
`embed`; `one_hot_module` is a model for other tools of torch; `read_vectors` reads what
`phylotools embed` wrote. docs/python.md has examples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phylotools.version import __version__

if TYPE_CHECKING:
    from phylotools.api.designs import edit_sequence, sample_sequences
    from phylotools.api.one_hot import one_hot_module
    from phylotools.api.sites import SitePrediction, predict_sites
    from phylotools.api.variants import VariantScores, score_variants
    from phylotools.api.vectors import embed
    from phylotools.design.designs import Design
    from phylotools.errors import InputError, OutputError, PhylotoolsError, UsageError
    from phylotools.io.genome import ReferenceGenome
    from phylotools.io.regions import Region
    from phylotools.io.vector_reading import VectorTable, read_vectors
    from phylotools.model.folder import Model
    from phylotools.model.registry import list_models, load_model

#: Name -> the module that has it, imported when it is first used: torch takes seconds.
_HOMES = {
    "Design": "design.designs",
    "InputError": "errors",
    "Model": "model.folder",
    "OutputError": "errors",
    "PhylotoolsError": "errors",
    "ReferenceGenome": "io.genome",
    "Region": "io.regions",
    "SitePrediction": "api.sites",
    "UsageError": "errors",
    "VariantScores": "api.variants",
    "VectorTable": "io.vector_reading",
    "edit_sequence": "api.designs",
    "embed": "api.vectors",
    "list_models": "model.registry",
    "load_model": "model.registry",
    "one_hot_module": "api.one_hot",
    "predict_sites": "api.sites",
    "read_vectors": "io.vector_reading",
    "sample_sequences": "api.designs",
    "score_variants": "api.variants",
}

__all__ = [
    "Design",
    "InputError",
    "Model",
    "OutputError",
    "PhylotoolsError",
    "ReferenceGenome",
    "Region",
    "SitePrediction",
    "UsageError",
    "VariantScores",
    "VectorTable",
    "__version__",
    "edit_sequence",
    "embed",
    "list_models",
    "load_model",
    "one_hot_module",
    "predict_sites",
    "read_vectors",
    "sample_sequences",
    "score_variants",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'phylotools' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"phylotools.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
