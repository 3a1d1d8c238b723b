"""Scores of a change of REF to ALT: their names, what they are under each substitution model, and
which of them a model's users get by default. Known without torch.

With pi the equilibrium frequencies of the site, R its rate as the substitution model measures it,
Q its rate matrix, and pi0 and Q0 those of a neutral site, at which mutation alone acts:

- ``llr``: ``log pi_alt - log pi_ref``. Takes a base that mutation makes often for a good one.
- ``fitness``: ``log(pi_alt / pi0_alt) - log(pi_ref / pi0_ref)``, which under mutation-selection is
  the difference of scaled fitnesses (Halpern and Bruno, Mol. Biol. Evol. 15:910, 1998). Only as
  good as what the model says of mutation.
- ``rate-to-alt``: ``log R + log pi_alt``. Under F81, HKY and GTR that is ``log Q[ref, alt]`` less
  the log of the exchangeability that all sites share; under mutation-selection no entry of Q.
- ``fixation``: ``log(Q[ref, alt] / Q0[ref, alt])``, the rate of substitution over that of mutation.
  Under mutation-selection ``log R + log(S / (1 - exp(-S)))``, S the difference of fitnesses: the
  chance of fixation of a mutation relative to a neutral one (Kimura, Genetics 47:713, 1962) beside
  what the site has of rate. The others know no chance of fixation, but the ratio all the same; F81
  takes mutation to be uniform, and its ratio is ``rate-to-alt`` plus log 3.
- ``site-rate``: ``log(-sum_a pi_a Q[a, a])``, of every ALT alike; 0 at a neutral site.
- ``calibrated``: ``llr`` less its mean over neutral sites with the same pentanucleotide and ALT,
  for models that bring a table of these means.

Every one of them is low where ALT is less viable.
"""

from __future__ import annotations

from collections.abc import Iterable

from phylotools.errors import UsageError

#: The score that is always written, whatever else is.
LLR = "llr"
CALIBRATED = "calibrated"
#: What stands for a substitution model where pi is the distribution of a base that was masked.
MASKED = "masked"
#: Substitution model -> the score that its users get where they name none: on genes never seen
#: `fixation` beats the LLR under every one of them (docs/models-study.md). A model of masked bases
#: knows no rate; its LLR is what language models are scored by.
DEFAULT_SCORES = {
    **dict.fromkeys(("f81", "hky", "gtr", "mutation-selection"), "fixation"),
    MASKED: LLR,
}

_LLR = "Log-likelihood ratio of ALT to REF, log pi_ALT - log pi_REF"
_FITNESS = "Scaled fitness of ALT minus that of REF, F_ALT - F_REF"
_FIXATION = "Log of the rate of substitution of REF by ALT over that of mutation, "
_AGAINST_BACKGROUND = {
    "fitness": "Log-likelihood ratio of ALT to REF relative to the background frequencies b, "
    "log(pi_ALT / b_ALT) - log(pi_REF / b_REF)",
    "fixation": _FIXATION + "log(R / (4/3)) + log(pi_ALT / b_ALT), b the background frequencies",
}
#: Score -> what it is, unless `_OF_MODEL` says otherwise; ASCII, without quotes.
_MEANINGS = {
    LLR: _LLR,
    "fitness": _FITNESS,
    "rate-to-alt": "Log of the relative rate towards ALT, log R + log pi_ALT",
    "fixation": _FIXATION + "log R + log(S / (1 - exp(-S))), S = F_ALT - F_REF",
    "site-rate": "Log of the expected substitution rate of the site, 0 if neutral",
    CALIBRATED: "LLR less its mean over neutral sites with the same pentanucleotide and ALT",
}
_OF_MODEL = {
    "f81": {
        "fitness": f"{_FITNESS}, which under uniform mutation is log pi_ALT - log pi_REF",
        "fixation": f"{_FIXATION}which is taken to be uniform, log(R / (4/3)) + log(pi_ALT / 0.25)",
    },
    MASKED: {
        LLR: "Log-likelihood ratio of ALT to REF where the site is masked, log p_ALT - log p_REF",
        "fitness": "Log-likelihood ratio of ALT to REF where the site is masked, without mutation",
        "rate-to-alt": "Log-probability of ALT where the site is masked, log R + log p_ALT",
        "fixation": "Log-probability of ALT where the site is masked, log(p_ALT / 0.25)",
        "site-rate": "Log of R (1 - sum p^2), p the probabilities where the site is masked",
    },
    "hky": _AGAINST_BACKGROUND,
    "gtr": _AGAINST_BACKGROUND,
}
#: All scores, in the order in which they are written.
SCORE_NAMES = tuple(_MEANINGS)


def score_meaning(substitution: str, score: str) -> str:
    """What a score is under a substitution model, for headers: ASCII, without quotes."""
    return _OF_MODEL.get(substitution, {}).get(score, _MEANINGS[score])


def site_rate_meaning(substitution: str) -> str:
    """What the rate of a site is under a substitution model, for headers."""
    if substitution == MASKED:
        return "R (1 - sum p^2), p the probabilities where the site is masked; no rate was learned"
    return "Expected substitution rate of the site, neutral = 1"


def score_key(score: str) -> str:
    """A score's name as fields and columns have it: ``rate_to_alt``."""
    return score.replace("-", "_")


def known_score(name: str) -> str:
    """A score's name as `SCORE_NAMES` spells it, whatever its case and with ``-`` or ``_``.

    Raises
    ------
    UsageError
        If there is no such score.
    """
    known = str(name).strip().lower().replace("_", "-")
    if known not in SCORE_NAMES:
        raise UsageError(f"there is no score {name!r}; there are {', '.join(SCORE_NAMES)}")
    return known


def written_scores(substitution: str, asked: Iterable[str]) -> tuple[str, ...]:
    """The scores to be written: the LLR, then the model's default one and those asked for.

    Parameters
    ----------
    substitution : str
        Name of the substitution model.
    asked : iterable of str
        As for `known_score`.

    Returns
    -------
    tuple of str
        Each once, in the order of `SCORE_NAMES`.

    Raises
    ------
    UsageError
        If there is no such score.
    """
    chosen = {LLR, DEFAULT_SCORES[substitution]}
    chosen.update(map(known_score, asked))
    return tuple(name for name in SCORE_NAMES if name in chosen)
