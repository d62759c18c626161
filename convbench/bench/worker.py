"""What happens in the worker process of one problem: plan, check, calibrate, race; events go out as they come.

Order of a job: contenders that refuse are skipped with their reason; the others are taken by predicted time, so that
the best is known early. One predicted beyond ``HOPELESS`` times the best is called once (a rival not at all), and joins
the race after all if that call refutes the prediction. Wrong answers are not timed. The rest race. Then phases and
memory, of the fastest first, in a small share of the time, and how they scale if that is asked for.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from random import Random
from time import process_time

import numpy as np

from convbench.algorithm import Unsupported
from convbench.bench import details, scaling
from convbench.bench.contender import Contender, find
from convbench.bench.environment import Facts
from convbench.bench.orders import Job
from convbench.bench.probes import Probe, fma_probe
from convbench.bench.rounds import LONG_CALL, Clock, Emit, Racer, calibrated, race, timed
from convbench.bench.threads import limited_threads
from convbench.layouts import stored
from convbench.machine import Machine
from convbench.spec import ConvSpec
from convbench.units import seconds
from convbench.verify import Truth, truth

HOPELESS = 20.0  # times the best
HOPELESS_SHARE = 0.3  # of the job's seconds, for calls that are made once
ROUNDS_SHARE = 0.3  # of the job's seconds at least: preparations and first calls leave this much for the rounds
LINGER = 1e-2  # seconds: OpenMP's threads, torch's for one, spin for 4 to 8 ms when a parallel region has ended
RECHECK = 0.1  # of the job's seconds: longer first calls are not repeated to calibrate


def work(job: Job, probes: Sequence[Probe], machine: Machine, clock: Clock, emit: Emit) -> None:
    """Measure ``job`` in this process. Events: start, probe, begin, cell, sample, facts."""
    gc.disable()
    if job.affinity:
        os.sched_setaffinity(0, job.affinity)
    with limited_threads(job.threads) as facts:
        emit({"event": "start", "facts": facts, "probes": {probe.name: probe.facts for probe in probes}})
        for probe in probes:
            probe.call()
            emit({"event": "probe", "probe": probe.name, "round": -1, "seconds": timed(probe.call, 1, clock)})
        planned = _planned(job, ConvSpec.parse(job.spec), machine, clock, emit)
        if not planned:
            return
        emit({"event": "begin", "algorithm": "", "stage": "oracle"})
        answer = truth(planned[0].spec, job.weights if job.weights != "dense" else "normal", job.seed)
        end = clock() + job.seconds
        trials = Trials(job, answer, clock, emit, planned[0].spec.layout)
        racers = trials.select(planned)
        probed = {probe.name: probe.call for probe in probes}
        race(racers, probed, for_rounds(job, end + trials.late - clock()), clock, Random(job.seed), emit)
        inf = float("inf")
        details.tell(trials.racing, inf if job.details else details.SHARE * job.seconds, clock, emit)
        if job.scaling:
            several = {threads: fma_probe(planned[0].spec.dtype, threads, machine).call for threads in job.scaling}
            scaling.tell(trials.racing, job, several, scaling.SHARE * job.seconds, clock, process_time, emit)


def for_rounds(job: Job, left: float) -> float:
    """Seconds for the rounds of a job that has so many left, those for details and scaling among them."""
    aside = job.seconds * ((scaling.SHARE if job.scaling else 0.0) + details.SHARE)
    return max(left - aside, ROUNDS_SHARE * job.seconds)


def _planned(job: Job, spec: ConvSpec, machine: Machine, clock: Clock, emit: Emit) -> list[Contender]:
    """The contenders that accept the problem, by predicted time; the others' cells go out."""
    found = []
    for name in job.contenders:
        emit({"event": "begin", "algorithm": name, "stage": "plan"})
        try:
            found.append(Contender(find(name), spec, job.threads, job.workspace_limit, machine, clock))
        except Unsupported as error:
            emit(cell(name, "skipped", str(error)))
        except Exception as error:
            emit(cell(name, "crashed", f"{type(error).__name__}: {error} (plan)"))
    return sorted(found, key=lambda contender: contender.predicted)


def cell(name: str, status: str, reason: str = "", facts: Facts | None = None, loops: int = 1) -> dict[str, object]:
    """The event that says how a contender stands: its status, why, and its numbers so far."""
    return {
        "event": "cell",
        "algorithm": name,
        "status": status,
        "reason": reason,
        "facts": facts or {},
        "loops": loops,
    }


