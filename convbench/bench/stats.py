"""Paired statistics: intervals of medians, ratios taken round by round, and winners as sets.

A neighbour that slows the core for a second slows every contender of that round alike, so a ratio within a round stays
where the ratio of two medians moves. The order within a round is drawn anew each time: of two equal contenders either
is ahead with probability one half, whatever the machine does meanwhile. The interval of the median is the sign test's,
which needs nothing but that (``tests/test_stats.py`` simulates it, ``benchmarks/trust.py`` measures it). Everything
here is a pure function of the samples: no clock, no random numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.special import bdtr

CONFIDENCE = 0.95
MINIMAL_EFFECT = 0.02
"""Contenders whose median ratio differs by less than this are tied, however narrow the interval."""
TIE_COST = 0.10
"""Breaking a tie may cost this much, and too few rounds for an interval show no smaller difference."""
SPELL = 1.0
"""What a slow spell of the machine can add to a time: fewer than ``FEW`` rounds show no smaller difference."""
FEW = 3
LEAST = 6
"""Rounds below which no interval of a median has ``CONFIDENCE``: even the range of all values may miss it."""

Rounds = Mapping[Any, float]
"""Round key -> seconds per call. Keys are shared by all contenders of a problem."""


@dataclass(frozen=True)
class Interval:
    """A median between two order statistics.

    ``confidence``: what was asked for, or what the range of all values really has where there are too few of them.
    """

    median: float
    low: float
    high: float
    confidence: float = CONFIDENCE

    @property
    def spread(self) -> float:
        """Half of its width, of the median."""
        return (self.high - self.low) / 2 / self.median


@dataclass(frozen=True)
class Standing:
    """Where one contender stands in its problem. ``ratio``: its time over the fastest's, paired by round.

    The ratios of a problem hold at once: each has the confidence that takes for all of them (Bonferroni).
    """

    time: Interval
    ratio: Interval
    rounds: int
    tied: bool
    winner: bool


def median_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Median of ``values`` (at least one) between the order statistics that a sign test cannot tell from it."""
    ordered = np.sort(np.asarray(values, float))
    low, high, reached = _ranks(len(ordered), confidence)
    return Interval(float(np.median(ordered)), float(ordered[low]), float(ordered[high]), reached)


@cache
def _ranks(count: int, confidence: float) -> tuple[int, int, float]:
    """Positions of the interval's ends among ``count`` sorted values, and its confidence.

    Of n values Binomial(n, ½) lie below the median: that no more than ``low`` do is a matter of (1 − confidence) / 2.
    """
    low = int(np.searchsorted(bdtr(np.arange(count), count, 0.5), (1 - confidence) / 2, side="right")) - 1
    if low < 0:
        return 0, count - 1, 1 - 2.0 ** (1 - count)
    return low, count - 1 - low, confidence


def paired_ratios(rounds: Rounds, reference: Rounds) -> list[float]:
    """rounds / reference in every round that both have, in the order of ``rounds``."""
    return [seconds / reference[key] for key, seconds in rounds.items() if key in reference]


def ratio_of_medians(values: Sequence[float], base: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Median of ``values`` over that of ``base``, of rounds that they do not share; both intervals hold together."""
    each = 1 - (1 - confidence) / 2
    above, below = median_interval(values, each), median_interval(base, each)
    certain = min(above.confidence, below.confidence) >= each
    reached = confidence if certain else max(0.0, above.confidence + below.confidence - 1)
    return Interval(above.median / below.median, above.low / below.high, above.high / below.low, reached)


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


def is_tied(ratio: Interval, rounds: int, confidence: float = CONFIDENCE) -> bool:
    """Whether a contender at this ratio to the fastest, over so many rounds, belongs to the winner set.

    An interval that has not the ``confidence`` asked for shows large differences only.
    """
    certain = ratio.confidence >= confidence
    least = MINIMAL_EFFECT if certain else TIE_COST if rounds >= FEW else SPELL
    return ratio.low <= 1 or ratio.median < 1 + least


def joint_confidence(contenders: int) -> float:
    """What every ratio to the fastest of so many contenders needs for all of them to hold at ``CONFIDENCE``."""
    return 1 - (1 - CONFIDENCE) / max(1, contenders - 1)


def known(contenders: Mapping[str, Rounds], asked: Sequence[str], spread: float) -> bool:
    """Whether the ratios of those ``asked`` to the fastest are known to ± ``spread``; of one alone, its time.

    Widths alone decide. Rounds that went on until somebody is ahead would find a leader where there is none.
    """
    found, confidence = standings(contenders), joint_confidence(len(contenders))
    intervals = [found[name].ratio if len(contenders) > 1 else found[name].time for name in asked]
    return all(interval.confidence >= confidence and interval.spread <= spread for interval in intervals)


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
    confidence = joint_confidence(len(raced))
    ratios = {name: _ratio(rounds, best, confidence) for name, rounds in raced.items()}
    tied = {name for name, ratio in ratios.items() if is_tied(ratio, len(raced[name]), confidence)}
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


def _ratio(rounds: Rounds, best: Rounds, confidence: float) -> Interval:
    """Paired where the two share rounds; else (a restarted worker) the ratio of the medians, without an interval."""
    ratios = paired_ratios(rounds, best)
    unpaired = float(np.median(list(rounds.values())) / np.median(list(best.values())))
    return median_interval(ratios or [unpaired], confidence)
