"""What an evaluation protocol says, and what it makes of the files and options of a user."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from phylotools.errors import InputError, shown_path
from phylotools.evaluate.labelled import LabelledScores
from phylotools.evaluate.selection import (
    ABSOLUTE,
    BUILT_IN_CLUSTERS,
    LOW,
    SIDES,
    Question,
    listing,
)

logger = logging.getLogger("phylotools")

#: Between names of columns of which the first that a file has is taken.
ALTERNATIVE = "|"
VARIANTS, REGIONS = KINDS = ("variants", "regions")
#: How `evaluate prepare` makes variants of a table: as they are, out of protein changes, out of the
#: tables of saturation mutagenesis.
PASSED, PROTEIN_CHANGES, MPRA = PREPARATIONS = ("variants", "protein-changes", "mpra")
BY_CONTIG = "auprc-by-contig"
HEADLINES = ("auroc", "auprc", BY_CONTIG, "spearman", "pearson", "kendall")


@dataclass(frozen=True)
class DataSource:
    """Where the data of a protocol come from; they stay with their owners.

    Attributes
    ----------
    file : str
        What the protocol expects, in a few words.
    url, licence, citation : str
    assembly : str
        Of the coordinates; empty where the file may be on any.
    """

    file: str
    url: str
    licence: str
    citation: str
    assembly: str = ""


@dataclass(frozen=True)
class Labels:
    """The column of labels and what its values mean.

    Attributes
    ----------
    column : str
        With alternatives.
    positive, negative : tuple of str
        Of two classes.
    order : tuple of str
        Of ordered classes, the least damaging first.
    damaging : str
        ``low`` or ``high``: the damaging end of numbers.
    """

    column: str
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    damaging: str = "high"


@dataclass(frozen=True)
class Filter:
    """Only variants that have one of these values in a column.

    Attributes
    ----------
    column : str
        With alternatives.
    values : tuple of str
    optional : bool
        Whether it is left out where no file has the column.
    """

    column: str
    values: tuple[str, ...]
    optional: bool = False


@dataclass(frozen=True)
class Setting:
    """A filter with a threshold that can be chosen: values from `default` on.

    Attributes
    ----------
    column : str
        With alternatives.
    levels : tuple of tuple of str
        Values of the column, by level from 0.
    default : int
        Lowest level that is kept.
    meaning : str
    """

    column: str
    levels: tuple[tuple[str, ...], ...]
    default: int
    meaning: str

    def kept(self, level: int) -> Filter:
        """The filter that keeps this level and those above."""
        values = tuple(value for values in self.levels[level:] for value in values)
        return Filter(self.column, values)


@dataclass(frozen=True)
class Comparison:
    """How scores are compared.

    Attributes
    ----------
    headline : str
        One of `HEADLINES`.
    strata : tuple of str
        Columns, with alternatives; those that no file has are left out.
    resample : str
        Columns, with alternatives, of which ``sites`` or ``contigs`` may be the last. Empty:
        matched groups where there are some, else sites.
    match : str
        Column of matched groups; empty for none.
    frequency : str
        Column of allele frequencies, with alternatives; empty for none.
    consequences : bool
        Whether scores are also compared within consequences, where a file has an annotation.
    score_side : str
        ``low``, ``high`` or ``absolute`` of scores whose side the user does not say; empty for the
        usual one of each.
    """

    headline: str
    strata: tuple[str, ...] = ()
    resample: str = ""
    match: str = ""
    frequency: str = ""
    consequences: bool = False
    score_side: str = ""


@dataclass(frozen=True)
class Preparation:
    """How a published table becomes variants that can be scored.

    Attributes
    ----------
    how : str
        One of `PREPARATIONS`.
    columns : mapping of str to str
        What is needed -> column, with alternatives.
    minimum : mapping of str to float
        Column -> smallest number that a row may have.
    keep : tuple of str
        Other columns that go into the file, where the table has them.
    """

    how: str = PASSED
    columns: Mapping[str, str] = field(default_factory=dict)
    minimum: Mapping[str, float] = field(default_factory=dict)
    keep: tuple[str, ...] = ()


@dataclass(frozen=True)
class Published:
    """A published figure to stand beside.

    Attributes
    ----------
    score, metric : str
    value, low, high : float
        NaN where no interval is published.
    on : str
        Which variants it is of.
    source : str
    """

    score: str
    metric: str
    value: float
    on: str
    source: str
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Protocol:
    """An evaluation protocol.

    Attributes
    ----------
    name : str
    title, question : str
    what : str
        ``variants`` or ``regions``.
    data : DataSource
    labels : Labels
    compare : Comparison
    filters : tuple of Filter
    settings : mapping of str to Setting
    prepare : Preparation
    published : tuple of Published
    caveats : tuple of str
    commands : tuple of str
        How it is run.
    chosen : mapping of str to int
        Levels that the user chose for `settings`.
    path : str or None
        The user's own file; None of a protocol that ships.
    """

    name: str
    title: str
    question: str
    what: str
    data: DataSource
    labels: Labels
    compare: Comparison
    filters: tuple[Filter, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)
    prepare: Preparation = field(default_factory=Preparation)
    published: tuple[Published, ...] = ()
    caveats: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    chosen: Mapping[str, int] = field(default_factory=dict)
    path: str | None = None

    @property
    def expected(self) -> str:
        """The file that `evaluate` takes."""
        if self.prepare.how == PASSED:
            return self.data.file
        return (
            f"what `phylotools evaluate prepare --protocol {self.name}` makes of {self.data.file}"
        )

    def level(self, setting: str) -> int:
        """The chosen or default level of a setting."""
        return self.chosen.get(setting, self.settings[setting].default)

    @property
    def all_filters(self) -> tuple[Filter, ...]:
        """The filters, those of settings included."""
        of_settings = [setting.kept(self.level(name)) for name, setting in self.settings.items()]
        # A level of 0 keeps every value that there is.
        chosen = [f for f, name in zip(of_settings, self.settings, strict=True) if self.level(name)]
        return (*self.filters, *chosen)

    def check(self, columns: Mapping[str, Collection[str]], given: Collection[str] = ()) -> None:
        """Refuse files that are not those of this protocol.

        Parameters
        ----------
        columns : mapping of str to collection of str
            Path of each file -> its columns.
        given : collection of str
            As for `applied_to`: what the user names need not be there under another name.

        Raises
        ------
        InputError
            If a column that the protocol needs is in none of them.
        """
        there = {column for names in columns.values() for column in names}
        needed = [] if "label_column" in given else [self.labels.column]
        needed += [each.column for each in self.all_filters if not each.optional]
        if self.compare.match and "match_column" not in given:
            needed.append(self.compare.match)
        missing = [name for name in dict.fromkeys(needed) if first_of(name, there) is None]
        if not missing:
            return
        wanted = ", ".join(name.replace(ALTERNATIVE, " or ") for name in missing)
        have = "; ".join(
            f"{shown_path(path)} has {listing(names)}" for path, names in columns.items()
        )
        only = next(iter(columns)) if len(columns) == 1 else None
        raise InputError(
            f"there is no column {wanted}, which protocol {self.name} needs: {have}",
            path=only,
            remedy=f"it expects {self.expected}",
        )

    def applied_to(
        self,
        question: Question,
        given: Collection[str] = (),
        columns: Mapping[str, Collection[str]] | None = None,
    ) -> Question:
        """A question with what the protocol says, where the user's options do not say it.

        Parameters
        ----------
        question : Question
            As the options make it; its label column may be empty.
        given : collection of str
            Names of the fields of `question` that the user gave: ``label_column``, ``positive``,
            ``negative``, ``order``, ``label_low``, ``strata``, ``resample``, ``match_column``,
            ``frequency_column``. Filters (``where``) of both count.
        columns : mapping of str to collection of str, optional
            As for `check`, which is called. Without, as of a stream, the first alternative of each
            column that is needed is taken, and the others are left out.

        Raises
        ------
        InputError
            As `check`.
        """
        there: set[str] | None = None
        if columns is not None:
            self.check(columns, given)
            there = {column for names in columns.values() for column in names}
        fields: dict[str, object] = {
            "label_column": first_of(self.labels.column, there),
            "label_low": self.labels.damaging == LOW,
        }
        if not {"positive", "negative", "order"} & set(given):
            fields |= {
                "positive": frozenset(self.labels.positive),
                "negative": frozenset(self.labels.negative),
                "order": self.labels.order,
            }
        compare = self.compare
        fields["match_column"] = first_of(compare.match, there) if compare.match else None
        if there is None:
            # A stream is read once: columns that it may lack are not looked for.
            built_in = [name for name in BUILT_IN_CLUSTERS if name in compare.resample.split("|")]
            fields["resample"] = built_in[0] if built_in else None
        else:
            found = (first_of(each, there) for each in compare.strata)
            fields["strata"] = tuple(name for name in found if name)
            if compare.resample:
                fields["resample"] = first_of(compare.resample, there, also=BUILT_IN_CLUSTERS)
            if compare.frequency:
                fields["frequency_column"] = first_of(compare.frequency, there)
        chosen = {name: value for name, value in fields.items() if name not in given}
        return replace(question, where=(*question.where, *self._where(there)), **chosen)  # type: ignore[arg-type]

    def _where(self, there: Collection[str] | None) -> list[tuple[str, frozenset[str]]]:
        found = []
        for each in self.all_filters:
            column = first_of(each.column, there)
            if column is not None:
                found.append((column, frozenset(each.values)))
            else:
                logger.warning(
                    "protocol %s: no file has %s, so that filter is left out",
                    self.name,
                    each.column,
                )
        return found

    def turned(self, data: LabelledScores, texts: Sequence[str] = ()) -> LabelledScores:
        """Scores with the side of the protocol, but for those whose side the user said.

        Parameters
        ----------
        data : LabelledScores
        texts : sequence of str
            The values of ``--score``.
        """
        if not self.compare.score_side:
            return data
        said = {
            text.partition("=")[0].removesuffix(f":{side}")
            for text in texts
            for side in SIDES
            if text.endswith(f":{side}")
        }
        side = self.compare.score_side
        columns = tuple(
            column
            if column.name in said
            else replace(column, low_is_positive=side == LOW, absolute=side == ABSOLUTE)
            for column in data.columns
        )
        return replace(data, columns=columns)


def first_of(names: str, there: Collection[str] | None, also: Iterable[str] = ()) -> str | None:
    """The first of a column's alternatives that is there; the very first if that is not known."""
    alternatives = names.split(ALTERNATIVE)
    if there is None:
        return alternatives[0]
    return next((name for name in alternatives if name in there or name in tuple(also)), None)
