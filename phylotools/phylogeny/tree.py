"""Newick text to arrays."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from phylotools.errors import InputError

_TOKEN = re.compile(
    # Possessive: a quote that never closes costs one pass and no memory.
    r"\s+|(?P<comment>\[[^\]]*\])|(?P<quoted>'(?:[^']++|'')*+')|(?P<mark>[(),:;])"
    r"|(?P<word>[^\s\x00-\x1f\x7f(),:;\[\]']+)"
)
#: Sixteen times as many tips as a column store can hold; a hostile file ends here.
_MOST_NODES = 1 << 21
_PLAIN_NAME = re.compile(r"[^\s\x00-\x1f\x7f(),:;\[\]']+")


@dataclass(frozen=True, eq=False)  # arrays have no single truth value to compare by
class Tree:
    """A rooted or unrooted tree of any shape; parents come before their children.

    Attributes
    ----------
    names : tuple of str
        One per node; ``""`` for unnamed internal nodes. Tip names are unique.
    parent : ndarray of int32, shape (N,)
        Index of the parent; -1 at the root, which is node 0.
    branch_length : ndarray of float64, shape (N,)
        Expected neutral substitutions per site on the branch above each node; 0 at the root.
    postorder : ndarray of int32, shape (N,)
        Every node after all of its descendants.
    """

    names: tuple[str, ...]
    parent: np.ndarray
    branch_length: np.ndarray
    postorder: np.ndarray

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Children of each node, in Newick order."""
        lists: list[list[int]] = [[] for _ in self.names]
        for node, parent in enumerate(self.parent.tolist()):
            if parent >= 0:
                lists[parent].append(node)
        return tuple(tuple(children) for children in lists)

    @cached_property
    def tip_nodes(self) -> np.ndarray:
        """Node index of each tip, in Newick order; int32, shape (S,)."""
        return np.array([n for n, below in enumerate(self.children) if not below], dtype=np.int32)

    @cached_property
    def tips(self) -> tuple[str, ...]:
        """Names of the tips, in Newick order: the species order of a column store."""
        return tuple(self.names[node] for node in self.tip_nodes)

    @property
    def n_tips(self) -> int:
        return len(self.tip_nodes)

    @property
    def total_length(self) -> float:
        """Sum of all branch lengths, in expected neutral substitutions per site."""
        return float(self.branch_length.sum())

    @property
    def root_distance(self) -> np.ndarray:
        """Distance of every node from the root, float64 [N]."""
        distance = np.zeros(len(self.names))
        for node, above in enumerate(self.parent.tolist()):  # parents come before their children
            if above >= 0:
                distance[node] = distance[above] + self.branch_length[node]
        return distance

    def distances_from(self, tip: str) -> np.ndarray:
        """Distance along the tree from one tip to every tip; substitutions per site, [S]."""
        distance = np.full(len(self.names), np.nan)
        parent = self.parent.tolist()
        node = int(self.tip_nodes[self.tips.index(tip)])
        distance[node] = 0.0
        while parent[node] >= 0:
            distance[parent[node]] = distance[node] + self.branch_length[node]
            node = parent[node]
        for node, above in enumerate(parent):  # parents come before their children
            if np.isnan(distance[node]):
                distance[node] = distance[above] + self.branch_length[node]
        return distance[self.tip_nodes]

    def to_newick(self) -> str:
        """Newick text that parses to the same tree."""
        pieces: list[str] = []
        # A node is met twice: before its children and, as ~node, after them.
        pending = [0]
        while pending:
            node = pending.pop()
            if node >= 0 and self.children[node]:
                if pieces and pieces[-1] != "(":
                    pieces.append(",")
                pieces.append("(")
                pending.append(~node)
                pending.extend(reversed(self.children[node]))
                continue
            if node < 0:
                node = ~node
                pieces.append(")")
            elif pieces and pieces[-1] != "(":
                pieces.append(",")
            pieces.append(_quote(self.names[node]))
            if node:
                pieces.append(f":{float(self.branch_length[node])!r}")
        return "".join(pieces) + ";"

    def prune(self, keep: Iterable[str]) -> Tree:
        """The tree induced by some of its tips; nodes left with one child are joined over.

        Parameters
        ----------
        keep : iterable of str
            Tip names; at least one.

        Raises
        ------
        InputError
            If a name is no tip of the tree, or none is given.
        """
        wanted = set(keep)
        unknown = wanted - set(self.tips)
        if unknown or not wanted:
            which = f"no tip is called {sorted(unknown)[0]}" if unknown else "no tip is kept"
            raise InputError(f"cannot prune the tree: {which}")
        kept_children: dict[int, list[int]] = {}
        length = self.branch_length.copy()
        stands_for: dict[int, int | None] = {}
        for node in self.postorder.tolist():
            below = self.children[node]
            if not below:
                stands_for[node] = node if self.names[node] in wanted else None
                continue
            left = [stands_for[child] for child in below]
            present = [child for child in left if child is not None]
            if len(present) == 1:
                length[present[0]] += length[node]
            else:
                kept_children[node] = present
            stands_for[node] = None if not present else (present[0] if len(present) == 1 else node)
        root = stands_for[0]
        assert root is not None
        return _renumbered(root, kept_children, self.names, length)

    def with_minimum_branch_length(self, minimum: float) -> Tree:
        """The same tree with every branch at least `minimum` long.

        Two tips joined by branches of length zero cannot differ under any rate; sequencing
        errors make real ones differ all the same, and such a column would have probability zero.
        """
        length = np.maximum(self.branch_length, minimum)
        length[0] = 0.0
        return Tree(self.names, self.parent, length, self.postorder)

    def scaled(self, factor: float) -> Tree:
        """The same tree with every branch length multiplied."""
        return Tree(self.names, self.parent, self.branch_length * factor, self.postorder)


