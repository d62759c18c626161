"""What a contender gains from threads, and whether that is alarming: read off the ``scaling`` of its record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convbench.bench.stats import Interval, median_interval

LEAST_PART = 0.25
"""A kernel that turns less than this part of the machine's own gain into speed does not scale."""
GIVEN = 0.5
"""A machine that gains less than this part of a core from each thread more was busy: nothing can be said."""
STARVED = 0.9
"""Fewer processors at work than this, of the one that any call needs: the process waited for its turn."""
UNSURE = 0.25
"""Where so large a part of a run's cells cannot be judged, the cores were not the run's own: then none is judged."""


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
    machine: Interval
    busy: float

    @property
    def efficiency(self) -> float:
        """Gain for each thread."""
        return self.gain.median / self.threads

    @property
    def judged(self) -> bool:
        """Whether the machine had the cores to give, in nearly every round."""
        return self.machine.low >= 1 + GIVEN * (self.threads - 1) and self.busy >= STARVED

    @property
    def alarm(self) -> str:
        """How this kernel, though planned for several threads, fails to scale; "" if it does or nothing can be said."""
        if self.kernel_threads < 2 or not self.judged or self.gain.high >= self._least:
            return ""
        return (
            f"{self.threads} threads are {self.gain.median:.2f}× as fast as one, where the machine gives "
            f"{self.machine.median:.2f}×; {self.busy:.1f} processors worked"
        )

    @property
    def _least(self) -> float:
        return 1 + LEAST_PART * (self.machine.median - 1)

    @property
    def note(self) -> str:
        """The alarm, or why there can be none."""
        if self.kernel_threads < min(2, self.threads):
            return "too small to share: left to one thread"
        return self.alarm if self.judged else no_cores(self.threads)


def no_cores(threads: int) -> str:
    """What nothing can be concluded from."""
    return f"the machine had no {'second core' if threads == 2 else f'{threads} cores'} to give"


def conclusive(most: Sequence[Gain]) -> bool:
    """Whether a run tells how kernels scale: its cells, each on the most threads."""
    return sum(not gain.judged for gain in most) <= UNSURE * len(most)


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
            median_interval([threads / base * one / many for one, many in zip(probe, beside, strict=True)]),
            busy,
        )
        for threads, kernel_threads, seconds, beside, busy in rows
    ]
