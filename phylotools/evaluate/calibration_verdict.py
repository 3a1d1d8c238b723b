"""Whether calibration helped: a model's LLR and its calibrated LLR, paired, on the user's labels.

What calibration takes from the LLR depends on the pentanucleotide and the alternative alone. So it
moves types of mutation against each other, which labels often do too (common variants are mostly
transitions): a gain over all variants is looked at within types before it is believed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from phylotools.evaluate.comparison import OVERALL
from phylotools.evaluate.labelled import LabelledScores
from phylotools.evaluate.measures import Measured, measure, measures_of
from phylotools.evaluate.mutation_types import MUTATION_TYPE
from phylotools.evaluate.outcome import Finding, Table
from phylotools.evaluate.resampling import Estimate
from phylotools.evaluate.verdict import difference_in_words

#: How `annotate` and `tracks` call the two.
_LLR, _CALIBRATED = "llr", "calibrated"
_FILE = "calibrated_scores.tsv"


@dataclass(frozen=True)
class CalibrationRow:
    """The two scores on the same rows.

    Attributes
    ----------
    within : str
        ``all``, or the factor within which pairs are compared.
    llr, calibrated, difference : Estimate
        Of the headline figure; the difference is calibrated less LLR, paired.
    """

    within: str
    llr: Estimate
    calibrated: Estimate
    difference: Estimate


@dataclass(frozen=True)
class CalibrationVerdict:
    """What calibration did for one model.

    Attributes
    ----------
    llr, calibrated : str
        Names of the scores.
    measure : str
        Title of the figure, as AUROC.
    rows : tuple of CalibrationRow
        All variants first.
    """

    llr: str
    calibrated: str
    measure: str
    rows: tuple[CalibrationRow, ...]

    @property
    def helped(self) -> bool | None:
        """Whether it did, over all variants and within types too; None where that is not shown."""
        own = [row for row in self.rows if row.within in (OVERALL, MUTATION_TYPE)]
        signs = [_sign(row.difference) for row in own]
        return False if min(signs) < 0 else True if min(signs) > 0 else None

    @property
    def finding(self) -> Finding:
        """The verdict as a note of a report; a warning where calibration hurt."""
        return Finding(
            "calibration",
            " ".join(self._sentences()),
            is_warning=_sign(self.rows[0].difference) < 0,
        )

    def _sentences(self) -> Iterator[str]:
        overall = self.rows[0]
        words = difference_in_words(overall.difference, self.llr)
        yield f"Calibration: {self.measure} of {self.calibrated} is {words}."
        for row in self.rows[1:]:
            words = difference_in_words(row.difference, self.llr)
            yield f"Within {row.within}: {words}."
        within = next((row for row in self.rows if row.within == MUTATION_TYPE), None)
        before = _sign(overall.difference)
        if within is not None and before > 0 and _sign(within.difference) <= 0:
            yield (
                "So what was gained over all is how types of mutation stand to each other, not "
                "what variants of one type are worth."
            )
        elif before == 0 and (within is None or _sign(within.difference) == 0):
            yield "On these labels there is no reason to prefer either."


def calibration_verdicts(
    data: LabelledScores, *, replicates: int, seed: int
) -> tuple[CalibrationVerdict, ...]:
    """The verdict for every model of which both scores are compared.

    A model's scores are known by their names: ``TAG_LLR`` and ``TAG_CALIBRATED`` of `annotate`,
    ``llr`` and ``calibrated`` of `tracks`.

    Parameters
    ----------
    data : LabelledScores
    replicates, seed : int
        Of the bootstrap.
    """
    places = {score.name.lower(): k for k, score in enumerate(data.columns)}
    pairs = [
        (places[stem + _LLR], place)
        for name, place in places.items()
        if name.endswith(_CALIBRATED)
        and (stem := name.removesuffix(_CALIBRATED)) + _LLR in places
        and (not stem or stem.endswith("_"))
    ]
    return tuple(_verdict(data, *pair, replicates, seed) for pair in pairs)


def calibration_table(verdicts: tuple[CalibrationVerdict, ...]) -> Table:
    """All verdicts as a table of the report."""
    header = ["llr", "calibrated", "within", "figure"]
    for name in ("llr", "calibrated", "difference"):
        header += [f"of_{name}", f"of_{name}_low", f"of_{name}_high"]
    rows = []
    for each in verdicts:
        for row in each.rows:
            numbers = [
                number
                for found in (row.llr, row.calibrated, row.difference)
                for number in (found.value, found.low, found.high)
            ]
            rows.append((each.llr, each.calibrated, row.within, each.measure, *numbers))
    note = "Differences are calibrated less LLR, from the same resamplings."
    return Table(_FILE, "Whether calibration helped", tuple(header), tuple(rows), note)


def _verdict(
    data: LabelledScores, llr: int, calibrated: int, replicates: int, seed: int
) -> CalibrationVerdict:
    both = data.turned_scores[[llr, calibrated]]
    headline = measures_of(data)[0]
    factors = [
        *([] if data.types is None else [data.types]),
        *data.strata,
        *([] if data.matches is None else [data.matches]),
    ]
    rows = []
    for name, strata in [(OVERALL, None), *((factor.name, factor.codes) for factor in factors)]:
        found: Measured = measure(
            data,
            np.ascontiguousarray(both),
            strata=strata,
            replicates=replicates,
            seed=[seed, 0],
        )
        first, second = found.figures
        key = headline.key
        rows.append(
            CalibrationRow(
                name, first.estimates[key], second.estimates[key], second.differences[key]
            )
        )
    before, after = data.columns[llr].name, data.columns[calibrated].name
    return CalibrationVerdict(before, after, headline.title, tuple(rows))


def _sign(difference: Estimate) -> int:
    """1 where it is above 0 for sure, -1 where below, 0 where neither is shown."""
    return int(difference.low > 0) - int(difference.high < 0)
