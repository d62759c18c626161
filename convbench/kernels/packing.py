"""Filters packed for register tiles: the output channels of a tile side by side, one run of them for every term.

Contract (written before the code)::

    packed[g][d₀][t][d][m] = w[g, first(t) + m, d₀ + d], 0 where first(t) + m ≥ K      0 ≤ m < M(t), d₀ + d < D

    w        (G, K, D): D terms (input channels × taps) of K output channels in G groups, as they lie
    t        tiles of output channels: first(t) = ``starts``[t], M(t) = starts[t+1] − starts[t]; the last start is ≥ K
    d₀       multiples of ``depth``, the terms that are summed at a time; the last block may be shorter
    packed   flat, starts[-1]·D elements a group

Rows of w are read a vector at a time, as many as the tile has channels, and interleaved in registers.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import intrinsic

from convbench.kernels.gemm import panel_width
from convbench.kernels.jit import njit
from convbench.kernels.layout import aligned_empty, round_up
from convbench.kernels.simd import VECTOR_BYTES, Vectors, index, pointer
from convbench.kernels.threads import parallel
from convbench.kernels.transpose import apart, interleaved

SHARED_BYTES = 1 << 20  # of filters: what is packed before another thread has begun is not worth sharing

RUN = 64  # terms, a multiple of every vector's lanes
READ_AHEAD, WRITE_AHEAD = 256, 2048  # bytes: lines fetched before they are read, and before they are overwritten


def tile_starts(channels: int, height: int) -> np.ndarray:
    """``starts`` of the contract for tiles that all have ``height`` channels."""
    return np.arange(0, channels + height, height, dtype=np.int64)[: -(-channels // height) + 1]


def pack(weight: np.ndarray, starts: np.ndarray, depth: int, threads: int = 1) -> np.ndarray:
    """The contract above for weight (G, K, D), C-contiguous; flat and aligned."""
    G, K, D = weight.shape
    packed = aligned_empty((G * int(starts[-1]) * D,), weight.dtype)
    threads = threads if weight.nbytes > SHARED_BYTES else 1
    parallel(pack_tiles, G * (len(starts) - 1), threads, weight.reshape(-1), K, D, starts, depth, packed)
    return packed


def pack_panels(matrix: np.ndarray, threads: int = 1) -> np.ndarray:
    """(…, K, D) -> (…, ⌈K/NR⌉, D, NR): ``brgemm``'s operand B, NR output channels a tile."""
    *groups, K, D = matrix.shape
    width = panel_width(matrix.dtype)
    weight = np.ascontiguousarray(matrix).reshape(-1, K, D)
    return pack(weight, tile_starts(K, width), D, threads).reshape(*groups, -1, D, width)


def pack_taps(weight: np.ndarray, order: np.ndarray, together: int = 1) -> np.ndarray:
    """(K, taps) -> flat (⌈K/t⌉, taps, t) of weight[:, order], t filters together, the last once more at the end."""
    packed = aligned_empty((round_up(len(weight), together) * order.size,), weight.dtype)
    _reorder(weight.reshape(-1), order, together, packed)
    return packed


@njit
def _reorder(w, order, together, packed):
    for first in range(0, packed.size, order.size * together):
        for t in range(together):
            start = min(first + t * order.size, w.size - order.size)
            for tap in range(order.size):
                packed[np.uintp(first + tap * together + t)] = w[np.uintp(start + order[tap])]


@njit
def pack_tiles(begin, end, w, K, D, starts, depth, packed):
    """The contract above. Tasks (g, t), the last fastest."""
    lanes = VECTOR_BYTES // w.itemsize
    tiles, height = starts.size - 1, starts[-1]
    for task in range(begin, end):
        g, t = divmod(task, tiles)
        first, M = starts[t], starts[t + 1] - starts[t]
        rows = min(M, K - first)
        for block in range(0, D, depth):
            some = min(depth, D - block)
            source = (g * K + first) * D + block
            target = (g * D + block) * height + first * some
            for run in range(0, some, RUN):  # all channels of a run of terms: their lines are written together
                for m in range(0, M, lanes):
                    for d in range(run, min(run + RUN, some), lanes):
                        if M == 8 and lanes > 8:
                            _interleave(8, w, source + d, D, rows, packed, target + d * M, M, M, some - d)
                        elif M == 4 and lanes > 4:
                            _interleave(4, w, source + d, D, rows, packed, target + d * M, M, M, some - d)
                        elif M == 2 and lanes > 2:
                            _interleave(2, w, source + d, D, rows, packed, target + d * M, M, M, some - d)
                        else:
                            _interleave(0, w, source + m * D + d, D, rows - m, packed, target + d * M + m, M, M - m,
                                        some - d)  # fmt: skip


@intrinsic(prefer_literal=True)
def _interleave(typingctx, height, w, at, step, rows, packed, start, pitch, width, columns):
    """packed[start + d·pitch + m] = w[at + m·step + d], 0 for m ≥ ``rows``      0 ≤ d < min(columns, L), m < width

    For a literal height of 2ⁿ < L that is pitch and width too; or 0, which stands for L, any pitch and width: the first
    L of it.
    """
    signature = types.void(height, w, at, step, rows, packed, start, pitch, width, columns)

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, w.dtype)
        lanes, size = vectors.lanes, w.dtype.bitwidth // 8
        M = height.literal_value or lanes
        step_, rows_, pitch_, width_, columns_ = (args[i] for i in (3, 4, 7, 8, 9))
        first = pointer(context, builder, sig.args[1], args[1], args[2])
        target = pointer(context, builder, sig.args[5], args[5], args[6])

        def least(bound, value):
            return builder.icmp_signed(">=", value, index(bound))

        whole = builder.and_(least(lanes, columns_), builder.and_(least(M, rows_), least(M, width_)))
        with builder.if_else(whole, likely=True) as (then, otherwise):
            with then:
                rows_of = apart(builder, first, step_, M)
                for row in rows_of:
                    vectors.prefetch(builder.gep(row, [index(READ_AHEAD // size)]))
                block = interleaved(vectors, [vectors.load(row, index(0)) for row in rows_of])
                to = apart(builder, target, index(lanes) if lanes > M else pitch_, M)
                for value, address in zip(block, to, strict=True):
                    vectors.prefetch(builder.gep(address, [index(WRITE_AHEAD // size)]), write=True)
                    vectors.store(value, address, index(0))
            with otherwise:
                block = []
                for m, row in enumerate(apart(builder, first, step_, M)):
                    some = builder.select(builder.icmp_signed("<", index(m), rows_), columns_, index(0))
                    block.append(vectors.load(row, index(0), vectors.mask(index(0), some)))
                to = apart(builder, target, index(lanes) if lanes > M else pitch_, M)
                for j, (value, address) in enumerate(zip(interleaved(vectors, block), to, strict=True)):
                    if lanes > M:
                        some = builder.sub(builder.mul(columns_, index(M)), index(j * lanes))
                    else:
                        some = builder.select(builder.icmp_signed("<", index(j), columns_), width_, index(0))
                    vectors.store(value, address, index(0), vectors.mask(index(0), some))
        return context.get_dummy_value()

    return signature, codegen
