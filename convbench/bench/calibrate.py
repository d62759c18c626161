"""This machine's constants for the cost models, measured in about a second on one core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import log2
from time import perf_counter

import numpy as np
from scipy import fft

from convbench.bench.probes import Ring, fma_probe
from convbench.kernels.blas import blas_threads
from convbench.machine import SHIPPED, Machine, describe

CALLS = 15
MATRIX = 768
IMAGE = 256


def measure(ring: Ring | None = None) -> Machine:
    """The best of ``CALLS`` of each probe: what a quiet machine does. ``call_overhead`` stays as shipped."""
    ring = ring or Ring()
    facts = describe()
    l2_bytes = _bytes(str(facts.get("cache_L2", ""))) or SHIPPED.l2_bytes
    peaks = {}
    for dtype in SHIPPED.peak_flops:
        probe = fma_probe(dtype, 1, SHIPPED)
        peaks[dtype] = probe.work / _least(probe.call)
    stream = ring.probe(1, SHIPPED)
    half = np.ones(l2_bytes // 4, np.uint8)
    target = np.empty_like(half)
    a = np.ones((MATRIX, MATRIX), np.float32)
    image = np.ones((IMAGE, IMAGE), np.float32)
    with blas_threads(1):
        blas = 2 * MATRIX**3 / _least(lambda: a @ a)
    return replace(
        SHIPPED,
        name=str(facts["cpu"]),
        peak_flops=peaks,
        bandwidth=stream.work / _least(stream.call),
        l2_bandwidth=2 * half.size / _least(lambda: np.copyto(target, half)),
        l2_bytes=l2_bytes,
        blas_fraction=min(1.0, blas / peaks["float32"]),
        fft_flops=2.5 * image.size * log2(image.size) / _least(lambda: fft.rfft2(image)),
    )


def _least(call: Callable[[], object]) -> float:
    """Seconds of the fastest of ``CALLS``, after one that does not count."""
    call()
    times = []
    for _ in range(CALLS):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return min(times)


def _bytes(size: str) -> int:
    """ "2048K" -> 2097152; 0 for what is no size."""
    scale = {"K": 1 << 10, "M": 1 << 20}.get(size[-1:], 0)
    return int(size[:-1]) * scale if size[:-1].isdigit() else 0
