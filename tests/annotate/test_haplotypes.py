from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from phylotools.annotate import haplotypes
from phylotools.annotate.haplotypes import FLANK, Change, HaplotypeLayout, HaplotypeScorer
from phylotools.errors import UsageError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.scoring.scorer import Scorer

OpenGenome = Callable[[str], ReferenceGenome]
dna = st.text("ACGT", max_size=6)


@pytest.fixture(scope="module")
def open_genome(tmp_path_factory: pytest.TempPathFactory) -> OpenGenome:
    def opener(*contigs: str) -> ReferenceGenome:
        path = tmp_path_factory.mktemp("g") / "g.fa"
        path.write_text("".join(f">c{i}\n{letters}\n" for i, letters in enumerate(contigs)))
        return ReferenceGenome.open(path)

    return opener


def brute_force(
    theta: NDArray[np.float64], sequence: str, start: int, ref: str, alt: str, flank: int
) -> float:
    """The definition by whole strings, every spelling of the change tried; theta [L, 4].

    The leftmost spelling decides where the left part would move, the rightmost where the right
    part would.
    """
    haplotype = sequence[:start] + alt + sequence[start + len(ref) :]
    excess = len(sequence) - len(haplotype)
    n_left = min(len(sequence), len(haplotype))
    prefix = next((i for i in range(n_left) if sequence[i] != haplotype[i]), n_left)
    suffix = next((i for i in range(n_left) if sequence[-1 - i] != haplotype[-1 - i]), n_left)
    # Ends of what differs, from the haplotypes alone: no spelling comes in.
    first_start = min(prefix, n_left - suffix)
    last_start = max(prefix, n_left - suffix)
    if prefix + suffix < n_left:
        first_start = last_start = prefix
        n_ref = len(sequence) - prefix - suffix
    else:
        n_ref = max(0, excess)
        last_start = prefix
        first_start = n_left - suffix
    score = {base: index for index, base in enumerate("ACGT")}

    def gain(position: int, place: int) -> float:
        inside = 0 <= position < len(sequence) and 0 <= place < len(haplotype)
        if not inside or not {sequence[position], haplotype[place]} <= set("ACGT"):
            return 0.0
        row = theta[position]
        return row[score[haplotype[place]]] - row[score[sequence[position]]]

    left = sum(gain(i, i) for i in range(last_start, last_start + n_ref + flank))
    right = sum(gain(i, i - excess) for i in range(first_start - flank, first_start + n_ref))
    return (left + right) / 2


def scores(random_model, genome: ReferenceGenome) -> NDArray[np.float64]:
    length = genome.contigs["c0"]
    theta = Scorer(random_model, genome, threads=1).theta(Region("c0", 0, length))
    return random_model.substitution.log_equilibrium_frequencies(
        torch.from_numpy(theta).double()
    ).numpy()


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_every_change_agrees_with_whole_strings(random_model, open_genome, data) -> None:
    # Two letters mostly, so that repeats are met often; N seldom.
    letters = st.text("AAAACCCCGTN", min_size=3, max_size=40)
    sequence = data.draw(letters)
    start = data.draw(st.integers(0, len(sequence)))
    end = data.draw(st.integers(start, min(len(sequence), start + 6)))
    ref, alt = sequence[start:end], data.draw(st.text("AACCGT", max_size=6))
    assume("N" not in ref and ref != alt)
    with open_genome(sequence) as genome:
        scorer = HaplotypeScorer(Scorer(random_model, genome, threads=1))
        found = scorer.scores([Change("c0", start, ref.encode(), alt.encode())], "llr")
        wanted = brute_force(scores(random_model, genome), sequence, start, ref, alt, FLANK)
    np.testing.assert_allclose(found, [wanted], atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.text("AC", min_size=4, max_size=30), st.data())
def test_equivalent_spellings_score_exactly_the_same(random_model, open_genome, sequence, data):
    start = data.draw(st.integers(0, len(sequence)))
    end = data.draw(st.integers(start, min(len(sequence), start + 4)))
    alt = data.draw(st.text("AC", max_size=4))
    haplotype = sequence[:start] + alt + sequence[end:]
    assume(haplotype != sequence)
    spellings = []
    for left in range(len(sequence) + 1):
        for right in range(left, len(sequence) + 1):
            kept = len(sequence) - right
            if len(haplotype) < left + kept or haplotype[:left] != sequence[:left]:
                continue
            if haplotype[len(haplotype) - kept :] == sequence[right:]:
                middle = haplotype[left : len(haplotype) - kept].encode()
                spellings.append(Change("c0", left, sequence[left:right].encode(), middle))
    assert Change("c0", start, sequence[start:end].encode(), alt.encode()) in spellings
    with open_genome(sequence) as genome:
        scorer = HaplotypeScorer(Scorer(random_model, genome, threads=1))
        assert len({scorer.left_aligned(change) for change in spellings}) == 1
        assert len(set(scorer.scores(spellings, "llr").tolist())) == 1


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(12)))
def test_scores_do_not_depend_on_their_company(random_model, open_genome, order) -> None:
    rng = np.random.default_rng(5)
    sequence = "".join(rng.choice(list("ACGT"), 300))
    changes = [
        Change("c0", start, sequence[start : start + start % 4].encode(), b"GATT"[: start % 5])
        for start in range(11, 251, 20)
    ]
    with open_genome(sequence, sequence) as genome:
        together = HaplotypeScorer(Scorer(random_model, genome, threads=1))
        chosen = [changes[i] for i in order]
        elsewhere = Change("c1", 50, b"", b"A")
        found = together.scores([*chosen, elsewhere, *chosen[:3]], "llr")
        np.testing.assert_array_equal(found[13:], found[:3])
        alone = HaplotypeScorer(Scorer(random_model, genome, threads=1))
        np.testing.assert_array_equal(
            found[:12], np.concatenate([alone.scores([change], "llr") for change in chosen])
        )


