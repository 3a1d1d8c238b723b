"""How many rows are compared, how many are not, and why: nothing is left out in silence."""

from __future__ import annotations

import numpy as np

from phylotools.evaluate.labelled import NO_LEVEL, LabelledScores
from phylotools.evaluate.outcome import Table

FILE = "left_out.tsv"
_REASONS = {
    "contradictory_labels": "left out: more than one label",
    "outside_regions": "left out: outside the regions asked for",
    "excluded_by_where": "left out: other values in a column of --where",
    "contradictory_scores": "values of scores left out: more than one for a row",
    "ref_mismatch": "labelled with another REF than a file of scores has: no score there",
    "compared": "compared: these are in all figures",
}


def left_out_table(data: LabelledScores) -> Table:
    """Rows that were labelled, left out for each reason, and compared."""
    rows = [(name.replace("_", ": ", 1), n) for name, n in _labelled(data).items()]
    for name, count in data.counts.items():
        if name != "compared" and not name.startswith("labelled"):
            rows.append((_REASONS.get(name, f"left out: {name.replace('_', ' ')}"), count))
    for name, count in data.lacking.items():
        rows.append((f"left out: no value of {name}", count))
    rows.append((_REASONS["compared"], len(data)))
    for factor in data.strata:
        if NO_LEVEL in factor.levels:
            n = int(np.count_nonzero(factor.codes == factor.levels.index(NO_LEVEL)))
            rows.append((f"compared, with nothing in column {factor.name}", n))
    if data.frequency is not None:
        n = int(np.isnan(data.frequency).sum())
        rows.append(("compared, without an allele frequency", n))
    note = "A row without two scores counts at both."
    return Table(FILE, f"Which {data.what} are compared", ("rows", "number"), tuple(rows), note)


def _labelled(data: LabelledScores) -> dict[str, int]:
    return {name: n for name, n in data.counts.items() if name.startswith("labelled")}
