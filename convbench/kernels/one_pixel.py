"""Products with one pixel that look at their operands themselves, in compiled code, where that takes no time.

Contract::

    call(x, y) is True     y = w · x + bias was computed, by ``multiply_vector`` or ``multiply_rows``
    call(x, y) is False    nothing was: x is not (1, G·C, 1, …), y is not (1, G·K, 1, …), or they share memory
    TypeError              x or y has another number of dimensions, is not C-contiguous or not writable

x and y have the product's dtype, which is the caller's to see: Numba may take one byte order for the other. It finds
out the other properties of its arguments in any case, and all that is left to check are shapes and addresses. A product
of a few thousand weights takes less time than the same checks take in Python.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import types

from convbench.kernels.jit import njit
from convbench.kernels.row_product import multiply_rows
from convbench.kernels.vector_product import multiply_vector


@njit
def fit(x, y, sizes):
    """Whether shapes and addresses are as the contract wants them; sizes: G, C, K, …"""
    inputs, outputs = sizes[0] * sizes[1], sizes[0] * sizes[2]
    if x.shape[1] != inputs or x.size != inputs or y.shape[1] != outputs or y.size != outputs:
        return False
    x_first, y_first = x.ctypes.data, y.ctypes.data
    return x_first + x.nbytes <= y_first or y_first + y.nbytes <= x_first


def _vector(x, w, bias, y, sizes):
    if not fit(x, y, sizes):
        return False
    multiply_vector(0, sizes[0] * (sizes.size - 5), x, w, bias, y, sizes)
    return True


def _rows(x, w, bias, y, sizes):
    if not fit(x, y, sizes):
        return False
    multiply_rows(0, sizes[0] * -(-sizes[2] // sizes[3]), x, w, bias, y, sizes)
    return True


@cache
def _compiled(kernel: Any, dtype: np.dtype, ndim: int) -> Any:
    element = getattr(types, dtype.name)
    image, line = types.Array(element, 2 + ndim, "C"), types.Array(element, 1, "C")
    sizes = types.Array(types.int64, 1, "C")
    return njit(_vector if kernel is multiply_vector else _rows, image, line, line, image, sizes)


def bound(kernel: Any, w: np.ndarray, bias: np.ndarray, sizes: np.ndarray, ndim: int) -> Callable[[Any, Any], bool]:
    """``call`` of the contract, for one of the two kernels with its operands."""
    multiply = _compiled(kernel, w.dtype, ndim)

    def call(x: Any, y: Any) -> bool:
        return multiply(x, w, bias, y, sizes)

    return call
