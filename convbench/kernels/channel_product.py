"""Products of a filter matrix with few pixels, lanes along the output channels: 1×1 convolution of small planes.

Contract of one tile (``_tile``), ``height`` pixels × NR output channels (two vectors, ``gemm.panel_width``)::

    c[m·NR + n] = start + Σ_{k < depth} a[k·a_step + m] · w[k·NR + n]       m < height, n < NR
    start = 0 for the first channels of the sum (``begin``), c[m·NR + n] for later ones

    a    pixels as they lie, ``height`` of them side by side in every channel; all are read
    w    packed filters, NR output channels of one input channel side by side (:func:`pack_channels`)
    c    a tile of scratch, written whole

A plane of P pixels is cut into ⌈P / height⌉ tiles of one height, the last of which overlaps the one before it, so that
nothing beyond the plane is read; the finished tiles are turned round on their way to the planes of y.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from convbench.kernels.gemm import VECTOR_BYTES, VECTORS, panel_width
from convbench.kernels.jit import njit
from convbench.kernels.packing import pack, tile_starts
from convbench.kernels.simd import INDEX, Vectors, index, pointer
from convbench.kernels.transpose import store_transposed

HEIGHTS = (14, 12, 10, 8, 4) if VECTOR_BYTES == 64 else (6, 4)  # 14·2 sums fill 32 registers, 6·2 fill 16
RUN = 112  # pixels whose sums are kept at a time, at most
DEPTH = 128  # channels summed at a time


def tile_height(pixels: int) -> int:
    """The height that computes fewest pixels twice; the tallest of several."""
    return min(HEIGHTS, key=lambda height: (-(-pixels // height) * height, -height))


def pack_channels(weight: np.ndarray, threads: int = 1) -> np.ndarray:
    """(G, K, C) -> flat [G][⌈K / NR⌉][C][NR], zeros beyond K."""
    return pack(weight, tile_starts(weight.shape[1], panel_width(weight.dtype)), weight.shape[2], threads)


@intrinsic(prefer_literal=True)
def _tile(typingctx, height, depth, a, a_start, a_step, w, w_start, c, c_start, begin):
    """The contract above for a literal height."""
    signature = types.void(height, depth, a, a_start, a_step, w, w_start, c, c_start, begin)
    tall = height.literal_value

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, a.dtype)
        lanes = vectors.lanes
        tile = [(m, v) for m in range(tall) for v in range(VECTORS)]
        places = {(m, v): index((m * VECTORS + v) * lanes) for m, v in tile}
        a_first, w_first, c_first = (
            pointer(context, builder, sig.args[array], args[array], args[array + 1]) for array in (2, 5, 7)
        )

        entry, body, done = builder.block, builder.append_basic_block("depth"), builder.append_basic_block("store")
        builder.branch(body)
        builder.position_at_end(body)
        k = builder.phi(INDEX)
        k.add_incoming(index(0), entry)
        a_row, w_row = builder.phi(a_first.type), builder.phi(w_first.type)
        a_row.add_incoming(a_first, entry)
        w_row.add_incoming(w_first, entry)
        sums = {at: builder.phi(vectors.type) for at in tile}
        zero = ir.Constant(vectors.type, [0.0] * lanes)
        for phi in sums.values():
            phi.add_incoming(zero, entry)
        filters = [vectors.load(w_row, index(v * lanes)) for v in range(VECTORS)]
        updated = {}
        for m in range(tall):
            pixel = vectors.splat(builder.load(builder.gep(a_row, [index(m)])))
            for v in range(VECTORS):
                updated[m, v] = vectors.fma(pixel, filters[v], sums[m, v])
        k_next = builder.add(k, index(1))
        k.add_incoming(k_next, body)
        a_row.add_incoming(builder.gep(a_row, [args[4]]), body)
        w_row.add_incoming(builder.gep(w_row, [index(VECTORS * lanes)]), body)
        for at in tile:
            sums[at].add_incoming(updated[at], body)
        builder.cbranch(builder.icmp_signed("<", k_next, args[1]), body, done)

        builder.position_at_end(done)
        with builder.if_else(builder.trunc(args[9], ir.IntType(1))) as (first, later):
            with first:
                for at in tile:
                    vectors.store(updated[at], c_first, places[at])
            with later:
                for at in tile:
                    vectors.store(builder.fadd(updated[at], vectors.load(c_first, places[at])), c_first, places[at])
        return context.get_dummy_value()

    return signature, codegen


@njit
def _sum(height, depth, a, a_start, a_step, w, w_start, c, c_start, begin):
    """``_tile`` for any of HEIGHTS."""
    if VECTOR_BYTES < 64:
        if height == 6:
            _tile(6, depth, a, a_start, a_step, w, w_start, c, c_start, begin)
        else:
            _tile(4, depth, a, a_start, a_step, w, w_start, c, c_start, begin)
    elif height == 14:
        _tile(14, depth, a, a_start, a_step, w, w_start, c, c_start, begin)
    elif height == 12:
        _tile(12, depth, a, a_start, a_step, w, w_start, c, c_start, begin)
    elif height == 10:
        _tile(10, depth, a, a_start, a_step, w, w_start, c, c_start, begin)
    elif height == 8:
        _tile(8, depth, a, a_start, a_step, w, w_start, c, c_start, begin)
    else:
        _tile(4, depth, a, a_start, a_step, w, w_start, c, c_start, begin)


@njit
def _deliver(c, c_start, width, lanes, pixels, y, y_start, y_step, plane, rows, bias, bias_start):
    """y[y_start + n·plane + m·y_step] = c[c_start + m·width + n] + bias[bias_start + n], m < pixels, n < rows ≤ width.

    One of plane and y_step is 1.
    """
    if y_step == 1:
        for n in range(0, rows, lanes):
            some = min(lanes, rows - n)
            for m in range(0, pixels, lanes):
                store_transposed(c, c_start + m * width + n, width, min(lanes, pixels - m), y, y_start + n * plane + m,
                                 plane, some, bias, bias_start + n, some)  # fmt: skip
    else:
        for m in range(pixels):
            target, source, first = np.uintp(y_start + m * y_step), np.uintp(c_start + m * width), np.uintp(bias_start)
            for n in range(np.uintp(rows)):
                y[target + n] = c[source + n] + bias[first + n]


@njit
def multiply_channels(begin, end, x, w, bias, y, sizes, sums):
    """y (N, G, K, pixels) = w · x (N, G, C, x_step) + bias; all flat.

    Tasks (n, g, panel of output channels, run of pixels), the last fastest. sizes: G, C, K, pixels, x_step, height,
    runs, lanes, y_step, plane; the last two say where pixel m of channel k lies in y: k·plane + m·y_step.
    sums: private scratch of ⌈tiles / runs⌉ · height · NR elements.
    """
    G, C, K, pixels, x_step, height, runs, lanes, y_step, plane = (
        sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7], sizes[8], sizes[9],
    )  # fmt: skip
    width = VECTORS * lanes
    panels = -(-K // width)
    tiles = -(-pixels // height)
    last_start = max(pixels - height, 0)
    for task in range(begin, end):
        rest, run = divmod(task, runs)
        image, panel = divmod(rest, panels)
        g = image % G
        k = panel * width
        first, last = tiles * run // runs, tiles * (run + 1) // runs
        for c in range(0, C, DEPTH):
            for tile in range(first, last):
                p = min(tile * height, last_start)
                _sum(height, min(DEPTH, C - c), x, (image * C + c) * x_step + p, x_step, w,
                     ((g * panels + panel) * C + c) * width, sums, (tile - first) * height * width, c == 0)  # fmt: skip
        for tile in range(first, last):
            p = min(tile * height, last_start)
            y_start = (image * K + k) * plane + p * y_step
            _deliver(sums, (tile - first) * height * width, width, lanes, min(height, pixels - p), y, y_start, y_step,
                     plane, min(width, K - k), bias, g * K + k)  # fmt: skip
