"""Probes of the machine's own limits, short enough to run beside every sample.

``fma``     a batch-reduce product whose operands stay in L1: the multiply-add peak. It loads while it computes; a loop
            that works on registers alone keeps its speed when a neighbour takes half of the load ports away.
``stream``  a copy from one end of a ring larger than the caches to another: the bandwidth of memory.

Both run on as many threads as the contenders. A probe's ``work`` is its flop or bytes (read + written) in one call.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from convbench.kernels.gemm import TILE_ROWS, brgemm, panel_width
from convbench.kernels.jit import njit
from convbench.kernels.layout import aligned_empty
from convbench.kernels.threads import parallel
from convbench.machine import Machine

SECONDS = 1e-3  # what one call is sized to take on a quiet machine
RING_BYTES = 128 << 20  # of the source and of the target: more than the last-level cache of the machines we know
DEPTH = 64  # operands of 18 KB (float32) or 26 KB (float64): inside an L1 cache of 32 KB
ROWS = 2 * TILE_ROWS
PAGE = 4096


@dataclass(frozen=True)
class Probe:
    """``call()`` does ``work`` flop or bytes; ``unit`` names which."""

    name: str
    unit: str
    work: float
    call: Callable[[], None]

    @property
    def facts(self) -> dict[str, str | int | float]:
        return {f"probe_{self.unit}": self.work}


@njit
def _multiply(begin, end, times, rows, depth, a, b, width, c):
    for _ in range(begin, end):
        for _ in range(times):
            brgemm(rows, depth, 1, a, 0, None, rows, b, 0, None, c, 0, width, False)


def fma_probe(dtype: str, threads: int, machine: Machine) -> Probe:
    """The multiply-add peak of ``threads`` cores for ``dtype``."""
    width = panel_width(np.dtype(dtype))
    flop = 2.0 * ROWS * DEPTH * width
    times = max(1, round(machine.peak_flops[dtype] * SECONDS / flop))
    a = aligned_empty((DEPTH * ROWS,), np.dtype(dtype))
    b = aligned_empty((DEPTH * width,), np.dtype(dtype))
    a[:], b[:] = 0.5, 0.25
    products = [aligned_empty((ROWS * width,), np.dtype(dtype)) for _ in range(threads)]
    arguments: tuple[Any, ...] = (times, ROWS, DEPTH, a, b, width)
    return Probe(
        "fma",
        "flop",
        flop * times * threads,
        lambda: parallel(_multiply, threads, threads, *arguments, private=products),
    )


class Ring:
    """Two buffers that forked workers share, copied piece by piece so that every piece comes out of memory."""

    def __init__(self, nbytes: int = RING_BYTES) -> None:
        self.source, self.target = (np.frombuffer(mmap.mmap(-1, nbytes), np.uint8) for _ in range(2))
        self._next = 0

    def touch(self) -> None:
        """Map every page into this process by reading from it, so that no copy pays for that."""
        for buffer in (self.source, self.target):
            buffer[::PAGE].max()

    def copy(self, begin: int, end: int, nbytes: int, first: int) -> None:
        """Pieces ``begin`` to ``end`` of ``nbytes`` each, from position ``first`` on."""
        for piece in range(begin, end):
            at = (first + piece * nbytes) % (len(self.source) - nbytes)
            np.copyto(self.target[at : at + nbytes], self.source[at : at + nbytes])

    def probe(self, threads: int, machine: Machine) -> Probe:
        """The bandwidth of memory as ``threads`` cores see it."""
        nbytes = int(machine.bandwidth * SECONDS / 2)

        def call() -> None:
            parallel(self.copy, threads, threads, nbytes, self._next)
            self._next = (self._next + threads * nbytes) % len(self.source)

        return Probe("stream", "bytes", 2.0 * nbytes * threads, call)
