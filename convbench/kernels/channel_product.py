"""Products of a filter matrix with few pixels, lanes along the output channels: 1×1 convolution of small planes.

``brgemm`` on pixels as they lie and packed filters, NR output channels of one input channel side by side
(``packing``, NR a tile); the finished sums of a run of pixels are turned round on their way to the planes of y, whose
lines are fetched while the products are computed.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import intrinsic

from convbench.kernels.gemm import VECTORS, brgemm
from convbench.kernels.jit import njit
from convbench.kernels.simd import Vectors, index, pointer, repeat
from convbench.kernels.transpose import store_transposed

RUN = 112  # pixels whose sums are kept at a time, at most
DEPTH = 128  # channels summed at a time


@intrinsic
def _fetch(typingctx, y, start, count):
    """Ask for y[start + i], i < count, ``count`` ≥ 1, in the L2 cache."""
    signature = types.void(y, start, count)

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, y.dtype)

        def ask(_, pointers):
            vectors.prefetch(pointers[0], level=2)
            return [builder.gep(pointers[0], [index(vectors.lanes)])]

        lines = builder.sdiv(builder.add(args[2], index(vectors.lanes - 1)), index(vectors.lanes))
        repeat(builder, lines, [pointer(context, builder, y, args[0], args[1])], ask)
        return context.get_dummy_value()

    return signature, codegen


@njit
def _deliver(c, width, lanes, pixels, y, y_start, y_step, plane, rows, bias, bias_start):
    """y[y_start + n·plane + m·y_step] = c[m·width + n] + bias[bias_start + n], m < pixels, n < rows ≤ width.

    One of plane and y_step is 1.
    """
    if y_step == 1:
        for n in range(0, rows, lanes):
            some = min(lanes, rows - n)
            for m in range(0, pixels, lanes):
                store_transposed(c, m * width + n, width, min(lanes, pixels - m), y, y_start + n * plane + m,
                                 plane, some, bias, bias_start + n, some)  # fmt: skip
    else:
        for m in range(pixels):
            target, source, first = np.uintp(y_start + m * y_step), np.uintp(m * width), np.uintp(bias_start)
            for n in range(np.uintp(rows)):
                y[target + n] = c[source + n] + bias[first + n]


@njit
def multiply_channels(begin, end, x, w, bias, y, sizes, sums):
    """y (N, G, K, pixels) = w · x (N, G, C, x_step) + bias; all flat.

    Tasks (set of images, g, panel of output channels, image, run of pixels), the last fastest: the filters of a panel
    meet all images of a set, whose pixels stay in the L2 cache. sizes: G, C, K, pixels, x_step, runs, lanes, y_step,
    plane, images of a set; y_step and plane say where pixel m of channel k lies in y: k·plane + m·y_step.
    sums: private scratch of ⌈pixels / runs⌉ · NR elements.
    """
    G, C, K, pixels, x_step, runs, lanes, y_step, plane, together = (
        sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7], sizes[8], sizes[9],
    )  # fmt: skip
    width = VECTORS * lanes
    panels = -(-K // width)
    for task in range(begin, end):
        rest, run = divmod(task, runs)
        rest, member = divmod(rest, together)
        rest, panel = divmod(rest, panels)
        chosen, g = divmod(rest, G)
        image = (chosen * together + member) * G + g
        k, y_start = panel * width, image * K * plane
        rows = min(width, K - k)
        first = pixels * run // runs
        count = pixels * (run + 1) // runs - first
        for c in range(0, C, DEPTH):
            depth, w_start = min(DEPTH, C - c), ((g * panels + panel) * C + c) * width
            if y_step == 1:
                for n in range(rows * c // C, rows * (c + depth) // C):
                    _fetch(y, y_start + (k + n) * plane + first, count)
            brgemm(count, depth, 1, x, (image * C + c) * x_step + first, None, x_step, w, w_start, None, sums, 0, width,
                   c > 0, w_start + depth * width)  # fmt: skip
        _deliver(sums, width, lanes, count, y, y_start + k * plane + first * y_step, y_step, plane, rows, bias,
                 g * K + k)  # fmt: skip
