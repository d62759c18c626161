"""What is asked of a contender once it has been raced: the seconds of its phases, and what a call allocates.

Phases are timed in a variant of the algorithm that is compiled with marks between them (``kernels/ticks.py``), on one
thread, beside ordinary calls of the same layer, which carry none of it. Recorded with them are their sum over the
variant's own time, and that time over an ordinary call's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from math import ceil
from statistics import median

import numpy as np

from convbench.bench.allocation import allocated
from convbench.bench.contender import Contender
from convbench.bench.environment import Facts
from convbench.bench.rounds import Clock, Emit, Racer, timed
from convbench.bench.threads import limited_threads
from convbench.driver import Layer

SHARE = 0.03  # of a job's seconds, for as many contenders as fit, fastest first; more only if asked for
REPEATS = 3  # odd: one of them is the median
QUICK, MANY = 1e-3, 31  # seconds of a call that is repeated so often, as little disturbs it much
TOGETHER = 1e-4  # seconds of calls in one repetition: to start the counter and to read the clock takes microseconds
CALLS = 2 + 2 + 2 * REPEATS  # of a layer: two for its memory, one of each kind to warm up, then pairs


def tell(entered: Sequence[tuple[Racer, Contender]], seconds: float, clock: Clock, emit: Emit) -> None:
    """Events: begin, and facts of every contender whose details fit into what is left of ``seconds``."""
    end = clock() + seconds
    for racer, contender in sorted(entered, key=lambda pair: pair[0].seconds):
        if clock() + CALLS * racer.seconds + float(contender.facts["prepare_s"]) > end:
            return
        emit({"event": "begin", "algorithm": racer.name, "stage": "details"})
        emit({"event": "facts", "algorithm": racer.name, "facts": {**memory(contender), **phases(contender, clock)}})


def memory(contender: Contender) -> Facts:
    """What a warm call allocates. Ours write into an output given to them, a rival's own output is not counted."""
    assert contender.layer is not None
    out = np.empty(contender.spec.stored_output_shape, contender.spec.np_dtype)
    if contender.peer:
        contender.call()
        return allocated(contender.call, out.nbytes)
    call = partial(contender.call, out=out)
    call()
    return allocated(call)


def phases(contender: Contender, clock: Clock) -> Facts:
    """``phases`` (seconds by name), ``phases_sum``, ``phases_slowdown``; nothing of an algorithm that has none.

    The phases are those of the repetition that took the median time; phases_sum is what they add up to over that time,
    phases_slowdown the median of the variant's time over an ordinary call's just before it.
    """
    layer = contender.alone()
    if layer is None:
        return {}
    with limited_threads(1):
        return _marked(layer, contender.x, clock)


def _marked(layer: Layer, x: np.ndarray, clock: Clock) -> Facts:
    out = np.empty(layer.kernel.spec.stored_output_shape, layer.kernel.spec.np_dtype)
    layer.marked(layer.ticks(), x, out, 1)
    slowdowns: list[float] = []
    found: list[tuple[float, np.ndarray]] = []
    first = timed(partial(layer, x, out), 1, clock)
    if first < QUICK:  # which a disturbance makes look several times as long
        first = min(first, *(timed(partial(layer, x, out), 1, clock) for _ in range(REPEATS)))
    calls = max(1, ceil(TOGETHER / max(first, 1e-9)))
    for _ in range(MANY if first < QUICK else REPEATS):
        ordinary = timed(partial(layer, x, out), calls, clock)
        ticks = layer.ticks()
        start = clock()
        layer.marked(ticks, x, out, calls)
        found.append((clock() - start, ticks))
        slowdowns.append(found[-1][0] / ordinary)
    whole, ticks = sorted(found, key=lambda pair: pair[0])[len(found) // 2]
    seconds = layer.seconds(ticks)
    return {
        "phases": json.dumps({name: float(f"{spent / calls:.4g}") for name, spent in seconds.items() if spent}),
        "phases_sum": sum(seconds.values()) / whole,
        "phases_slowdown": median(slowdowns),
    }
