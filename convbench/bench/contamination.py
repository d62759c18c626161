"""Samples taken while the machine was slowed: told by the multiply-add probe that ran beside each of them.

A neighbour on the sibling hyperthread halves a core's speed for seconds to minutes. Ratios within a round hold all the
same; a time that was mostly measured then is too long, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SLOWED = 1.25
"""A probe that takes so many times as long as at full speed says that something else had the core."""
FULL = 0.9
"""Full speed is this quantile of all the probe's readings in a run."""


def full_speed(rates: Sequence[float]) -> float:
    """flop/s of the probe when nothing slows the machine; NaN without readings."""
    return float(np.quantile(rates, FULL)) if rates else float("nan")


def slowed(rates: Sequence[float], full: float) -> float:
    """The part of the samples, given the probe's flop/s beside each, that were slowed; NaN without samples."""
    return float(np.mean([SLOWED * rate < full for rate in rates])) if rates else float("nan")
