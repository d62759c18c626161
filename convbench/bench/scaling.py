"""How contenders scale: each on 1 … n threads, in rounds of its own, beside the multiply-add probe on as many.

What is kept is raw: seconds by round of every number of threads, so that ratios pair by round, those of the probe,
which say what the machine had to give, and how many processors were busy meanwhile. ``gains`` says what they mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from random import Random
from statistics import median

from convbench.bench.contender import Contender
from convbench.bench.orders import Job
from convbench.bench.rounds import LEAST_ROUNDS, Clock, Emit, Racer, calibrated, sample, timed
from convbench.bench.threads import limited_threads

SHARE = 0.5  # of a job's seconds, where scaling is asked for
ROUNDS = 9
Probes = Mapping[int, Callable[[], object]]


def tell(
    entered: Sequence[tuple[Racer, Contender]],
    job: Job,
    probes: Probes,
    seconds: float,
    clock: Clock,
    cpu: Clock,
    emit: Emit,
) -> None:
    """Events: begin, and ``scaling`` of every contender whose rounds fit into what is left of ``seconds``.

    probes: by number of threads, those of ``job.scaling``. cpu: seconds of all processors that this process has used.
    """
    end, rng = clock() + seconds, Random(job.seed)
    shares = sum(max(job.scaling) / threads for threads in job.scaling)
    for racer, contender in sorted(entered, key=lambda pair: pair[0].seconds):
        if clock() + LEAST_ROUNDS * shares * racer.round_seconds > end:
            return
        emit({"event": "begin", "algorithm": racer.name, "stage": "scaling"})
        team = {threads: contender.on(threads) for threads in job.scaling}
        found = _raced(team, job.cache, probes, end, clock, cpu, rng)
        emit({"event": "facts", "algorithm": racer.name, "facts": {"scaling": json.dumps(found)}})


def _raced(
    team: Mapping[int, Contender], cache: str, probes: Probes, end: float, clock: Clock, cpu: Clock, rng: Random
) -> dict[str, list[object]]:
    """Columns by number of threads: those the kernel was planned for, seconds, the probe's, processors that worked."""
    racers = {}
    for threads, contender in team.items():
        with limited_threads(threads):
            contender.call()
            racers[threads] = calibrated(contender.name, contender.call, clock, contender.chill(cache))
    seconds, beside, busy = ({threads: [] for threads in team} for _ in range(3))  # type: ignore[var-annotated]
    order = list(team)
    for i in range(ROUNDS):
        if i >= LEAST_ROUNDS and clock() > end:
            break
        rng.shuffle(order)
        for threads in order:
            with limited_threads(threads):
                beside[threads].append(timed(probes[threads], 1, clock))
                wall, used = clock(), cpu()
                seconds[threads].append(sample(racers[threads], clock))
                busy[threads].append((cpu() - used) / max(clock() - wall, 1e-9))
    return {
        "threads": list(team),
        "kernel_threads": [contender.facts["kernel_threads"] for contender in team.values()],
        "seconds": [_short(taken) for taken in seconds.values()],
        "probe": [_short(taken) for taken in beside.values()],
        "busy": [round(median(shares), 2) for shares in busy.values()],
    }


def _short(seconds: Sequence[float]) -> list[float]:
    return [float(f"{value:.4g}") for value in seconds]
