"""Two callables timed in interleaved rounds on one pinned core, and tables of their ratios."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from convbench.bench.stats import Interval, median_interval
from convbench.kernels.blas import blas_name, blas_threads
from convbench.machine import describe
from convbench.units import count

ROUNDS = 15
SAMPLE = 5e-4  # seconds a sample lasts at least: shorter calls are repeated


@dataclass(frozen=True)
class Pair:
    """``ratio`` = theirs / ours, round by round: above 1 ours is faster."""

    label: str
    ours: float
    theirs: float
    ratio: Interval


def pin(threads: int = 1) -> str:
    """Bind this process to its last core, or to as many as there are threads, and say so, with CPU and BLAS."""
    cores = sorted(os.sched_getaffinity(0))
    if threads > len(cores):
        raise SystemExit(f"{threads} threads were asked for; this process may use {len(cores)} cores")
    os.sched_setaffinity(0, cores[-threads:])
    used = ", ".join(map(str, cores[-threads:]))
    return f"{describe()['cpu']}, core {used} of {os.cpu_count()}, {count(threads, 'thread')}; BLAS {blas_name()}"


def sample(call: Callable[[], object], repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def race(label: str, ours: Callable[[], object], theirs: Callable[[], object], rounds: int = ROUNDS) -> Pair:
    """Median seconds per call of both, warm, and the interval of the paired ratio."""
    calls = (ours, theirs)
    with blas_threads(1):
        for call in calls:
            call()
        repeats = [max(1, round(SAMPLE / sample(call, 1))) for call in calls]
        times: tuple[list[float], list[float]] = ([], [])
        order = [0, 1]
        for _ in range(rounds):
            random.shuffle(order)
            for which in order:
                times[which].append(sample(calls[which], repeats[which]))
    ratios = [b / a for a, b in zip(*times, strict=True)]
    return Pair(label, float(np.median(times[0])), float(np.median(times[1])), median_interval(ratios))


def table(title: str, floor: float, pairs: Iterable[Pair]) -> Iterator[str]:
    """Lines of text: one a pair, then the geometric mean against ``floor`` and the least."""
    yield f"\n{title}"
    medians = []
    for pair in pairs:
        low, high = pair.ratio.low, pair.ratio.high
        medians.append(pair.ratio.median)
        yield (
            f"  {pair.label:58} ours {pair.ours * 1e3:10.4f} ms   other {pair.theirs * 1e3:10.4f} ms   "
            f"ratio {pair.ratio.median:8.2f} [{low:.2f}, {high:.2f}]"
        )
    mean = float(np.exp(np.mean(np.log(medians))))
    verdict = "holds" if mean >= floor else "MISSED"
    yield f"  geometric mean {mean:.2f}, least {min(medians):.2f}; floor {floor:g}: {verdict}"
