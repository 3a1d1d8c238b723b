"""Sequences sampled from a model, or edited towards a target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from phylotools.api.inputs import SequenceLike, letters_of, require_model
from phylotools.design.conditionals import OwnBase, SiteConditionals, usual_own_base
from phylotools.design.designs import Design
from phylotools.design.gibbs import GibbsSettings
from phylotools.design.problem import Limits, make_problems
from phylotools.design.run import edit_designs, sample_designs
from phylotools.design.search import Penalties, SearchSettings
from phylotools.design.starts import LONGEST, Start, alone, random_starts
from phylotools.design.targets import HeadTarget, MotifTarget, Target, parse_aim
from phylotools.errors import UsageError
from phylotools.io.bases import N, base_codes
from phylotools.io.motifs import find_motif
from phylotools.scoring.scorer import Scorer

if TYPE_CHECKING:
    from phylotools.model.folder import Model


def sample_sequences(
    model: Model,
    start: SequenceLike | None = None,
    *,
    template: str | None = None,
    length: int | None = None,
    gc: float = 0.5,
    number: int = 10,
    temperature: float = 1.0,
    burn_in: int = 50,
    fixed: Sequence[str] = (),
    keep_protein: str | None = None,
    genetic_code: int | None = None,
    edits: int | None = None,
    own_base: str | None = None,
    seed: int = 1,
    threads: int | None = None,
) -> list[Design]:
    """Sample sequences, as `phylotools design sample` does, each by a chain of its own.

    Parameters
    ----------
    model : Model
        From `load_model`.
    start : sequence, optional
        Where chains begin; nothing is known beyond its ends. Else random sequences of `length`
        bases with that share of G and C, or of what `template` allows.
    template : str, optional
        IUPAC letters: bases that may stand at each position.
    fixed : sequence of str
        ``BEGIN-END``, 1-based: positions that stay as they are.
    temperature, burn_in, keep_protein, genetic_code, edits, own_base, seed, threads
        As for the command.

    Returns
    -------
    list of Design
        ``letters``, ``edits``, ``likelihoods`` and more of each.

    Raises
    ------
    UsageError, InputError
    """
    require_model(model)
    base = model.from_sequence_alone()
    limits = Limits(fixed, template, keep_protein, genetic_code, edits)
    if start is not None:
        starts = [_start(base, start)]
    elif template is None and not (length and 0 < length <= LONGEST):
        raise UsageError(f"give a start, a template, or a length from 1 to {LONGEST:,}")
    else:
        half = base.receptive_field // 2
        starts = random_starts(template or "N" * int(length or 0), gc, number, half, seed)
    chains = number if start is not None else 1
    settings = GibbsSettings(temperature, burn_in, chains=chains, seed=seed)
    conditionals = _conditionals(base, own_base, threads)
    return sample_designs(make_problems(starts, limits), conditionals, settings).designs


def edit_sequence(
    model: Model,
    start: SequenceLike,
    *,
    head: Model | None = None,
    motif: str | None = None,
    target: str | float = "high",
    edits: int = 10,
    edit_penalty: float = 0.0,
    likelihood_penalty: float = 0.0,
    beam: int = 1,
    template: str | None = None,
    fixed: Sequence[str] = (),
    keep_protein: str | None = None,
    genetic_code: int | None = None,
    own_base: str | None = None,
    threads: int | None = None,
) -> Design:
    """Edit a sequence by greedy search, as `phylotools design edit` does.

    Parameters
    ----------
    model : Model
        Whose likelihood counts.
    start : sequence
        Nothing is known beyond its ends.
    head : Model, optional
        Of a folder that `phylotools finetune` made for regions: its value is the target.
    motif : str, optional
        The best match of a MEME file's motif, or of a consensus, is the target. With neither, the
        likelihood itself is.
    target : str or float
        ``high``, ``low``, a class of the head, or a number.
    template, fixed
        As for `sample_sequences`.
    edits, edit_penalty, likelihood_penalty, beam, keep_protein, genetic_code, own_base, threads
        As for the command.

    Returns
    -------
    Design

    Raises
    ------
    UsageError, InputError
    """
    require_model(model)
    if head is not None and motif is not None:
        raise UsageError("give head or motif, not both")
    base = model.from_sequence_alone()
    value: Target | None = None if motif is None else MotifTarget(find_motif(motif))
    if head is not None:
        require_model(head)
        value = HeadTarget(Scorer(head.from_sequence_alone(), threads=threads))
    aim = parse_aim(str(target), None if head is None else head.tuned)
    limits = Limits(fixed, template, keep_protein, genetic_code, edits)
    problems = make_problems([_start(base, start)], limits)
    penalties = Penalties(edit_penalty, likelihood_penalty)
    conditionals = _conditionals(base, own_base, threads)
    settings = SearchSettings(beam=beam)
    (found,) = edit_designs(problems, conditionals, value, aim, penalties, settings).designs
    return found


def _start(model: Model, sequence: SequenceLike) -> Start:
    letters, is_single = letters_of(sequence)
    if not is_single:
        raise UsageError("start is one sequence")
    codes = base_codes(np.frombuffer(letters[0], dtype=np.uint8))
    if len(codes) > LONGEST or (codes >= N).any():
        raise UsageError(f"start must have up to {LONGEST:,} bases, each A, C, G or T")
    return alone("start", codes, model.receptive_field // 2)


def _conditionals(model: Model, own_base: str | None, threads: int | None) -> SiteConditionals:
    if own_base is not None and own_base not in {str(each) for each in OwnBase}:
        raise UsageError(f"there is no own_base {own_base!r:.40}: take {', '.join(OwnBase)}")
    chosen = usual_own_base(model) if own_base is None else OwnBase(own_base)
    return SiteConditionals(Scorer(model, threads=threads), chosen)
