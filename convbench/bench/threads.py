"""One number caps every pool: Numba, BLAS, FFT, torch and OpenCV; then each is asked what it really uses.

ONNX Runtime has a pool for each of its sessions, made with them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numba
from scipy import fft
from threadpoolctl import ThreadpoolController

from convbench.bench.environment import Facts

VARIABLES = (
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""Environment variables that size the pools when a worker starts."""


@cache
def _pools() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def limited_threads(threads: int) -> Iterator[Facts]:
    """Cap the pools of this process, and yield what they say themselves: ``threads_blas``, ``threads_fft`` …"""
    torch, cv2 = sys.modules.get("torch"), sys.modules.get("cv2")
    before = torch.get_num_threads() if torch else 0, cv2.getNumThreads() if cv2 else 0
    try:
        if torch:
            torch.set_num_threads(threads)
        if cv2:
            cv2.setNumThreads(threads)
        with _pools().limit(limits=threads), fft.set_workers(threads):
            yield _read_back(threads)
    finally:
        if torch:
            torch.set_num_threads(before[0])
        if cv2:
            cv2.setNumThreads(before[1])


def _read_back(threads: int) -> Facts:
    found: Facts = {
        "threads": threads,
        "threads_numba": int(vars(numba.config)["NUMBA_NUM_THREADS"]),
        "threads_fft": fft.get_workers(),
    }
    for pool in _pools().info():
        name = f"threads_{pool['user_api']}"
        found[name] = max(int(found.get(name, 0)), int(pool["num_threads"]))
    if torch := sys.modules.get("torch"):
        found["threads_torch"] = int(torch.get_num_threads())
    if cv2 := sys.modules.get("cv2"):
        found["threads_opencv"] = int(cv2.getNumThreads())
    return found
