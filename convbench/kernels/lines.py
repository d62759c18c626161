"""Copies along one image row: plain memory moves, which Numba's checked indices would turn into scalar loops."""

from __future__ import annotations

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convbench.kernels.jit import njit


@intrinsic
def _move(typingctx, target, at, source, start, count):
    signature = types.void(target, types.intp, source, types.intp, types.intp)

    def codegen(context, builder, sig, args):
        ends = []
        for array, first in ((0, 1), (2, 3)):
            data = context.make_array(sig.args[array])(context, builder, args[array]).data
            ends.append(builder.gep(data, [args[first]]))
        cgutils.raw_memcpy(builder, ends[0], ends[1], args[4], target.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return signature, codegen


@njit
def copy_line(target, at, source, start, step, count):
    """target[at + i] = source[start + i·step] for 0 ≤ i < count; both flat, no bounds checked."""
    if step == 1:
        _move(target, at, source, start, count)
    else:
        for i in range(np.uintp(count)):
            target[np.uintp(at) + i] = source[np.uintp(start) + i * np.uintp(step)]


@njit
def clear_line(target, at, count):
    """target[at + i] = 0 for 0 ≤ i < count."""
    for i in range(np.uintp(count)):
        target[np.uintp(at) + i] = 0
