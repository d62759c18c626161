"""Paired statistics: intervals of medians, ratios taken round by round, and winners as sets.

A neighbour that slows the core for a second slows every contender of that round alike, so a ratio within a round stays
where the ratio of two medians moves (``tests/test_stats.py`` simulates it). Everything here is a pure function of the
samples: no clock, and random numbers from a fixed seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import bootstrap

CONFIDENCE = 0.95
RESAMPLES = 2000
SEED = 20240229
MINIMAL_EFFECT = 0.02
"""Contenders whose median ratio differs by less than this are tied, however narrow the interval."""
TIE_COST = 0.10
"""Breaking a tie may cost this much: on a noisy machine an interval can include 1 that says nothing."""
FEW = 3
"""Rounds below which there is no interval worth the name, and only a difference above ``TIE_COST`` counts."""

Rounds = Mapping[Any, float]
"""Round key -> seconds per call. Keys are shared by all contenders of a problem."""


@dataclass(frozen=True)
class Interval:
    """A median and its 95% percentile-bootstrap interval; a single value has no spread to show."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Standing:
    """Where one contender stands in its problem. ``ratio``: its time over the fastest's, paired by round."""

    time: Interval
    ratio: Interval
    rounds: int
    tied: bool
    winner: bool


def median_interval(values: Sequence[float]) -> Interval:
    """Median of ``values`` (at least one) with its percentile-bootstrap interval; the same for the same values."""
    sample = np.asarray(values, float)
    middle = float(np.median(sample))
    if len(sample) == 1:
        return Interval(middle, middle, middle)
    interval = bootstrap(
        (sample,),
        np.median,
        method="percentile",
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Interval(middle, float(interval.low), float(interval.high))


def paired_ratios(rounds: Rounds, reference: Rounds) -> list[float]:
    """rounds / reference in every round that both have, in the order of ``rounds``."""
    return [seconds / reference[key] for key, seconds in rounds.items() if key in reference]


def fastest(contenders: Mapping[str, Rounds]) -> str:
    """The contender of least median ratio to the one of least median time; among equals the first by name.

    The second step matters when a slow spell of the machine fell into rounds that not all contenders ran.
    """
    reference = min(sorted(contenders), key=lambda name: np.median(list(contenders[name].values())))
    scores = {
        name: float(np.median(ratios))
        for name in sorted(contenders)
        if (ratios := paired_ratios(contenders[name], contenders[reference]))
    }
    return min(scores, key=scores.__getitem__)


def is_tied(ratio: Interval, rounds: int) -> bool:
    """Whether a contender at this ratio to the fastest, over so many rounds, belongs to the winner set."""
    return ratio.low <= 1 or ratio.median < 1 + (MINIMAL_EFFECT if rounds >= FEW else TIE_COST)


def standings(
    contenders: Mapping[str, Rounds], tie_break: Mapping[str, tuple[float, float]] | None = None
) -> dict[str, Standing]:
    """The standing of every contender that has samples; one of them is the winner.

    tie_break: (workspace bytes, error) by name. Of the tied (whose median is within ``TIE_COST``), the least workspace
    wins, then the smaller error, then the name. Without it the name decides.
    """
    raced = {name: rounds for name, rounds in contenders.items() if rounds}
    if not raced:
        return {}
    best = raced[fastest(raced)]
    ratios = {name: _ratio(rounds, best) for name, rounds in raced.items()}
    tied = {name for name, ratio in ratios.items() if is_tied(ratio, len(raced[name]))}
    eligible = [name for name in tied if ratios[name].median <= 1 + TIE_COST]
    winner = min(eligible, key=lambda name: (*(tie_break or {}).get(name, ()), name))
    return {
        name: Standing(
            time=median_interval(list(rounds.values())),
            ratio=ratios[name],
            rounds=len(rounds),
            tied=name in tied,
            winner=name == winner,
        )
        for name, rounds in raced.items()
    }


def _ratio(rounds: Rounds, best: Rounds) -> Interval:
    """Paired where the two share rounds; else (a restarted worker) the ratio of the medians, without an interval."""
    ratios = paired_ratios(rounds, best)
    return median_interval(ratios or [float(np.median(list(rounds.values())) / np.median(list(best.values())))])