def test_slabs_change_nothing(random_model, open_genome, monkeypatch) -> None:
    with open_genome("ACGTTGCAAC" * 5) as genome:
        changes = [Change("c0", i, b"", b"T" * (1 + i % 3)) for i in range(0, 50, 3)]
        whole = HaplotypeScorer(Scorer(random_model, genome, threads=1)).scores(changes, "llr")
        monkeypatch.setattr(haplotypes, "_SLAB", 2)
        parts = HaplotypeScorer(Scorer(random_model, genome, threads=1)).scores(changes, "llr")
    np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize(("fewest", "most"), [(1, 1), (2, 30), (64, 64)])
def test_how_the_reference_is_read_changes_nothing(
    random_model, open_genome, monkeypatch, fewest: int, most: int
) -> None:
    sequence = "ACACACACACGGGGGGGGGGGGGGGGTTTTTTTTTTTTACGATCAGCATCGACATTTTTTTTTTTTTTTTTTTTTTTTT"
    changes = [
        Change("c0", i, sequence[i : i + i % 3].encode(), b"GT"[: 2 - i % 2]) for i in range(79)
    ]
    with open_genome(sequence) as genome:
        expected = HaplotypeScorer(Scorer(random_model, genome, threads=1)).scores(changes, "llr")
        monkeypatch.setattr(haplotypes, "_FEWEST_READ", fewest)
        monkeypatch.setattr(haplotypes, "_MOST_READ", most)
        found = HaplotypeScorer(Scorer(random_model, genome, threads=1)).scores(changes, "llr")
    np.testing.assert_array_equal(found, expected)


def test_no_base_seen_changes(random_model, open_genome) -> None:
    with open_genome("A" * 40) as genome:
        scorer = HaplotypeScorer(Scorer(random_model, genome, threads=1))
        changes = [Change("c0", 20, b"", b"A"), Change("c0", 3, b"AA", b"")]
        assert scorer.scores(changes, "llr").tolist() == [0.0, 0.0]
    with pytest.raises(UsageError, match="0 sites"):
        HaplotypeScorer(Scorer(random_model, genome, threads=1), flank=0)


