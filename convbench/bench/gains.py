"""What a contender gains from threads, and whether that is alarming: read off the ``scaling`` of its record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convbench.bench.stats import Interval, median_interval, ratio_of_medians

LEAST_PART = 0.25
"""A kernel that turns less than this part of the machine's own gain into speed does not scale."""
GIVEN = 0.5
"""A machine that gains less than this part of a core from each thread more was busy: nothing can be said."""


@dataclass(frozen=True)
class Gain:
    """``gain``: time on one thread (the fewest measured) over that on ``threads``, paired by round.

    ``machine``: the same of the multiply-add probe, for the same work. ``kernel_threads``: what the plan uses;
    ``busy``: processors that worked.
    """

    threads: int
    kernel_threads: int
    seconds: Interval
    gain: Interval
    machine: float
    busy: float

    @property
    def efficiency(self) -> float:
        """Gain for each thread."""
        return self.gain.median / self.threads

    @property
    def judged(self) -> bool:
        """Whether the machine had the cores to give."""
        return self.machine >= 1 + GIVEN * (self.threads - 1)

    @property
    def alarm(self) -> str:
        """How this kernel, though planned for several threads, fails to scale; "" if it does or nothing can be said."""
        if self.kernel_threads < 2 or not self.judged or self.gain.high >= 1 + LEAST_PART * (self.machine - 1):
            return ""
        return (
            f"{self.threads} threads are {self.gain.median:.2f}× as fast as one, where the machine gives "
            f"{self.machine:.2f}×; {self.busy:.1f} processors worked"
        )

    @property
    def note(self) -> str:
        """The alarm, or why there can be none."""
        if self.kernel_threads < min(2, self.threads):
            return "too small to share: left to one thread"
        return self.alarm if self.judged else "the machine had no cores to give"


def gains(text: str) -> list[Gain]:
    """From the fewest threads to the most; nothing of a text that is empty."""
    if not text:
        return []
    record: Mapping[str, Any] = json.loads(text)
    columns = (record[name] for name in ("threads", "kernel_threads", "seconds", "probe", "busy"))
    rows = sorted(zip(*columns, strict=True))
    base, _, first, probe, _ = rows[0]
    return [
        Gain(
            threads,
            kernel_threads,
            median_interval(seconds),
            median_interval([one / many for one, many in zip(first, seconds, strict=True)]),
            threads / base * ratio_of_medians(probe, beside).median,
            busy,
        )
        for threads, kernel_threads, seconds, beside, busy in rows
    ]
