"""Where models lie that go by their names. Imports nothing heavy: the shell asks at each TAB."""

from __future__ import annotations

import os
from pathlib import Path

CACHE_VARIABLE = "PHYLOTOOLS_CACHE"


def find_cache_folder() -> Path | None:
    """The cache folder, whether it exists or not; None for a user who has no home."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification of these folders has relative ones ignored.
    if os.path.isabs(base):
        return Path(base) / "phylotools"
    home = os.path.expanduser("~")
    return Path(home) / ".cache" / "phylotools" if os.path.isabs(home) else None


def model_places() -> list[Path]:
    """Folders whose folders are models that go by their names; the first one with a name counts."""
    package = Path(__file__).parents[1]
    cache = find_cache_folder()
    # An installed wheel carries the models inside the package; a checkout has them beside it.
    shipped = [package / "shipped_models", package.parent / "models"]
    return [*([cache / "models"] if cache else []), *shipped]
