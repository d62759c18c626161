"""Convolution strip by strip: pack the strip's pixels, then tiles of pixels × output channels over all its terms.

Loops, outermost first: strips; blocks of ``block_k`` output channels; blocks of ``block_c`` input channels, whose sums
rest in scratch between blocks; tiles of pixels; tiles of channels. The tile's pixels stay in L1 for all channels of the
block, the block's filters in L2 for all pixels of the strip. The last two change places where sums are short and
little but y is large: what is written then lies in few planes at a time.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from convbench.kernels.expansion import expand
from convbench.kernels.fetching import fetching_runs
from convbench.kernels.jit import njit
from convbench.kernels.packing import pack, tile_starts
from convbench.kernels.pixel_tiles import tile
from convbench.kernels.segment_plans import SegmentPlan
from convbench.kernels.simd import VECTOR_BYTES, viewed
from convbench.kernels.stencil import MULTIPLY, PAD
from convbench.kernels.strip_lines import strip_lines
from convbench.kernels.strip_plans import SLACK, StripPlan
from convbench.kernels.strips import pack_strip, rows_read, unpacked
from convbench.kernels.threads import parallel
from convbench.kernels.ticks import CALL, mark


def pack_weights(plan: StripPlan | SegmentPlan, weight: np.ndarray) -> np.ndarray:
    """(K, C/G, …taps) -> (G, C/G · taps · tiles · M), in the order in which ``multiply_strips`` reads it.

    Of a group: blocks of ``block_c`` input channels; of a block: tiles of M output channels, the last padded with
    zeros; of a tile: M weights beside each other for every term. ``multiply_segments`` reads the same.
    """
    by_group = weight.reshape(plan.spec.groups, plan.spec.K // plan.spec.groups, -1)
    starts = tile_starts(by_group.shape[1], plan.height)
    return pack(by_group, starts, plan.block_c * prod(plan.spec.filter), plan.threads).reshape(plan.spec.groups, -1)


@njit
def divided(vectors, widest, firsts):
    """Tiles of so many vectors: the first vector of each, and where the last one ends; gives their number."""
    tiles = v = 0
    while v < vectors:
        firsts[tiles] = v
        left = vectors - v
        v += 2 if left == 4 and widest == 3 else widest if left >= widest else 2 if left >= 2 else 1
        tiles += 1
    firsts[tiles] = vectors
    return tiles


@njit
def multiply_strips(begin, end, ticks, x, sizes, offsets, table, w, bias, y, work):
    """Tasks (n, g, strip, part of the output channels), the last fastest; see the module's head.

    x and y flat; w as ``pack_weights`` makes it; bias (K,) or empty; ``work`` is the thread's scratch; ticks: see
    ``mark``.
    """
    mark(ticks, CALL)
    strip = unpacked(sizes)
    M, block_c, block_k, widest = sizes[23], sizes[24], sizes[25], sizes[26]
    by_plane, channels, floats, most_lines = sizes[27], sizes[28], sizes[29], sizes[30]
    scratch, integers = viewed(work[: floats * x.itemsize], x), viewed(work[floats * x.itemsize :], sizes)
    groups, taps = len(w), len(offsets) // block_c
    O, P, Q = strip.output
    tiles_k = (channels + M - 1) // M
    filters = w.size // groups
    lanes = VECTOR_BYTES // x.itemsize
    strips_p, strips_q = (P + strip.rows - 1) // strip.rows, (Q + strip.cols - 1) // strip.cols
    parts = (tiles_k + block_k - 1) // block_k
    panel = scratch[: strip.channels * strip.plane + SLACK * lanes]
    initial = scratch[panel.size :]
    lines, masks = integers[:most_lines], integers[most_lines : 2 * most_lines]
    places, firsts = integers[2 * most_lines : 3 * most_lines], integers[3 * most_lines : 4 * most_lines]
    starts = integers[4 * most_lines :]
    group = strip.channels * strip.image[0] * strip.image[1] * strip.image[2]
    tiles = 0
    packed, laid = -1, (0, 0)  # the panel's task; the rows and columns that lines and tiles are of
    for task in range(begin, end):
        where, part = divmod(task, parts)
        rest, sq = divmod(where, strips_q)
        rest, sp = divmod(rest, strips_p)
        rest, o = divmod(rest, O)
        n, g = divmod(rest, groups)
        p, q = sp * strip.rows, sq * strip.cols
        rows, cols = min(strip.rows, P - p), min(strip.cols, Q - q)
        if where != packed:
            if table.size:
                expand(x, (n * groups + g) * group, group // strip.channels, panel, strip.plane, strip.channels, table)
                panel[strip.channels * strip.plane :] = 0  # as there, what a whole vector may read
            else:
                pack_strip(x, (n * groups + g) * strip.channels, o, p, q, rows, strip, panel)
            if (rows, cols) != laid:
                vectors = strip_lines(rows, cols, strip, Q, lanes, starts, lines, masks, places)
                tiles, laid = divided(vectors, widest, firsts), (rows, cols)
            packed = where
            mark(ticks, PAD)
        first_k, last_k = part * block_k, min(tiles_k, (part + 1) * block_k)
        for k in range(first_k * M, last_k * M):
            known = k < channels and bias.size > 0
            initial[k - first_k * M] = bias[g * channels + k] if known else 0
        sums = block_k * M
        y_first = ((((n * groups + g) * channels) * O + o) * P + p) * Q + q
        across = last_k - first_k
        blocks = (strip.channels + block_c - 1) // block_c
        following, run = rows_read(strip, where + 1)
        fetches = part + 1 == parts and following < x.size
        ahead, piece, each, jump = fetching_runs(following, run * fetches, group // strip.channels, strip.channels,
                                                 tiles * across * blocks)  # fmt: skip
        left = each
        for c in range(0, strip.channels, block_c):
            some = min(block_c, strip.channels - c)
            pace = -(-piece // (some * taps))
            j = k = 0
            for _ in range(tiles * across):
                v, kt = firsts[j], first_k + k
                width = firsts[j + 1] - v
                tile(M, width, some * taps, panel, c * strip.plane, starts, offsets, w,
                     g * filters + (c * tiles_k + kt * some) * taps * M, initial, k * M, initial,
                     sums + (v * block_k + k * width) * M * lanes, c > 0, c + some == strip.channels, y,
                     y_first + kt * M * O * P * Q, O * P * Q, min(M, channels - kt * M), v, lines, masks, places,
                     x, ahead, pace)  # fmt: skip
                left -= 1
                ahead += piece if left else jump
                left = left if left else each
                if by_plane:
                    j = j + 1 if j + 1 < tiles else 0
                    k += j == 0
                else:
                    k = k + 1 if k + 1 < across else 0
                    j += k == 0
        mark(ticks, MULTIPLY)


def convolve(
    plan: StripPlan, x: np.ndarray, packed: np.ndarray, bias: Any, y: np.ndarray, work: np.ndarray, ticks: Any
) -> None:
    """y = x convolved with the ``packed`` weights, plus bias."""
    flat = y.reshape(-1)
    parallel(multiply_strips, plan.tasks, plan.threads, ticks, x.reshape(-1), plan.sizes, plan.offsets, plan.table,
             packed, flat[:0] if bias is None else bias, flat, private=work.reshape(plan.threads, -1))  # fmt: skip