class Ladder(nn.Module):
    """theta of A, C, G, T at every site: log of 1, 2, 4, 8."""

    def forward(self, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
        row = torch.arange(4.0) * np.log(2)
        return row.expand(tokens.shape[0], tokens.shape[1] - 2, 4)


@pytest.mark.parametrize(
    ("start", "ref", "alt", "doublings"),
    [
        # ACGTACGT without G, one site of flank. What lies left in place: G > T, T > A; what lies
        # right in place: C > A, G > C.
        (2, b"G", b"", (((3 - 2) + (0 - 3)) + ((0 - 1) + (1 - 2))) / 2),
        # ACGTTACGT: as if behind the first T, A > T; as if before it, G > T.
        (4, b"", b"T", ((3 - 0) + (3 - 2)) / 2),
        (2, b"GT", b"CA", (1 - 2) + (0 - 3)),
    ],
)
def test_by_hand(toy_model, open_genome, start, ref, alt, doublings) -> None:
    toy_model.site_model = Ladder()
    with open_genome("ACGTACGT") as genome:
        scorer = HaplotypeScorer(Scorer(toy_model, genome, threads=1), flank=1)
        found = scorer.scores([Change("c0", start, ref, alt)], "llr")
    np.testing.assert_allclose(found, [doublings * np.log(2)], atol=1e-6)


class Neutral(nn.Module):
    """Every base fits everywhere alike."""

    def forward(self, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
        return torch.zeros(tokens.shape[0], tokens.shape[1] - 2, 4)


def test_a_lone_change_is_computed_in_one_window_of_its_own(random_model, open_genome) -> None:
    """It and `FLANK` sites beyond, on either side, not a tile."""
    sequence = "".join(np.random.default_rng(8).choice(list("ACGT"), 3000))
    lengths: list[int] = []

    def spy(tokens: Tensor, wanted: Tensor) -> Tensor:
        lengths.extend((wanted[:, 1] - wanted[:, 0]).tolist())
        return random_model.site_model(tokens, wanted)

    with open_genome(sequence) as genome:
        network = Scorer(replace(random_model, site_model=spy), genome, threads=1)
        scorer = HaplotypeScorer(network)
        change = scorer.left_aligned(Change("c0", 1500, sequence[1500:1503].encode(), b""))
        first, end = HaplotypeLayout(genome).reach(change)
        scorer.scores([change], "llr")
    assert len(lengths) == 1
    assert lengths[0] <= end - first + 2 * FLANK
    assert network.n_tiles_computed == 0


@pytest.mark.parametrize("length", [1, 2, 3, 7, 100, 1000])
def test_neutral_changes_of_any_length_score_zero(toy_model, open_genome, length: int) -> None:
    toy_model.site_model = Neutral()
    with open_genome("ACGTTGCAAC" * 150) as genome:
        scorer = HaplotypeScorer(Scorer(toy_model, genome, threads=1))
        deleted = ("ACGTTGCAAC" * 150)[40 : 40 + length].encode()
        changes = [Change("c0", 40, deleted, b""), Change("c0", 40, b"", b"G" * length)]
        assert scorer.scores(changes, "llr").tolist() == [0.0, 0.0]


def test_the_reverse_strand_gives_the_same(random_model, open_genome) -> None:
    rng = np.random.default_rng(8)
    sequence = "".join(rng.choice(list("AACCGT"), 200))
    flipped = sequence[::-1].translate(str.maketrans("ACGT", "TGCA"))
    changes, mirrored = [], []
    for start in range(30, 170, 7):
        ref = sequence[start : start + start % 4]
        alt = "".join(rng.choice(list("ACGT"), 3 - start % 3))
        changes.append(Change("c0", start, ref.encode(), alt.encode()))
        there = (allele[::-1].translate(str.maketrans("ACGT", "TGCA")) for allele in (ref, alt))
        mirrored.append(
            Change("c1", 200 - start - len(ref), *(allele.encode() for allele in there))
        )
    with open_genome(sequence, flipped) as genome:
        scorer = HaplotypeScorer(Scorer(random_model, genome, threads=1))
        np.testing.assert_allclose(
            scorer.scores(changes, "llr"), scorer.scores(mirrored, "llr"), atol=1e-4
        )


def test_left_alignment_by_hand(toy_model, open_genome) -> None:
    with open_genome("TTCACACACAGG") as genome:
        scorer = HaplotypeScorer(Scorer(toy_model, genome, threads=1))
        assert scorer.left_aligned(Change("c0", 8, b"CA", b"")) == Change("c0", 2, b"CA", b"")
        assert scorer.left_aligned(Change("c0", 7, b"AC", b"")) == Change("c0", 2, b"CA", b"")
        assert scorer.left_aligned(Change("c0", 9, b"A", b"ACA")) == Change("c0", 2, b"", b"CA")
        assert scorer.left_aligned(Change("c0", 1, b"T", b"")) == Change("c0", 0, b"T", b"")
        assert scorer.left_aligned(Change("c0", 12, b"", b"G")) == Change("c0", 10, b"", b"G")
        # Neither allele is empty: there is one spelling.
        assert scorer.left_aligned(Change("c0", 3, b"ACA", b"AG")) == Change("c0", 4, b"CA", b"G")


def test_a_long_repeat_is_walked_to_its_end_but_not_for_ever(
    toy_model, open_genome, monkeypatch
) -> None:
    with open_genome("C" + "A" * 50_000 + "C") as genome:
        scorer = HaplotypeScorer(Scorer(toy_model, genome, threads=1))
        assert scorer.left_aligned(Change("c0", 49_000, b"A", b"")).start == 1
        monkeypatch.setattr(haplotypes, "LONGEST_SHIFT", 1000)
        assert scorer.left_aligned(Change("c0", 49_000, b"A", b"")).start == 48_000


def test_what_cannot_be_scored_is_refused(toy_model, open_genome) -> None:
    with open_genome("ACGT") as genome:
        scorer = HaplotypeScorer(Scorer(toy_model, genome, threads=1))
        assert scorer.scores([], "llr").shape == (0,)
        for change in (
            Change("c0", 5, b"", b"A"),
            Change("c0", 3, b"TA", b""),
            Change("c0", -1, b"", b"A"),
            Change("c9", 0, b"A", b""),
        ):
            with pytest.raises(UsageError, match="leaves its contig"):
                scorer.scores([change], "llr")
        with pytest.raises(UsageError, match="1000 bases"):
            scorer.scores([Change("c0", 2, b"", b"A" * 1001)], "llr")


def test_both_ends_of_a_contig_can_change(random_model, open_genome, tmp_path: Path) -> None:
    with open_genome("ACGTTGCA") as genome:
        scorer = HaplotypeScorer(Scorer(random_model, genome, threads=1))
        table = scores(random_model, genome)
        for start, ref, alt in ((0, "", "GG"), (8, "", "TT"), (0, "ACGTTGCA", ""), (7, "A", "")):
            found = scorer.scores([Change("c0", start, ref.encode(), alt.encode())], "llr")
            wanted = brute_force(table, "ACGTTGCA", start, ref, alt, FLANK)
            np.testing.assert_allclose(found, [wanted], atol=1e-9)
