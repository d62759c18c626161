"""Stencils: rows of output as sums of shifted rows of input, lanes along the row.

``stencil`` is the one building block (contract written before the code; the body may change, this may not)::

    y[p, q] (+)= bias + Σ_t w[t] · x[p, q + offset(t)]        0 ≤ p < rows, 0 ≤ q < cols, t over taps

    x[p, j] = x[x_start + p·x_step + j]      y[p, q] = y[y_start + p·y_step + q]

    x, w, y     flat arrays of one dtype, float32 or float64; x and y do not overlap
    taps        given as chains: m taps at offset, offset + x_step, …, offset + (m−1)·x_step, so that a vector of x
                serves m output rows from a register (``chains`` finds them)
    offsets     int64, one a chain: first the chains of 3, then of 2, then single taps; ``counts`` of each
    w           the weights from w_start on, in the order of the chains
    accumulate  False: y is written without being read;  True: the sum is added to y
    Exactly rows × cols elements of y are touched. Of x, whole tiles of ROWS rows are read, and less than a vector
    beyond cols in each: x must extend that far, and what lies there changes nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convbench.kernels.jit import njit
from convbench.kernels.simd import INDEX, VECTOR_BYTES, Vectors, index, pointer

PAD, MULTIPLY = 1, 2  # phases of a block: its pixels copied with their padding; the sums
ROWS = 7  # divides 112, 56, 28, 14 and 7; 7·2 accumulators, 3 weights and a pixel vector fit 32 registers
WIDTH = 2 if VECTOR_BYTES == 64 else 1  # vectors a tile; 7·1, 3 and 1 fit the 16 registers of narrower hosts


def lanes_of(dtype: np.dtype) -> int:
    """Elements of one vector."""
    return VECTOR_BYTES // dtype.itemsize


class Chains(NamedTuple):
    """Taps in the order ``stencil`` takes them: weights[…, order], offsets (int64) and counts of its contract."""

    order: np.ndarray
    offsets: np.ndarray
    counts: tuple[int, int, int]


def chains(offsets: list[int], step: int) -> Chains:
    """Chain taps that lie ``step`` apart: lengths 3 and 2, single taps only where nothing lies a step away.

    Every tap is in one chain, also where several have the same offset: on narrow images, beyond the end of a row.
    """
    layers: list[dict[int, int]] = []  # offset -> tap, each offset once
    for tap, offset in enumerate(offsets):
        layer = next((layer for layer in layers if offset not in layer), None)
        if layer is None:
            layers.append(layer := {})
        layer[offset] = tap
    found: dict[int, list[tuple[int, list[int]]]] = {3: [], 2: [], 1: []}  # length -> (first offset, taps)
    for tap_at in layers:
        for first in tap_at:
            if first - step in tap_at:
                continue
            run = [first]
            while run[-1] + step in tap_at:
                run.append(run[-1] + step)
            while run:
                length = len(run) if len(run) <= 3 else 2 if len(run) == 4 else 3
                found[length].append((run[0], [tap_at[offset] for offset in run[:length]]))
                run = run[length:]
    ordered = [chain for length in (3, 2, 1) for chain in found[length]]
    return Chains(
        np.array([tap for _, taps in ordered for tap in taps], np.int64),
        np.array([first for first, _ in ordered], np.int64),
        (len(found[3]), len(found[2]), len(found[1])),
    )


@intrinsic(prefer_literal=True)
def tile(
    typingctx, high, width, accumulate, x, x_start, x_step, w, w_start, offsets, counts, bias, y, y_start, y_step, rows,
    cols,
):  # fmt: skip
    """The contract of ``stencil`` for one tile: rows ≤ ``high``, cols ≤ ``width`` vectors; both are literals."""
    tile = [(p, v) for p in range(high.literal_value) for v in range(width.literal_value)]
    signature = types.void(
        high, width, accumulate, x, x_start, x_step, w, w_start, offsets, counts, bias, y, y_start, y_step, rows, cols,
    )  # fmt: skip

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)
        x_first = pointer(context, builder, sig.args[3], args[3], args[4])
        x_step_, y_step_, rows_, cols_ = args[5], args[13], args[14], args[15]
        weight = pointer(context, builder, sig.args[6], args[6], args[7])
        offset = pointer(context, builder, sig.args[8], args[8], index(0))
        sums = dict.fromkeys(tile, vectors.splat(args[10]))

        def add_chains(length, count, offset, weight, sums):
            """A loop over ``count`` chains; gives the next chains' pointers and the sums."""
            entry = builder.block
            head, body, done = (builder.append_basic_block(f"chain{length}.{part}") for part in ("if", "add", "end"))
            builder.branch(head)
            builder.position_at_end(head)
            i = builder.phi(INDEX)
            i.add_incoming(index(0), entry)
            running = {at: builder.phi(vectors.type) for at in tile}
            for at in tile:
                running[at].add_incoming(sums[at], entry)
            builder.cbranch(builder.icmp_signed("<", i, count), body, done)

            builder.position_at_end(body)
            taps = builder.gep(weight, [builder.mul(i, index(length))])
            weights = [vectors.splat(builder.load(builder.gep(taps, [index(m)]))) for m in range(length)]
            row = builder.gep(x_first, [builder.load(builder.gep(offset, [i]))])
            updated = dict(running)
            for j in range(high.literal_value + length - 1):
                for v in range(width.literal_value):
                    pixels = vectors.load(row, index(v * vectors.lanes))
                    for m in range(length):
                        if (j - m, v) in updated:
                            updated[j - m, v] = vectors.fma(weights[m], pixels, updated[j - m, v])
                row = builder.gep(row, [x_step_])
            i.add_incoming(builder.add(i, index(1)), body)
            for at in tile:
                running[at].add_incoming(updated[at], body)
            builder.branch(head)

            builder.position_at_end(done)
            return (
                builder.gep(offset, [count]),
                builder.gep(weight, [builder.mul(count, index(length))]),
                running,
            )

        for length, count in zip((3, 2, 1), cgutils.unpack_tuple(builder, args[9]), strict=True):
            offset, weight, sums = add_chains(length, count, offset, weight, sums)

        y_first = pointer(context, builder, sig.args[11], args[11], args[12])
        for p in range(high.literal_value):
            with builder.if_then(builder.icmp_signed("<", index(p), rows_)):
                row = builder.gep(y_first, [builder.mul(y_step_, index(p))])
                for v in range(width.literal_value):
                    total, at = sums[p, v], index(v * vectors.lanes)
                    mask = vectors.inside(at, cols_)
                    if accumulate.literal_value:
                        total = builder.fadd(total, vectors.load(row, at, mask))
                    vectors.store(total, row, at, mask)
        return context.get_dummy_value()

    return signature, codegen


