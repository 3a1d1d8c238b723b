"""Likelihoods of alignment columns the slow and obvious way, in float64.

Nothing here uses phylotools: trees are nested tuples, probabilities come from the matrix
exponential of the rate matrix.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy.linalg import expm

#: A node is (name, branch length above it, children); a tip has no children.
Node = tuple[str, float, tuple["Node", ...]]


def f81_rate_matrix(theta: np.ndarray) -> np.ndarray:
    """Q[a, b] = exp(theta_b) for a != b; rows sum to zero."""
    q = np.tile(np.exp(np.asarray(theta, dtype=np.float64)), (4, 1))
    np.fill_diagonal(q, 0.0)
    np.fill_diagonal(q, -q.sum(axis=1))
    return q


def equilibrium(theta: np.ndarray) -> np.ndarray:
    rates = np.exp(np.asarray(theta, dtype=np.float64))
    return rates / rates.sum()


def nodes_of(tree: Node) -> list[Node]:
    """Every node, the root first."""
    found, pending = [], [tree]
    while pending:
        node = pending.pop()
        found.append(node)
        pending.extend(node[2])
    return found


def tip_names(tree: Node) -> list[str]:
    """Names from left to right."""
    if not tree[2]:
        return [tree[0]]
    return [name for child in tree[2] for name in tip_names(child)]


def newick(tree: Node) -> str:
    def text(node: Node) -> str:
        below = "(" + ",".join(map(text, node[2])) + ")" if node[2] else ""
        return f"{below}{node[0]}:{node[1]!r}"

    return text(tree).rsplit(":", 1)[0] + ";"


def brute_force(tree: Node, column: dict[str, int], q: np.ndarray, pi: np.ndarray) -> float:
    """log of the sum over all 4^k assignments of bases to the nodes that are not observed."""
    nodes = nodes_of(tree)
    number = {id(node): index for index, node in enumerate(nodes)}
    matrices = [expm(q * node[1]) for node in nodes]
    edges = [(number[id(node)], number[id(child)]) for node in nodes for child in node[2]]
    choices = [
        [column[node[0]]] if not node[2] and column.get(node[0], 4) < 4 else range(4)
        for node in nodes
    ]
    total = 0.0
    for states in itertools.product(*choices):
        probability = pi[states[0]]
        for parent, child in edges:
            probability *= matrices[child][states[parent], states[child]]
        total += probability
    return math.log(total) if total > 0 else -math.inf


def pruning(parents: list[int], lengths: list[float], states: dict[int, int], q, pi) -> float:
    """Felsenstein's recursion over nodes numbered parents first, rescaled at every node.

    Parameters
    ----------
    parents, lengths : list
        Of every node; -1 at the root.
    states : dict
        Tip node -> base, 4 and above missing.
    q : ndarray, shape (4, 4)
    pi : ndarray, shape (4,)
    """
    transitions = expm(q * np.array(lengths)[:, None, None])
    partials = np.ones((len(parents), 4))
    log_scale = 0.0
    for node in range(len(parents) - 1, -1, -1):
        if states.get(node, 4) < 4:
            partials[node] = np.eye(4)[states[node]]
        largest = partials[node].max()
        partials[node] /= largest
        log_scale += math.log(largest)
        if parents[node] >= 0:
            partials[parents[node]] *= transitions[node] @ partials[node]
    return math.log(pi @ partials[0]) + log_scale


def two_tips(first: int, second: int, length: float, theta: np.ndarray) -> float:
    """Closed form of F81: log pi_a P_ab(t), t the path between the tips."""
    pi = equilibrium(theta)
    decay = math.exp(-float(np.exp(np.asarray(theta, dtype=np.float64)).sum()) * length)
    return math.log(pi[first] * (decay * (first == second) + (1 - decay) * pi[second]))
