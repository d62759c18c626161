"""Products of a filter matrix with few pixels, lanes along the output channels: 1×1 convolution of small planes.

``brgemm`` on pixels as they lie and packed filters, NR output channels of one input channel side by side
(``packing``, NR a tile); the finished sums of a run of pixels are turned round on their way to the planes of y.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import intrinsic

from convbench.kernels.gemm import VECTORS, brgemm
from convbench.kernels.jit import njit
from convbench.kernels.simd import VECTOR_BYTES, Vectors, pointer, viewed
from convbench.kernels.transpose import store_transposed

RUN = 112  # pixels whose sums are kept at a time, at most
DEPTH = 128  # channels summed at a time


@intrinsic
def _fetch_line(typingctx, y, at):
    """Ask for y[at] in the L2 cache; any ``at`` will do."""
    signature = types.void(y, at)

    def codegen(context, builder, sig, args):
        Vectors(context, builder, y.dtype).prefetch(pointer(context, builder, y, *args), level=2)
        return context.get_dummy_value()

    return signature, codegen


@njit
def _fetch(y, start, plane, rows, count):
    """Ask for y[start + n·plane + m], n < rows, m < count ≤ plane."""
    if count == plane:  # which lie one after another
        rows, count = min(rows, 1), rows * plane
    for n in range(rows):
        for m in range(0, count, VECTOR_BYTES // y.itemsize):
            _fetch_line(y, start + n * plane + m)


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
def multiply_channels(begin, end, x, w, bias, y, sizes, work):
    """y (N, G, K, pixels) = w · x (N, G, C, x_step) + bias; all flat.

    Tasks (set of images, g, panel of output channels, image, run of pixels), the last fastest: the filters of a panel
    meet all images of a set, whose pixels stay in the L2 cache. sizes: G, C, K, pixels, x_step, runs, lanes, y_step,
    plane, images of a set, whether y is far: lines of its planes are fetched while the products are computed. y_step
    and plane say where pixel m of channel k lies in y: k·plane + m·y_step.
    work: bytes of private scratch, for ⌈pixels / runs⌉ · NR sums.
    """
    G, C, K, pixels, x_step, runs, lanes, y_step, plane, together, far = (
        sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7], sizes[8], sizes[9], sizes[10],
    )  # fmt: skip
    width, sums = VECTORS * lanes, viewed(work, x)
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
            if far:
                some = rows * c // C
                _fetch(y, y_start + (k + some) * plane + first, plane, rows * (c + depth) // C - some, count)
            brgemm(count, depth, 1, x, (image * C + c) * x_step + first, None, x_step, w, w_start, None, sums, 0, width,
                   c > 0, w_start + depth * width)  # fmt: skip
        _deliver(sums, width, lanes, count, y, y_start + k * plane + first * y_step, y_step, plane, rows, bias,
                 g * K + k)  # fmt: skip
