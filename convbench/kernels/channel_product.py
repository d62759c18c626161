"""Products of a filter matrix with few pixels, lanes along the output channels: 1×1 convolution of small planes.

``brgemm`` on pixels as they lie and packed filters, NR output channels of one input channel side by side
(``packing``, NR a tile); the finished sums of a run of pixels are turned round on their way to the planes of y.
"""

from __future__ import annotations

import numpy as np

from convbench.kernels.gemm import VECTORS, brgemm
from convbench.kernels.jit import njit
from convbench.kernels.transpose import store_transposed

RUN = 112  # pixels whose sums are kept at a time, at most
DEPTH = 128  # channels summed at a time


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

    Tasks (n, g, panel of output channels, run of pixels), the last fastest. sizes: G, C, K, pixels, x_step, runs,
    lanes, y_step, plane; the last two say where pixel m of channel k lies in y: k·plane + m·y_step.
    sums: private scratch of ⌈pixels / runs⌉ · NR elements.
    """
    G, C, K, pixels, x_step, runs, lanes, y_step, plane = (
        sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7], sizes[8],
    )  # fmt: skip
    width = VECTORS * lanes
    panels = -(-K // width)
    for task in range(begin, end):
        rest, run = divmod(task, runs)
        image, panel = divmod(rest, panels)
        g = image % G
        k = panel * width
        first = pixels * run // runs
        count = pixels * (run + 1) // runs - first
        for c in range(0, C, DEPTH):
            depth, w_start = min(DEPTH, C - c), ((g * panels + panel) * C + c) * width
            brgemm(count, depth, 1, x, (image * C + c) * x_step + first, None, x_step, w, w_start, None, sums, 0, width,
                   c > 0, w_start + depth * width)  # fmt: skip
        _deliver(sums, width, lanes, count, y, (image * K + k) * plane + first * y_step, y_step, plane,
                 min(width, K - k), bias, g * K + k)  # fmt: skip
