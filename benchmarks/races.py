"""Any number of contenders timed in interleaved rounds beside a probe of the machine's peak.

In every round all contenders run once, in random order, each sample after an untimed call of its own (warm) or after
its memory was put out of the caches (cold), and the multiply-add probe runs among them. What is compared is compared
within rounds. With several threads every sample waits until those of the one before sleep: torch's spin for 4 to 8 ms
when a call has ended, on the core that the next one needs. A contender that one call shows to be far behind the best of
its side is not raced.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pairs import sample
from peak import Loop, loading

from convbench.bench.stats import Interval, median_interval
from convbench.bench.worker import LINGER
from convbench.kernels.blas import blas_threads
from convbench.kernels.evict import Range, cannot_evict, evict

ROUNDS = 15
FEWEST = 3
SAMPLE = 3e-4  # seconds a warm sample lasts at least: shorter calls are repeated
BUDGET = 1.5  # seconds for the rounds of one race; slow calls get fewer of them
LONG = 0.05  # seconds: a call of this length finds the caches as it would leave them
FAR = 2.0  # times the fastest rival's first times: beyond it, a rival cannot be the best by median


@dataclass(frozen=True)
class Contender:
    """``call()`` computes; ``memory()`` gives its input, prepared weights and last output; ``result()`` the output.

    ``algorithm``: the name of ours, "" for rivals. ``kept``: raced however slow, since a row's floor is against it.
    """

    name: str
    call: Callable[[], Any]
    result: Callable[[], np.ndarray]
    memory: Callable[[], Iterable[Range]] = lambda: ()
    algorithm: str = ""
    kept: bool = False


@dataclass(frozen=True)
class Race:
    """Seconds of every contender, round by round; ``flop`` a core; ``peak``: flop/s of a core probed in each round."""

    flop: float
    times: Mapping[str, Sequence[float]]
    peak: Sequence[float]
    results: Mapping[str, np.ndarray] = field(default_factory=dict)

    def median(self, name: str) -> float:
        return float(np.median(self.times[name]))

    def best(self, names: Iterable[str]) -> str:
        """The fastest by median of those of ``names`` that were raced."""
        return min((name for name in names if name in self.times), key=self.median)

    def ratio(self, theirs: str, ours: str) -> Interval:
        """theirs / ours, paired by round: above 1 ours is faster."""
        return median_interval([b / a for a, b in zip(self.times[ours], self.times[theirs], strict=True)])

    def of_peak(self, name: str) -> float:
        """The direct sum's flop/s over the peak probed in the same round; algorithms that save flop can pass 1."""
        return float(np.median([self.flop / t / p for t, p in zip(self.times[name], self.peak, strict=True)]))


def first_time(call: Callable[[], object]) -> float:
    """Seconds of a call, roughly: the least of three after the first, one of them if they are ``LONG``."""
    started = time.perf_counter()
    call()
    first = time.perf_counter() - started
    if first > BUDGET:
        return first
    return min(sample(call, 1) for _ in range(1 if first > LONG else 3))


def run(
    contenders: Sequence[Contender],
    flop: float,
    *,
    dtype: str = "float32",
    rounds: int = ROUNDS,
    threads: int = 1,
    cold: bool = False,
    budget: float = BUDGET,
) -> Race:
    """Race them. Contenders so slow that the rounds take ``budget`` seconds cut their number, down to ``FEWEST``."""
    if cold and (reason := cannot_evict()):
        raise SystemExit(reason)
    probe = loading(dtype)
    probe.rate()
    gc.disable()
    try:
        with blas_threads(1) if threads == 1 else nullcontext():  # more threads: each algorithm sets its own number
            firsts = {c.name: first_time(c.call) for c in contenders}
            fastest = min((firsts[c.name] for c in contenders if not c.algorithm), default=0.0)
            raced = [c for c in contenders if c.algorithm or c.kept or firsts[c.name] <= FAR * fastest]
            rest = LINGER if threads > 1 else 0.0
            return _rounds(raced, firsts, probe, flop / threads, rounds, cold, budget, rest)
    finally:
        gc.enable()


def _rounds(
    raced: Sequence[Contender],
    firsts: Mapping[str, float],
    probe: Loop,
    flop: float,
    rounds: int,
    cold: bool,
    budget: float,
    rest: float,
) -> Race:
    repeats = {c.name: 1 if cold else max(1, round(SAMPLE / firsts[c.name])) for c in raced}
    cost = sum(firsts[c.name] * (repeats[c.name] + 1) for c in raced)
    rounds = max(min(FEWEST, rounds), min(rounds, int(budget / cost)))
    times: dict[str, list[float]] = {c.name: [] for c in raced}
    peak: list[float] = []
    order: list[Contender | None] = [*raced, None]
    shuffle = random.Random(0).shuffle
    for _ in range(rounds):
        shuffle(order)
        for contender in order:
            if contender is None:
                peak.append(probe.rate())
                continue
            if rest:
                time.sleep(rest)
            if cold:
                evict(contender.memory())
            elif firsts[contender.name] < LONG:
                contender.call()
            times[contender.name].append(sample(contender.call, repeats[contender.name]))
    return Race(flop, times, peak, {c.name: c.result() for c in raced})