def _renumbered(
    root: int, children: dict[int, list[int]], names: tuple[str, ...], length: np.ndarray
) -> Tree:
    """Number the nodes reachable from `root` in preorder."""
    order: list[int] = []
    parents: list[int] = []
    pending = [(root, -1)]
    while pending:
        node, parent = pending.pop()
        index = len(order)
        order.append(node)
        parents.append(parent)
        pending.extend((child, index) for child in reversed(children.get(node, [])))
    lengths = np.array([length[node] for node in order], dtype=np.float64)
    lengths[0] = 0.0
    return _build([names[node] for node in order], parents, lengths)


def _build(names: list[str], parents: list[int], lengths: np.ndarray) -> Tree:
    # Preorder numbering puts every parent before its children: its reverse is a postorder.
    return Tree(
        tuple(names),
        np.array(parents, dtype=np.int32),
        lengths,
        np.arange(len(names) - 1, -1, -1, dtype=np.int32),
    )


def _quote(name: str) -> str:
    if not name or _PLAIN_NAME.fullmatch(name):
        return name
    return "'" + name.replace("'", "''") + "'"


def parse_newick(text: str, *, path: str | None = None, lengths_required: bool = True) -> Tree:
    """Parse one Newick tree with branch lengths.

    Comments in square brackets (NHX included), quoted names, white space, a byte-order mark and
    internal node names or support values are accepted; a length above the root is ignored.

    Parameters
    ----------
    text : str
    path : str, optional
        Named in error messages.
    lengths_required : bool
        Otherwise a branch without a length has length 0.

    Returns
    -------
    Tree

    Raises
    ------
    InputError
        If the text is not one balanced tree, a branch lacks its length, a length is negative or
        not a number, or two tips share a name.
    """
    parser = _NewickParser(text.removeprefix("\ufeff"), path, lengths_required)
    return parser.parse()


