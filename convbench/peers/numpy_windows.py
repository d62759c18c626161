"""NumPy alone: ``sliding_window_view`` and ``tensordot``, the idiom that answers most questions about it.

tensordot copies the windows into a matrix and calls BLAS: im2col in one line, for any rank, stride and dilation.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convbench.algorithm import direct_error, terms
from convbench.kernels.blas import blas_threads
from convbench.machine import Machine
from convbench.peers import add_bias, peer
from convbench.spec import ConvSpec

MOST_BYTES = 1 << 30
GATHER = 20  # the windows' copy moves one element at a time: slower than a straight copy by about this


def _window_bytes(spec: ConvSpec) -> int:
    return spec.N * prod(spec.output_spatial) * terms(spec) * spec.groups * spec.itemsize


def supports(spec: ConvSpec) -> str | None:
    if (needed := _window_bytes(spec)) > MOST_BYTES:
        return f"the windows fill {needed} bytes; the limit is {MOST_BYTES}"
    return None


def call(spec: ConvSpec, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    axes = tuple(range(2, x.ndim))
    if any(map(any, spec.padding)):
        x = np.pad(x, [(0, 0), (0, 0), *spec.padding])
    windows = sliding_window_view(x, spec.effective_filter, axis=axes)
    every: tuple[Any, ...] = (..., *(slice(None, None, step) for step in spec.stride + spec.dilation))
    windows = windows[every]
    taps = tuple(range(2 + spec.ndim, windows.ndim))
    with blas_threads(1):
        parts = [
            np.tensordot(part, filters, ((1, *taps), tuple(range(1, filters.ndim))))
            for part, filters in zip(np.split(windows, spec.groups, axis=1), np.split(weight, spec.groups), strict=True)
        ]
    y = np.moveaxis(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1), -1, 1)
    return add_bias(y, bias)


def cost(spec: ConvSpec, machine: Machine) -> float:
    gathered = _window_bytes(spec) * GATHER / machine.l2_bandwidth
    product = machine.flop_time(spec.flop, spec, 1, machine.blas_fraction / 2)
    return machine.call_overhead * spec.groups * 3 + gathered + product


numpy_windows = peer(
    "numpy_windows",
    call,
    supports=supports,
    cost=cost,
    error=direct_error,
    local=True,
    claim="numpy.tensordot over sliding_window_view",
)
