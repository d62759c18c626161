"""Products of a filter matrix with planes of pixels, lanes along the pixels: 1×1 convolution of NCHW as it lies.

Contract of one tile (``_tile``), HEIGHT channels × ``width`` vectors of L pixels::

    y[k·y_step + p] = start + Σ_{c < depth} w[c·height + k] · x[c·x_step + p]      k < rows, p < cols of the tile's
    start = bias[k] for the first channels of the sum (``begin``), y[k·y_step + p] for later ones

    rows, cols  any; cols > (width − 1)·L: only the last vector is masked
    x        as it lies (``keep``), and then panel[c·width·L + p] = x[c·x_step + p], 0 for p ≥ cols, is written too;
             or such a panel itself: x_step = width·L, every lane read
    w        depth · height packed weights, the channels of one c side by side (``packing``, HEIGHT channels a tile)

Nothing beyond rows and cols of x, bias and y is touched. The loop is ``gemm.products``. The first channels of every
tile of pixels read the tensor and leave the panel behind; all other channels find their pixels in the L1 cache.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from convbench.kernels.gemm import products
from convbench.kernels.jit import njit
from convbench.kernels.simd import VECTOR_BYTES, Vectors, index, pointer

HEIGHT = 8 if VECTOR_BYTES == 64 else 4  # 8·3 sums fill 32 registers, 4·3 fill 16
WIDTH = 3
DEPTH = 128  # channels summed at a time, at most: a tile's panel stays within the L1 cache
PANEL_BYTES = 192 << 10  # of the panels of a run of tiles, which stay in the L2 cache
STREAMS = 32  # channels of x read at a time: the hardware foresees so many rows
AHEAD = 12  # channels between those multiplied and those prefetched where x is read as it lies


def depth_block(channels: int, panel_bytes: int) -> int:
    """Channels summed at a time: equal parts of at most DEPTH whose panel of one tile fits into ``panel_bytes``."""
    most = max(1, min(DEPTH, panel_bytes // (WIDTH * VECTOR_BYTES)))
    return -(-channels // -(-channels // most))


@intrinsic(prefer_literal=True)
def _tile(
    typingctx, height, width, keep, depth, x, x_start, x_step, w, w_start, panel, panel_start, bias, bias_start, y,
    y_start, y_step, rows, cols, begin,
):  # fmt: skip
    """The contract above for literal height, width and keep."""
    signature = types.void(
        height, width, keep, depth, x, x_start, x_step, w, w_start, panel, panel_start, bias, bias_start, y, y_start,
        y_step, rows, cols, begin,
    )  # fmt: skip
    tall, wide, keeps = height.literal_value, width.literal_value, keep.literal_value

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)
        lanes = vectors.lanes
        depth_, x_step_, y_step_, rows_, cols_, begin_ = (args[i] for i in (3, 6, 15, 16, 17, 18))
        last = vectors.mask(index(0), builder.sub(cols_, index((wide - 1) * lanes)))
        masks = [None] * (wide - 1) + [last]
        step = x_step_ if keeps else index(wide * lanes)
        w_first, x_first, kept, y_first = (
            pointer(context, builder, sig.args[array], args[array], args[array + 1]) for array in (7, 4, 9, 13)
        )

        def pixels(_, pointers):
            x_row = pointers[1]
            row = [vectors.load(x_row, index(v * lanes), masks[v] if keeps else None) for v in range(wide)]
            if keeps:
                ahead = builder.gep(x_row, [builder.mul(step, index(AHEAD))])
                for v in range(wide):
                    vectors.store(row[v], pointers[2], index(v * lanes))
                    vectors.prefetch(builder.gep(ahead, [index(v * lanes)]))
            return row

        walks = [(w_first, index(tall)), (x_first, step), (kept, index(wide * lanes))]
        zeros = [ir.Constant(vectors.type, [0.0] * lanes)] * (tall * wide)
        _, sums = products(vectors, zeros, depth_, walks, pixels)

        bias_first = pointer(context, builder, sig.args[11], args[11], args[12])
        for k in range(tall):
            with builder.if_then(builder.icmp_signed("<", index(k), rows_)):
                y_row = builder.gep(y_first, [builder.mul(y_step_, index(k))])
                with builder.if_else(builder.trunc(begin_, ir.IntType(1))) as (first, later):
                    with first:
                        start = vectors.splat(builder.load(builder.gep(bias_first, [index(k)])))
                        for v in range(wide):
                            vectors.store(builder.fadd(sums[k * wide + v], start), y_row, index(v * lanes), masks[v])
                    with later:
                        for v in range(wide):
                            start = vectors.load(y_row, index(v * lanes), masks[v])
                            vectors.store(builder.fadd(sums[k * wide + v], start), y_row, index(v * lanes), masks[v])
        return context.get_dummy_value()

    return signature, codegen


@njit
def multiply_planes(begin, end, x, w, bias, y, sizes, panels):
    """y (N, G, K, pixels) = w · x (N, G, C, x_step) + bias; all flat; pixels > lanes: tiles have two vectors at least.

    Tasks (n, g, run of tiles, part of the channels), the last fastest. sizes: G, C, K, pixels, x_step, depth, runs,
    parts, lanes. panels: private scratch of ⌈tiles / runs⌉ · depth · WIDTH · lanes elements.
    HEIGHT rows of y at a time are written along a whole run, which the hardware foresees.
    """
    G, C, K, pixels, x_step, block, runs, parts, lanes = (
        sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7], sizes[8],
    )  # fmt: skip
    blocks = -(-K // HEIGHT)
    count = -(-pixels // lanes)
    tiles = -(-count // WIDTH)
    for task in range(begin, end):
        rest, part = divmod(task, parts)
        image, run = divmod(rest, runs)
        g = image % G
        t_first, t_end = tiles * run // runs, tiles * (run + 1) // runs
        k_first, k_end = blocks * part // parts * HEIGHT, min(K, blocks * (part + 1) // parts * HEIGHT)
        for c in range(0, C, block):
            depth = min(block, C - c)
            for first in range(0, depth, STREAMS):  # the first HEIGHT channels: x as it lies
                some = min(STREAMS, depth - first)
                for tile in range(t_first, t_end):
                    v = count * tile // tiles
                    width = count * (tile + 1) // tiles - v
                    panel = ((tile - t_first) * depth * WIDTH + first * width) * lanes
                    x_start = (image * C + c + first) * x_step + v * lanes
                    w_start = (g * C + c) * blocks * HEIGHT + k_first * depth + first * HEIGHT
                    y_start = (image * K + k_first) * pixels + v * lanes
                    if width == 3:
                        _tile(HEIGHT, 3, 1, some, x, x_start, x_step, w, w_start, panels, panel, bias, g * K + k_first,
                              y, y_start, pixels, k_end - k_first, pixels - v * lanes, c + first == 0)  # fmt: skip
                    else:
                        _tile(HEIGHT, 2, 1, some, x, x_start, x_step, w, w_start, panels, panel, bias, g * K + k_first,
                              y, y_start, pixels, k_end - k_first, pixels - v * lanes, c + first == 0)  # fmt: skip
            for k in range(k_first + HEIGHT, k_end, HEIGHT):  # the others: x from the panels
                w_start = (g * C + c) * blocks * HEIGHT + k * depth
                for tile in range(t_first, t_end):
                    v = count * tile // tiles
                    panel = (tile - t_first) * depth * WIDTH * lanes
                    y_start = (image * K + k) * pixels + v * lanes
                    if count * (tile + 1) // tiles - v == 3:
                        _tile(HEIGHT, 3, 0, depth, panels, panel, 0, w, w_start, panels, panel, bias, g * K + k, y,
                              y_start, pixels, k_end - k, pixels - v * lanes, c == 0)  # fmt: skip
                    else:
                        _tile(HEIGHT, 2, 0, depth, panels, panel, 0, w, w_start, panels, panel, bias, g * K + k, y,
                              y_start, pixels, k_end - k, pixels - v * lanes, c == 0)  # fmt: skip
