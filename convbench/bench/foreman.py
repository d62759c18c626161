"""``python -m convbench.bench.foreman``: loads every kernel once, then forks one worker process for each problem.

A process of its own for each problem keeps a crash, a leak and a fragmented heap to that problem; forking it from one
that has imported and loaded everything saves it the second that those would take. Orders are JSON lines on standard
input; events are JSON lines on a file descriptor of their own, so that whatever a library prints does no harm.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import sys
from contextlib import suppress
from time import perf_counter

import numpy as np

from convbench import machine
from convbench.algorithm import load_file
from convbench.bench.calibrate import measure
from convbench.bench.orders import HOT, Job, Setup, from_line
from convbench.bench.probes import Ring, fma_probe
from convbench.bench.rounds import Emit
from convbench.bench.warmup import warm
from convbench.bench.worker import work
from convbench.kernels.blas import blas_name
from convbench.kernels.evict import evict, memory
from convbench.spec import ConvSpec

RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes


def main(descriptor: int) -> None:
    """Serve until standard input ends. Events: begin, warm, ready; then for each job the worker's own, and exit."""
    faulthandler.enable()

    def emit(event: dict[str, object]) -> None:
        # The newline in front ends the line that a killed worker may have left half written.
        os.write(descriptor, f"\n{json.dumps(event)}\n".encode())

    setup = Setup(**from_line(sys.stdin.readline()))
    for file in setup.files:
        load_file(file)
    specs = [ConvSpec.parse(text) for text in setup.specs]
    ring = Ring()
    ring.touch()
    if setup.calibrate and machine.current() is machine.SHIPPED:
        with suppress(OSError):
            machine.save(measure(ring))
    for dtype in {spec.dtype for spec in specs}:
        fma_probe(dtype, 1, machine.current()).call()
    if setup.cache != HOT:
        evict(memory(np.zeros(1)))  # compiles
    warm(specs, setup.contenders, emit)
    emit({"event": "ready", "blas": blas_name()})
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        code, peak = _fork(Job(**from_line(line)), ring, emit)
        emit({"event": "exit", "code": code, "max_rss": peak})


def _fork(job: Job, ring: Ring, emit: Emit) -> tuple[int, int]:
    """Run the job in a child: its exit code, negative for the signal that ended it, and the bytes that it held."""
    child = os.fork()
    if child == 0:
        try:
            _serve(job, ring, emit)
        except Exception as error:
            emit({"event": "error", "error": f"{type(error).__name__}: {error}"})
        finally:
            os._exit(0)
    _, status, usage = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), usage.ru_maxrss * RSS_UNIT


def _serve(job: Job, ring: Ring, emit: Emit) -> None:
    emit({"event": "started", "pid": os.getpid()})
    ring.touch()
    here, dtype = machine.current(), ConvSpec.parse(job.spec).dtype
    probes = (fma_probe(dtype, job.threads, here), ring.probe(job.threads, here))
    work(job, probes, here, perf_counter, emit)


if __name__ == "__main__":
    main(int(sys.argv[1]))