@njit
def stencil(x, x_start, x_step, w, w_start, offsets, counts, bias, y, y_start, y_step, rows, cols, last, lanes):
    """The contract above, y written; ``lanes`` elements a vector."""
    whole = rows if last == cols else rows - 1
    p = 0
    while p < rows:
        count, end = (min(ROWS, whole - p), cols) if p < whole else (1, last)
        q = 0
        while q < end:
            x_tile = x_start + p * x_step + q
            y_tile = y_start + p * y_step + q
            if WIDTH > 1 and end - q > lanes:
                tile(ROWS, WIDTH, 0, x, x_tile, x_step, w, w_start, offsets, counts, bias, y, y_tile, y_step, count,
                     end - q)  # fmt: skip
                q += WIDTH * lanes
            else:
                tile(ROWS, 1, 0, x, x_tile, x_step, w, w_start, offsets, counts, bias, y, y_tile, y_step, count,
                     end - q)  # fmt: skip
                q += lanes
        p += count


@njit
def stencil_add(x, x_start, x_step, w, w_start, offsets, counts, y, y_start, y_step, rows, cols, lanes):
    """The contract above, added to y, without bias; every row has ``cols`` columns."""
    p = 0
    while p < rows:
        q = 0
        while q < cols:
            x_tile = x_start + p * x_step + q
            y_tile = y_start + p * y_step + q
            zero = y.dtype.type(0)
            if WIDTH > 1 and cols - q > lanes:
                tile(ROWS, WIDTH, 1, x, x_tile, x_step, w, w_start, offsets, counts, zero, y, y_tile, y_step,
                     rows - p, cols - q)  # fmt: skip
                q += WIDTH * lanes
            else:
                tile(ROWS, 1, 1, x, x_tile, x_step, w, w_start, offsets, counts, zero, y, y_tile, y_step, rows - p,
                     cols - q)  # fmt: skip
                q += lanes
        p += ROWS
