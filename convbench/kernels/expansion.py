"""Padded images from whole ones: zeros set in between the elements, a vector of the target at a time.

Contract (written before the code)::

    out[c·plane + v·L + i] = x[start + c·x_plane + at[v] + (bits of masks[v] below i)]   where bit i of masks[v] is set
                           = 0                                                           elsewhere
                             0 ≤ c < channels, 0 ≤ v < plane / L, 0 ≤ i < L

Rows that lie whole and close together in x stay so: what a vector of the target holds of them, zeros left out, is one
run of x, whatever their width. One load that expands, and one whole store: no row has a first and a last vector.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convbench.kernels.simd import VECTOR_BYTES, Vectors, index, pointer

EXPANDS = VECTOR_BYTES == 64  # with one instruction


def expansion(sources: np.ndarray, lanes: int) -> np.ndarray | None:
    """(at, masks), int64 (2, plane / L), for an image whose element j is x[sources[j]], or 0 where that is negative.

    None where a vector's elements are no run of x.
    """
    vectors = sources.reshape(-1, lanes)
    held = vectors >= 0
    at = np.where(held.any(1), np.where(held, vectors, np.iinfo(np.int64).max).min(1), 0)
    if not (vectors == at[:, None] + held.cumsum(1) - 1)[held].all():
        return None
    return np.stack([at, (held * (1 << np.arange(lanes, dtype=np.int64))).sum(1)])


@intrinsic
def expand(typingctx, x, start, x_plane, out, plane, channels, table):
    """The contract; ``table`` = (at, masks) is C-contiguous."""

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)
        source = pointer(context, builder, sig.args[0], args[0], args[1])
        target = pointer(context, builder, sig.args[3], args[3], index(0))
        at = pointer(context, builder, sig.args[6], args[6], index(0))
        count = builder.udiv(args[4], index(vectors.lanes))
        masks = builder.gep(at, [count])
        with cgutils.for_range(builder, args[5]) as channel:
            plane_from = builder.gep(source, [builder.mul(channel.index, args[2])])
            plane_to = builder.gep(target, [builder.mul(channel.index, args[4])])
            with cgutils.for_range(builder, count) as loop:
                where, mask = (builder.load(builder.gep(one, [loop.index])) for one in (at, masks))
                value = vectors.expand(plane_from, where, vectors.mask_of(mask))
                vectors.store(value, plane_to, builder.mul(loop.index, index(vectors.lanes)))
        return context.get_dummy_value()

    return types.void(x, start, x_plane, out, plane, channels, table), codegen
