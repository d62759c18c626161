"""What is asked of a contender once it has been raced: the seconds of its phases, and what a call allocates.

Ordinary runs carry none of it: phases are timed in a variant of the algorithm that runs step by step, on one thread,
beside ordinary calls of the same layer. The variant's own total and its slow-down are recorded with them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
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
CALLS = 2 + 1 + 2 * REPEATS  # of a layer: two for its memory, one stepwise to warm up, then pairs


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
    """``phases`` (seconds by name) and ``phases_slowdown``; nothing of an algorithm that has none.

    The phases are those of the repetition whose total is the median, and add up to it; phases_slowdown is a stepwise
    call over an ordinary one.
    """
    layer = contender.alone()
    if layer is None:
        return {}
    with limited_threads(1):
        return _steps(layer, contender.x, clock)


def _steps(layer: Layer, x: np.ndarray, clock: Clock) -> Facts:
    out = np.empty(layer.kernel.spec.stored_output_shape, layer.kernel.spec.np_dtype)
    layer.time_phases(x, clock, out)
    slowdowns, steps = [], []
    for _ in range(REPEATS):
        ordinary = timed(partial(layer, x, out), 1, clock)
        start = clock()
        steps.append(layer.time_phases(x, clock, out))
        slowdowns.append((clock() - start) / ordinary)
    middle = sorted(steps, key=lambda seconds: sum(seconds.values()))[REPEATS // 2]
    return {
        "phases": json.dumps({name: float(f"{seconds:.4g}") for name, seconds in middle.items()}),
        "phases_slowdown": median(slowdowns),
    }
