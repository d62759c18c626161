"""Convolution of whole small images with output channels in the lanes: narrow rows waste none, whatever the stride.

A group's images are padded into a panel (``kernels/expansion.py``), their output rows are cut into segments
(``segment_plans.segments_of``), tiles of some of them × a vector of output channels over all terms leave their sums
pixel by pixel, and the pixels of a vector of channels are turned round on their way to the planes of y. Loops,
outermost first: images and groups; blocks of input channels; vectors of output channels; tiles of segments, so that
filters and pixels stay in L1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convbench.kernels.expansion import expand
from convbench.kernels.fetching import fetching
from convbench.kernels.jit import njit
from convbench.kernels.segment_plans import SegmentPlan
from convbench.kernels.segment_tiles import segment_tile
from convbench.kernels.simd import VECTOR_BYTES, viewed
from convbench.kernels.stencil import MULTIPLY, PAD
from convbench.kernels.threads import parallel
from convbench.kernels.ticks import CALL, mark
from convbench.kernels.transpose import store_transposed


@njit
def _deliver(sums, start, lanes, turned, ready, pixels, y, y_start, valid, bias, channel):
    """Sums of the ``ready`` first pixels, plus bias, to ``valid`` planes of y, square by square; ``turned`` are there.

    Gives how many are now. The last square of a plane is whole: some of its pixels are stored twice.
    """
    known, first = (valid, channel) if bias.size else (0, 0)
    while turned < ready and (ready - turned >= lanes or ready == pixels):
        m = max(0, min(turned, pixels - lanes))
        store_transposed(sums, start + m * lanes, lanes, min(lanes, pixels), y, y_start + m, pixels, valid, bias, first,
                         known)  # fmt: skip
        turned += lanes
    return turned


@njit
def multiply_segments(begin, end, ticks, x, sizes, offsets, segments, table, w, bias, y, work):
    """Tasks (n, g, part of the output channels), the last fastest; see the module's head.

    x and y flat; w as ``pack_weights`` makes it, a vector of output channels a tile; bias (K,) or empty; ``work`` is
    the thread's scratch: the panel, then pixels·block_k·L sums; ticks: see ``mark``.
    """
    mark(ticks, CALL)
    channels_in, channels, plane_in, plane, pixels, block_c, block_k, length, most, step = (
        sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7], sizes[8], sizes[9],
    )  # fmt: skip
    scratch = viewed(work, x)
    lanes = VECTOR_BYTES // x.itemsize
    groups, taps = len(w), len(offsets) // block_c
    filters = w.size // groups
    tiles_k = (channels + lanes - 1) // lanes
    parts = (tiles_k + block_k - 1) // block_k
    panel = scratch[: channels_in * plane]
    sums = scratch[panel.size :]
    starts, places = segments[0], segments[1]
    tiles = (starts.size + most - 1) // most
    group = channels_in * plane_in
    packed = -1
    for task in range(begin, end):
        image, part = divmod(task, parts)
        g = image % groups
        if image != packed:
            expand(x, image * group, plane_in, panel, plane, channels_in, table)
            packed = image
            mark(ticks, PAD)
        first_k, last_k = part * block_k, min(tiles_k, (part + 1) * block_k)
        ahead, pace = fetching(task, parts, group, channels_in * taps * tiles * (last_k - first_k), x.size)
        for c in range(0, channels_in, block_c):
            some = min(block_c, channels_in - c)
            for k in range(first_k, last_k):
                y_start = (image * channels + k * lanes) * pixels
                sums_start = (k - first_k) * pixels * lanes
                valid, channel = min(lanes, channels - k * lanes), g * channels + k * lanes
                first = turned = 0
                for t in range(tiles):  # equal shares of the segments
                    share = (starts.size - first + tiles - t - 1) // (tiles - t)
                    segment_tile(length, share, step, first, some * taps, panel, c * plane, offsets, starts, places, w,
                                 g * filters + (c * tiles_k + k * some) * taps * lanes, sums, sums_start, c > 0, x,
                                 ahead, pace, y, y_start, pixels)  # fmt: skip
                    first += share
                    ahead += some * taps * pace
                    if c + some == channels_in:
                        turned = _deliver(sums, sums_start, lanes, turned, places[first - 1] + length, pixels, y,
                                          y_start, valid, bias, channel)  # fmt: skip
        mark(ticks, MULTIPLY)


def convolve(
    plan: SegmentPlan, x: np.ndarray, packed: np.ndarray, bias: Any, y: np.ndarray, work: np.ndarray, ticks: Any
) -> None:
    """y = x convolved with the weights that ``strip_products.pack_weights`` packed, plus bias."""
    flat = y.reshape(-1)
    parallel(multiply_segments, plan.tasks, plan.threads, ticks, x.reshape(-1), plan.sizes, plan.offsets, plan.segments,
             plan.table, packed, flat[:0] if bias is None else bias, flat,
             private=work.reshape(plan.threads, -1))  # fmt: skip
