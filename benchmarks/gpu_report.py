"""What `gpu.py` found, kept line by line while it runs, and the table made of it."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

LINES, TABLE, LOG = "results.jsonl", "results.md", "failures.log"
PASSED, FAILED, NOT_RUN, FIGURE = "passed", "FAILED", "not run", "figure"


@dataclass(frozen=True)
class Row:
    """One check, figure, or block of text.

    Attributes
    ----------
    part : str
    name : str
    status : str
    detail : str
        What was found.
    seconds : float
    block : str
        Lines to be shown as they are.
    """

    part: str
    name: str
    status: str
    detail: str = ""
    seconds: float = 0.0
    block: str = ""


@dataclass
class Recorder:
    """Keeps the rows of a part; a check that fails is one of them, and the next one comes.

    Attributes
    ----------
    folder : Path
    part : str
    deadline : float
        By `time.monotonic`; what would begin later is not run.
    """

    folder: Path
    part: str
    deadline: float
    _failed: int = field(default=0)

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.monotonic()

    def add(self, row: Row) -> None:
        with open(self.folder / LINES, "a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")

    def check(self, name: str, check: Callable[[], str], *, needs: float = 2.0) -> bool:
        """Run a check, which gives its figures and raises where something is wrong.

        Parameters
        ----------
        name : str
        check : callable
        needs : float
            Seconds; without them it is not run.

        Returns
        -------
        bool
            Whether it passed.
        """
        return self._run(name, check, PASSED, needs)

    def figure(self, name: str, measure: Callable[[], str], *, needs: float = 2.0) -> bool:
        """The same for something that is measured."""
        return self._run(name, measure, FIGURE, needs)

    def _run(self, name: str, function: Callable[[], str], good: str, needs: float) -> bool:
        if self.seconds_left < needs:
            self.add(Row(self.part, name, NOT_RUN, "no time left"))
            return False
        start = time.monotonic()
        try:
            detail = function()
        except Exception as error:
            with open(self.folder / LOG, "a", encoding="utf-8") as file:
                file.write(f"--- {self.part}: {name}\n{traceback.format_exc()}\n")
            first = f"{type(error).__name__}: {error}".partition("\n")[0]
            self.add(Row(self.part, name, FAILED, first[:300], time.monotonic() - start))
            return False
        lines = detail.strip("\n").split("\n")
        block = "\n".join(lines) if len(lines) > 1 else ""
        short = "" if block else lines[0]
        self.add(Row(self.part, name, good, short, time.monotonic() - start, block))
        return True


def read_rows(folder: Path) -> list[Row]:
    """All rows so far."""
    path = folder / LINES
    if not path.exists():
        return []
    return [Row(**json.loads(line)) for line in path.read_text().splitlines()]


def write_table(folder: Path, machine: str) -> list[Row]:
    """Make the Markdown table of what there is; returns the rows."""
    rows = read_rows(folder)
    n_failed = sum(row.status == FAILED for row in rows)
    n_left = sum(row.status == NOT_RUN for row in rows)
    n_passed = sum(row.status == PASSED for row in rows)
    lines = [
        "# GPU: checks and figures",
        "",
        machine,
        "",
        f"{n_passed} checks passed, {n_failed} failed, {n_left} not run.",
    ]
    for part in dict.fromkeys(row.part for row in rows):
        own = [row for row in rows if row.part == part]
        lines += ["", f"## {part}", "", "| | | found | s |", "|---|---|---|---|"]
        lines += [
            f"| {row.name} | {row.status} | {row.detail or 'below'} | {row.seconds:.1f} |"
            for row in own
        ]
        for row in own:
            if row.block:
                lines += ["", f"{row.name}:", "", "```text", row.block, "```"]
    (folder / TABLE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return rows