class _NewickParser:
    """One pass over the tokens with an explicit stack: depth costs memory, never recursion."""

    def __init__(self, text: str, path: str | None, lengths_required: bool) -> None:
        self._text = text
        self._path = path
        self._lengths_required = lengths_required
        self._at = 0
        self._names: list[str] = [""]
        self._parents: list[int] = [-1]
        self._lengths: list[float] = [math.nan]
        self._has_children: list[bool] = [False]
        # Where each node is named or, if it has no name, begins: for messages.
        self._places: list[int] = [0]

    def parse(self) -> Tree:
        if self._text.lstrip()[:6].upper() == "#NEXUS":
            raise self._error("a NEXUS file", "export the tree as Newick")
        node, depth, expect = 0, 0, "open"
        for token, kind in self._tokens():
            if expect == "open":
                self._places[node] = self._at
            if expect == "end":
                raise self._error("text after the end of the tree; one tree a file")
            if expect == "length":
                self._lengths[node] = self._length(token, kind)
                expect = "close"
            elif kind == "mark" and token == "(":
                if expect != "open":
                    raise self._error("unexpected '('")
                self._has_children[node] = True
                node = self._add(node)
                depth += 1
            elif kind == "mark" and token in ",)":
                node = self._parents[node]
                depth -= 1
                if node < 0:
                    raise self._error(f"unbalanced parentheses at '{token}'")
                if token == ",":
                    node = self._add(node)
                    depth += 1
                    expect = "open"
                else:
                    expect = "name"
            elif kind == "mark" and token == ":":
                if not math.isnan(self._lengths[node]):
                    raise self._error("a branch has two lengths")
                expect = "length"
            elif kind == "mark":  # ';'
                expect = "end"
            else:
                if expect not in ("open", "name"):
                    raise self._error(f"unexpected '{_shown(token)}'")
                self._names[node], self._places[node] = token, self._at
                expect = "close"
        if depth != 0:
            raise self._error("unbalanced parentheses: the tree ends too early")
        if expect == "length":
            raise self._error("a branch length is missing after ':'")
        if expect != "end" and not self._has_children[0]:
            # Any one word would do for a tree of one tip.
            raise self._error("neither parentheses nor a closing ';'")
        return self._checked()

    def _tokens(self) -> Iterable[tuple[str, str]]:
        position, text = 0, self._text
        while position < len(text):
            match = _TOKEN.match(text, position)
            self._at = position
            if match is None:
                raise self._error(f"unexpected character {text[position]!r}")
            position = match.end()
            kind = match.lastgroup
            if kind is None or kind == "comment":
                continue
            token = match.group()
            if kind == "quoted":
                token = token[1:-1].replace("''", "'")
            yield token, kind

    def _add(self, parent: int) -> int:
        self._names.append("")
        self._parents.append(parent)
        self._lengths.append(math.nan)
        self._has_children.append(False)
        self._places.append(self._at)
        if len(self._names) > _MOST_NODES:
            raise self._error(f"more than {_MOST_NODES} nodes")
        return len(self._names) - 1

    def _length(self, token: str, kind: str) -> float:
        try:
            # Python reads 1_000 as a number; Newick does not.
            if kind != "word" or "_" in token:
                raise ValueError
            length = float(token)
        except ValueError:
            raise self._error(f"'{_shown(token)}' is no branch length") from None
        if not math.isfinite(length) or length < 0:
            raise self._error(
                f"branch length {_shown(token)} must be finite and not negative",
                "fit the branch lengths again, or write 0",
            )
        return length

    def _error(
        self, problem: str, remedy: str = "give one Newick tree", place: int | None = None
    ) -> InputError:
        line = self._text.count("\n", 0, self._at if place is None else place) + 1
        return InputError(f"Newick: {problem}", path=self._path, line=line, remedy=remedy)

    def _checked(self) -> Tree:
        # A Newick string numbers its nodes in preorder as they open, parents before children.
        seen: set[str] = set()
        for node, (name, place) in enumerate(zip(self._names, self._places, strict=True)):
            if not self._has_children[node]:
                if not name:
                    remedy = "name every tip by its species"
                    raise self._error("a tip has no name", remedy, place)
                if name in seen:
                    remedy = "make tip names unique"
                    raise self._error(f"two tips are called {_shown(name)}", remedy, place)
                seen.add(name)
            if self._lengths_required and node and math.isnan(self._lengths[node]):
                raise self._without_length(node)
        lengths = np.nan_to_num(np.array(self._lengths, dtype=np.float64))
        lengths[0] = 0.0
        return _build(self._names, self._parents, lengths)

    def _without_length(self, node: int) -> InputError:
        name = self._names[node]
        below = _shown(name) if name else f"the ancestor of {self._two_tips(node)}"
        remedy = "give a tree with branch lengths in substitutions per site"
        if name.isdigit():
            remedy += ", with points (0.1), not commas, before their decimals"
        return self._error(f"the branch above {below} has no length", remedy, self._places[node])

    def _two_tips(self, node: int) -> str:
        """The first and the last tip below an inner node, whose last common ancestor it is."""
        end = node + 1
        while end < len(self._parents) and self._parents[end] >= node:
            end += 1
        first = self._has_children.index(False, node)
        return " and ".join(_shown(self._names[tip]) for tip in (first, end - 1))


def _shown(name: str) -> str:
    """A name in a message: one line, not too long."""
    return name if len(name) <= 40 and name.isprintable() else ascii(name[:40])[1:-1]
