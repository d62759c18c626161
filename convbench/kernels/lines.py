"""Copies along image rows: memory moves and vectors, which Numba's checked indices would turn into scalar loops."""

from __future__ import annotations

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convbench.kernels.jit import njit
from convbench.kernels.simd import VECTOR_BYTES, Vectors, index, pointer, repeat


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


@njit
def copy_every_second(begin, end, source, target, origin, plane, stride, size):
    """target[c·plane − origin + (d·P + h)·Q + q] = source[c, d·stride[0], h·stride[1], 2·q].

    source (channels, D, H, W), target flat; size: (O, P, Q); ``begin`` ≤ c < ``end``, 0 ≤ d < O, h < P, q < Q.
    """
    _, D, H, W = source.shape
    flat, lanes = source.reshape(source.size), VECTOR_BYTES // source.itemsize
    for c in range(begin, end):
        for d in range(size[0]):
            start, at = (c * D + d * stride[0]) * H * W, c * plane - origin + d * size[1] * size[2]
            for q in range(0, size[2], lanes):
                every_second(target, at + q, size[2], flat, start + 2 * q, stride[1] * W, size[1], size[2] - q)


@intrinsic
def every_second(typingctx, target, at, step, source, start, source_step, rows, count):
    """target[at + h·step + i] = source[start + h·source_step + 2·i], 0 ≤ h < rows, 0 ≤ i < min(count, L); rows ≥ 1."""
    signature = types.void(target, at, step, source, start, source_step, rows, count)

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, target.dtype)
        target_, at_, step_, source_, start_, source_step_, rows_, count_ = args
        last = builder.sub(builder.shl(count_, index(1)), index(1))  # what lies behind the last element is not read
        low, high = vectors.masks(index(0), last, 2)
        taken, even = vectors.mask(index(0), count_), range(0, 2 * vectors.lanes, 2)

        def row(_, pointers):
            to, of = pointers
            pair = vectors.load(of, index(0), low), vectors.load(of, index(vectors.lanes), high)
            vectors.store(vectors.pick(*pair, even), to, index(0), taken)
            return [builder.gep(to, [step_]), builder.gep(of, [source_step_])]

        first = pointer(context, builder, target, target_, at_), pointer(context, builder, source, source_, start_)
        repeat(builder, rows_, first, row)
        return context.get_dummy_value()

    return signature, codegen
