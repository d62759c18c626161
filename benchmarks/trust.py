"""Can the benchmark's answers be trusted on this machine? Its own rounds and statistics, on the real clock, one core.

Run: ``python benchmarks/trust.py`` (or with a number of trials, 200 by default). It prints

* A/A: one algorithm under two names; in how many trials somebody was told from the fastest (there is no difference);
* A/B: the same beside one that makes 11 calls where the other makes 10; in how many trials it was found slower;
* drift: a process competes for the core during the second half of a run. Rounds meet it with both contenders,
  a comparison of one run after the other meets it with one of them. The true ratio is 1.1; errors in percent.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from random import Random

import numpy as np
from pairs import pin

from convbench.bench.rounds import MOST_ROUNDS, NARROW, Racer, race, timed
from convbench.bench.stats import median_interval, paired_ratios, standings
from convbench.data import arrays
from convbench.driver import kernel
from convbench.kernels.blas import blas_threads
from convbench.spec import ConvSpec

PROBLEM = "mb1ic16ih14oc16oh14kh3ph1"
ALGORITHM = "direct"
TRIALS = 200
DRIFTS = 5
SHORT, LONG = 5e-5, 1.6e-3  # seconds of a tenth of a sample: long samples cannot slip between two turns of a neighbour
SLOWER = 1.1
FOREVER = 1e9
COMPETITOR = "while True: pass"
HALF = MOST_ROUNDS // 2

Call = Callable[[], object]
Samples = dict[str, dict[int, float]]


def work(tenth: float) -> Callable[[int], Call]:
    """tenths -> a callable that works so long by making calls of one prepared layer."""
    spec = ConvSpec.parse(PROBLEM)
    x, weight, _ = arrays(spec)
    layer, out = kernel(spec, ALGORITHM, threads=1).prepare(weight), np.empty(spec.output_shape, spec.np_dtype)
    layer(x, out)
    calls = max(1, round(tenth / min(timed(partial(layer, x, out), 20, time.perf_counter) / 20 for _ in range(20))))
    return lambda tenths: partial(timed, partial(layer, x, out), tenths * calls, time.perf_counter)


def rounds(calls: dict[str, Call], seed: int, narrow: float = NARROW, halfway: Call = lambda: None) -> Samples:
    """Interleaved rounds as in ``convbench bench``; ``halfway`` is called before round ``HALF``."""
    taken: Samples = {name: {} for name in calls}

    def keep(event: dict[str, object]) -> None:
        match event:
            case {"event": "sample", "algorithm": str(name), "round": int(i), "seconds": float(seconds)}:
                taken[name][i] = seconds
            case {"probe": "stream", "round": int(i)} if i == HALF:
                halfway()

    racers = [Racer(name, call, 1e-3, 1) for name, call in calls.items()]
    race(racers, dict.fromkeys(("fma", "stream"), lambda: None), FOREVER, time.perf_counter, Random(seed), keep, narrow)
    return taken


def one_by_one(calls: dict[str, Call], halfway: Call) -> Samples:
    """All samples of the first contender, then all of the second, as separate runs would take them."""
    taken: Samples = {}
    for name, call in calls.items():
        taken[name] = {i: timed(call, 1, time.perf_counter) for i in range(MOST_ROUNDS)}
        if len(taken) == 1:
            halfway()
    return taken


def told_apart(b_tenths: int, trials: int) -> tuple[float, float]:
    """In what part of the trials a and b, of 10 and so many tenths, are not tied; and the median number of rounds."""
    of = work(SHORT)
    races = [standings(rounds({"a": of(10), "b": of(b_tenths)}, seed)) for seed in range(trials)]
    apart = [not all(standing.tied for standing in race.values()) for race in races]
    return float(np.mean(apart)), float(np.median([race["a"].rounds for race in races]))


@contextmanager
def competitor() -> Iterator[Call]:
    """A callable that starts a process which wants this core all the time, until the end of the block."""
    with ExitStack() as stack:

        def start() -> None:
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", COMPETITOR]))
            stack.callback(process.kill)
            time.sleep(0.3)

        yield start


def drift(seed: int) -> dict[str, float]:
    """Errors of three estimates of b's time over a's when a competitor comes halfway."""
    of = work(LONG)
    calls = {"a": of(10), "b": of(11)}
    with competitor() as start:
        paired = rounds(calls, seed, 0.0, start)
    with competitor() as start:
        apart = {name: list(samples.values()) for name, samples in one_by_one(calls, start).items()}
    return {
        "paired rounds, median ratio": median_interval(paired_ratios(paired["b"], paired["a"])).median / SLOWER - 1,
        "one after the other, minima": min(apart["b"]) / min(apart["a"]) / SLOWER - 1,
        "one after the other, means": float(np.mean(apart["b"]) / np.mean(apart["a"])) / SLOWER - 1,
    }


def main() -> None:
    trials = int(sys.argv[1]) if sys.argv[1:] else TRIALS
    with blas_threads(1):
        print(pin())
        print(f"{trials} trials of up to {MOST_ROUNDS} rounds, {ALGORITHM} on {PROBLEM}")
        for label, tenths in (("A/A", 10), ("A/B 10% slower", 11)):
            apart, taken = told_apart(tenths, trials)
            print(f"{label:14}  told apart {apart:6.1%}  rounds, median {taken:g}", flush=True)
        print(f"a competing process from half of the run on, {DRIFTS} runs: error of the ratio, median and worst")
        errors = [drift(seed) for seed in range(DRIFTS)]
        for way in errors[0]:
            found = [abs(run[way]) for run in errors]
            print(f"  {way:28} {np.median(found):6.1%} {max(found):6.1%}")


if __name__ == "__main__":
    main()
