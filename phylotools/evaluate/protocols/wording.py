"""Protocols for people: a list of all, and one in full."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator

from phylotools.evaluate.protocols.protocol import ALTERNATIVE, Protocol, Published

_WIDTH = 96


def listed(protocols: Iterable[Protocol]) -> str:
    """Name and title of each, in two columns."""
    protocols = list(protocols)
    width = max((len(each.name) for each in protocols), default=0)
    return "".join(f"{each.name.ljust(width)}  {each.title}\n" for each in protocols)


def described(protocol: Protocol) -> str:
    """A protocol in full: what it asks, of which data, how it is run, what is published."""
    return "\n".join(_lines(protocol)) + "\n"


def figure_text(published: Published) -> str:
    """The value of a published figure, with its interval where there is one."""
    text = f"{published.value:.4g}"
    if math.isnan(published.low) or math.isnan(published.high):
        return text
    return f"{text} [{published.low:.4g}, {published.high:.4g}]"


def _lines(protocol: Protocol) -> Iterator[str]:
    yield f"{protocol.name}: {protocol.title}"
    yield ""
    yield from _wrapped(protocol.question.strip())
    yield ""
    data = protocol.data
    yield from _item("data", data.file)
    yield from _item("from", data.url)
    if data.assembly:
        yield from _item("assembly", data.assembly)
    yield from _item("licence", data.licence)
    yield from _item("cite", data.citation)
    yield ""
    yield from _item("labels", _labels(protocol))
    for each in protocol.filters:
        optional = " (where there is such a column)" if each.optional else ""
        yield from _item("only", f"{_column(each.column)} {', '.join(each.values)}{optional}")
    for column, least in protocol.prepare.minimum.items():
        yield from _item("only", f"{column} from {least:g} on")
    for name, setting in protocol.settings.items():
        yield from _item(
            "setting",
            f"{name}={protocol.level(name)} (0 to {len(setting.levels) - 1}): {setting.meaning}; "
            f"write {protocol.name}:{name}=N",
        )
    yield from _item("headline", protocol.compare.headline)
    for label, text in _comparison(protocol):
        yield from _item(label, text)
    yield ""
    yield "Run"
    yield from (f"  {command}" for command in protocol.commands)
    yield ""
    yield "Published"
    if not protocol.published:
        yield "  no figure that could be checked"
    for figure in protocol.published:
        text = f"{figure.score}: {figure.metric} {figure_text(figure)}, {figure.on}"
        yield from _wrapped(f"{text} ({figure.source})", "  ", "    ")
    if protocol.caveats:
        yield ""
        yield "Mind"
        for caveat in protocol.caveats:
            yield from _wrapped(caveat, "  - ", "    ")


def _labels(protocol: Protocol) -> str:
    labels = protocol.labels
    column = _column(labels.column)
    if labels.order:
        return f"{column}, in order: {', '.join(labels.order)}"
    if labels.positive:
        positive, negative = ", ".join(labels.positive), ", ".join(labels.negative)
        return f"{column}: positive {positive}; negative {negative}"
    return f"{column}, numbers; {labels.damaging} is the damaging end"


def _comparison(protocol: Protocol) -> Iterator[tuple[str, str]]:
    compare = protocol.compare
    within = [*(["consequence"] if compare.consequences else []), *map(_column, compare.strata)]
    if within:
        yield "within", ", ".join(within)
    if compare.match:
        yield "matched by", _column(compare.match)
    if compare.resample:
        yield "resampled", _column(compare.resample)
    if compare.frequency:
        yield "by frequency", _column(compare.frequency)
    if compare.score_side:
        yield "scores", f"{compare.score_side}, unless --score says otherwise"


def _column(text: str) -> str:
    return text.replace(ALTERNATIVE, " or ")


def _item(label: str, text: str) -> Iterator[str]:
    yield from _wrapped(text, f"{label:<13}", " " * 13)


def _wrapped(text: str, first: str = "", others: str = "") -> Iterator[str]:
    yield from textwrap.wrap(
        " ".join(text.split()), _WIDTH, initial_indent=first, subsequent_indent=others,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
