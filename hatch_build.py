"""What the wheel carries beside the package: man pages and shell completion, made from the help."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: Where bash-completion, zsh and fish look below the prefix of a program.
_COMPLETION = {
    "bash": "share/bash-completion/completions/phylotools",
    "zsh": "share/zsh/site-functions/_phylotools",
    "fish": "share/fish/vendor_completions.d/phylotools.fish",
}


class SharedFiles(BuildHookInterface):
    """Adds ``share/man/man1`` and the scripts of the shells to a wheel."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        # The command line imports nothing but click until a verb is run.
        sys.path.insert(0, self.root)
        try:
            from phylotools.cli.completion import script
            from phylotools.cli.main import phylotools_command
            from phylotools.cli.manual import write_pages
        finally:
            sys.path.remove(self.root)
        # Not in the source: it may be read-only.
        self._made = Path(tempfile.mkdtemp(prefix="phylotools-share-"))
        shared = build_data["shared_data"]
        for page in write_pages(self._made, phylotools_command, "phylotools"):
            shared[str(page)] = f"share/man/man1/{page.name}"
        for shell, place in _COMPLETION.items():
            path = self._made / shell
            path.write_text(script(shell), encoding="utf-8")
            shared[str(path)] = place

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        shutil.rmtree(self._made)