class Trials:
    """First calls: who is right, and who is fast enough to race."""

    def __init__(self, job: Job, answer: Truth, clock: Clock, emit: Emit, layout: str = "NCHW") -> None:
        self._share = job.seconds
        self._cache = job.cache
        self._threads = job.threads
        self._answer = answer
        self._clock = clock
        self._emit = emit
        self._given = stored(answer.operands[0], layout)
        self._x = self._given.copy()
        self._best = float("inf")  # seconds per call, measured
        self.late = 0.0  # seconds of Numba's that warming up had not met: they are nobody's share
        self._entered: list[tuple[Racer, Contender, str]] = []
        self.racing: list[tuple[Racer, Contender]] = []

    def select(self, planned: Sequence[Contender]) -> list[Racer]:
        """The racers among contenders in ascending order of prediction; the cells of all of them go out."""
        end = self._clock() + self._share
        doubtful = []
        for contender in planned:
            reference = planned[0].predicted if self._best == float("inf") else self._best
            if contender.predicted > HOPELESS * reference:
                doubtful.append((contender, f"predicted {_times(contender.predicted, reference)}"))
            else:
                self._try(contender, end)
        before = min(end, self._clock() - self.late + HOPELESS_SHARE * self._share)
        for contender, why in doubtful:
            if contender.peer:
                self._drop(contender, f"{why}; a rival, so not called")
            else:
                self._try(contender, before, f"{why}; ")
        self.racing = [(racer, rival) for racer, rival, status in self._entered if self._may_race(racer, rival, status)]
        return [racer for racer, _ in self.racing]

    def _may_race(self, racer: Racer, contender: Contender, status: str) -> bool:
        if racer.seconds > HOPELESS * self._best:
            self._drop(contender, f"a call takes {_times(racer.seconds, self._best)}")
            return False
        self._emit(cell(contender.name, status, "", contender.facts, racer.loops))
        return True

    def _drop(self, contender: Contender, reason: str, status: str = "hopeless") -> None:
        contender.release()
        self._emit(cell(contender.name, status, reason, contender.facts))

    def _try(self, contender: Contender, end: float, why: str = "") -> None:
        """Prepare, first call, check, calibrate. A contender that fails any of it, or has no time for it, is out."""
        left = max(0.0, end + self.late - self._clock())
        if contender.predicted > left:
            status = "hopeless" if why else "out of budget"
            why = why or f"predicted {seconds(contender.predicted)}; "
            self._drop(contender, f"{why}not called: {seconds(left)} are left for it", status)
            return
        try:
            self._measure(contender, why)
        except Unsupported as error:
            self._drop(contender, str(error), "skipped")
        except Exception as error:
            self._drop(contender, f"{type(error).__name__}: {error}", "crashed")

    def _measure(self, contender: Contender, why: str) -> None:
        self._begin(contender, "prepare")
        contender.prepare(self._x, *self._answer.operands[1:])
        self._begin(contender, "first call")
        verdict = contender.first(self._answer)
        first = float(contender.facts["first_s"])
        self.late += float(contender.facts.get("late_jit_s", 0.0))
        if not np.array_equal(self._x, self._given):
            self._x[...] = self._given
            self._drop(contender, "it wrote its input", "failed")
        elif not verdict.ok:
            self._drop(contender, verdict.reason, "failed")
        elif first > max(LONG_CALL if why else RECHECK * self._share, HOPELESS * self._best):
            self._drop(contender, f"{why}called once: {_times(first, self._best)}")
        else:
            self._begin(contender, "calibration")
            name, call, chill = contender.name, contender.call, contender.chill(self._cache)
            lasting = first > RECHECK * self._share
            racer = Racer(name, call, first, 1, chill) if lasting else calibrated(name, call, self._clock, chill)
            racer.linger = LINGER if contender.peer and self._threads > 1 else 0.0
            self._best = min(self._best, racer.seconds)
            self._entered.append((racer, contender, "weak test" if verdict.weak else "ok"))

    def _begin(self, contender: Contender, stage: str) -> None:
        self._emit({"event": "begin", "algorithm": contender.name, "stage": stage})


def _times(time: float, best: float) -> str:
    return f"{seconds(time)}, {time / best:.0f}× the best so far"
