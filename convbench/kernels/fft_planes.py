"""FFT tiles with pixels in the lanes: few channels, large tiles, long 1-D filters.

A pair of tiles (``overlap_save``) is one complex tile of rows × cols pixels, stored as two planes with L elements
between rows, so that column strides are no power of two. Columns are transformed in strips of L; then each group of L
rows is transposed into blocks [re | im], transformed along the row, multiplied by the filters' spectra, transformed
back and transposed again, all inside L1. A thread takes a pair of tiles through all phases before the next one, so
that they stay in its cache; where there are too few pairs for the threads, these share each phase of a block of them.

A tile that is one line of rows·cols pixels is transformed by the same two passes with a turn by
e^{−2πi·j·k/(rows·cols)} between them (Bailey, "FFTs in External or Hierarchical Memory", 1990, the four-step FFT).

    t[unit, c | k, re | im, row, pitch]   tiles of one pair and group; outputs replace inputs
    w[g, row group, j, k, c, re | im]     the filters' spectra, as the product reads them
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from convbench.kernels.fft import copy_block, lanes, leaf, twiddles
from convbench.kernels.fft_passes import forward_columns, forward_rows, inverse_columns, inverse_rows, turns
from convbench.kernels.jit import njit
from convbench.kernels.lattice import read_rows, write_rows
from convbench.kernels.layout import Part, aligned_empty
from convbench.kernels.overlap_save import Tables, Tiling
from convbench.kernels.simd import VECTOR_BYTES
from convbench.kernels.spectra import multiply_leaves, multiply_spectra
from convbench.kernels.threads import parallel
from convbench.kernels.ticks import CALL, mark

TRANSFORM, MULTIPLY, INVERT = 1, 2, 3  # phases of a unit
ENOUGH = 8  # units a thread: one more or less of them is then no matter


@njit
def forward_filters(begin, end, weight, groups, rows, cols, line, w, w_rows, w_cols, twist, scratch):
    """Tasks (k, c): fill w from weight (K, C/G, R, S). scratch (private): (one tile, blocks of one row group)."""
    t, z = scratch
    K, channels, R, S = weight.shape
    width = VECTOR_BYTES // t.itemsize
    pair = 2 * width
    pitch = cols + width
    plane = rows * pitch
    per_group = K // groups
    scale, minus = t.dtype.type(1.0 / (rows * cols)), t.dtype.type(-1)
    first, one = np.int64(0), np.int64(1)  # not as literals, for which Numba would compile all passes once more
    for task in range(begin, end):
        k, c = divmod(task, channels)
        g, row = divmod(k, per_group)
        t[:] = 0
        for i in range(R):
            for j in range(S):
                t[(j // cols if line else i) * pitch + j % cols] = weight[k, c, i, j] * scale
        forward_columns(t, first, plane, pitch, rows, -(-min(S, cols) // width), w_rows)
        for group in range(rows // width):
            forward_rows(t, first, first, plane, pitch, group, z, one, cols, w_cols, twist, one,
                         (t, first, plane, pitch))  # fmt: skip
            for j in range(cols):
                to = ((((g * (rows // width) + group) * cols + j) * per_group + row) * channels + c) * pair
                copy_block(z, j * pair, j * pair + width, minus, w, to, to + width)


@njit
def forward_tiles(
    begin, end, x, H, W, down, along, step, reads, channels, first_unit, G, depth, rows, cols, t, w_rows
):  # fmt: skip
    """Tasks (unit, c): read the pair of tiles from x (flat) and transform its columns. unit = pair·G + g.

    reads, channels: ``overlap_save.Tables``; the next row of a tile lies ``down`` rows and ``along`` columns further,
    the next column ``step`` columns. depth: tiles of one unit in t.
    """
    width = VECTOR_BYTES // t.itemsize
    pitch = cols + width
    plane = rows * pitch
    per_group = len(channels) // G
    for task in range(begin, end):
        unit, c = divmod(task, per_group)
        pair, g = divmod(first_unit + unit, G)
        at = (unit * depth + c) * 2 * plane
        dense = g * per_group + c
        for part in range(2):
            tile = min(2 * pair + part, len(reads) - 1)
            high = H if 2 * pair + part < len(reads) else 0  # of an image that is not there
            read_rows(x, reads[tile, 0] + channels[dense, 0], reads[tile, 1] + channels[dense, 1],
                      reads[tile, 2] + channels[dense, 2], down, along, step, (high, W), t, at + part * plane, pitch,
                      rows, cols)  # fmt: skip
        forward_columns(t, at, plane, pitch, rows, cols // width, w_rows)


@njit
def multiply_tiles(
    begin, end, first_unit, G, channels, outputs, rows, cols, t, w, w_cols, twist, soon, wanted, scratch
):  # fmt: skip
    """Tasks (unit, row group): rows forward, the product over channels, rows back. scratch (private): (C/G | K/G).

    soon, wanted: what the rows forward and the rows back ask for (``fft_passes``).
    """
    z, products = scratch
    width = VECTOR_BYTES // t.itemsize
    pair = 2 * width
    pitch = cols + width
    plane = rows * pitch
    depth = max(channels, outputs)
    points = leaf(cols) if depth == 1 else 1
    groups = rows // width
    for task in range(begin, end):
        unit, group = divmod(task, groups)
        at = unit * depth * 2 * plane
        g = (first_unit + unit) % G
        filters = (g * groups + group) * cols * outputs * channels * pair
        forward_rows(t, at, 2 * plane, plane, pitch, group, z, channels, cols, w_cols, twist, points, soon)
        if depth > 1:
            multiply_spectra(cols, z, 0, channels, w, filters, products, 0, outputs)
        else:
            multiply_leaves(z, 0, width, cols, pair, w, filters)
        sums = products if depth > 1 else z
        inverse_rows(t, at, 2 * plane, plane, pitch, group, sums, outputs, cols, w_cols, twist, points, wanted)


@njit
def inverse_tiles(
    begin, end, writes, first_unit, G, outputs, depth, rows, cols, wanted, t, w_rows, line, bias, y, channel, down, step
):  # fmt: skip
    """Tasks (unit, k): transform the first ``wanted`` columns back and write y (flat), plus bias (K,) or empty.

    writes: ``overlap_save.Tables``. channel, down and step are the elements of y from one channel, row and column of a
    tile to the next; the last row of a line may be a part of one.
    """
    width = VECTOR_BYTES // t.itemsize
    pitch = cols + width
    plane = rows * pitch
    for task in range(begin, end):
        unit, row = divmod(task, outputs)
        pair, g = divmod(first_unit + unit, G)
        k = g * outputs + row
        at = (unit * depth + row) * 2 * plane
        add = bias[k] if bias.size else y.dtype.type(0)
        inverse_columns(t, at, plane, pitch, rows, -(-wanted // width), w_rows)
        for part in range(2):
            tile, source = 2 * pair + part, at + part * plane
            if tile < len(writes):
                start, high, wide = writes[tile, 0] + k * channel, writes[tile, 1], writes[tile, 2]
                if line:
                    high, wide = wide // cols, wide % cols
                    write_rows(t, source, pitch, high, cols, y, start, down, step, add)
                    source, start, high = source + high * pitch, start + high * down, 1
                write_rows(t, source, pitch, high, wide, y, start, down, step, add)


@njit
def first_pixels(unit, G, reads, channels, W):
    """Where in x (flat) both tiles of a unit begin, in the first channel of the unit's group."""
    pair, g = divmod(unit, G)
    of = channels[g * (len(channels) // G)]
    first, second = reads[2 * pair], reads[min(2 * pair + 1, len(reads) - 1)]
    at = of[0] + of[1] * W + of[2]
    return at + first[0] + first[1] * W + first[2], at + second[0] + second[1] * W + second[2]


@njit
def first_outputs(unit, G, writes, group):
    """Where in y (flat) both tiles of a unit begin; ``group`` elements from one group's outputs to the next's."""
    pair, g = divmod(unit, G)
    return writes[2 * pair, 0] + g * group, writes[min(2 * pair + 1, len(writes) - 1), 0] + g * group


@njit
def convolve_tiles(
    begin, end, ticks, x, H, W, along, steps, reads, channels, writes, G, outputs, rows, cols, wanted, w, w_rows,
    w_cols, twist, line, bias, y, y_steps, scratch,
):  # fmt: skip
    """Tasks: units, each read, multiplied and written while its tiles are in cache. scratch (private): (t | C/G | K/G).

    steps: down and step of ``forward_tiles``; y_steps: channel, down and step of ``inverse_tiles``.
    """
    mark(ticks, CALL)
    t, z, products = scratch
    depth, per_group = max(len(channels) // G, outputs), len(channels) // G
    for unit in range(begin, end):
        forward_tiles(0, per_group, x, H, W, steps[0], along, steps[1], reads, channels, unit, G, depth, rows, cols, t,
                      w_rows)  # fmt: skip
        mark(ticks, TRANSFORM)
        soon = first_pixels(min(unit + 1, end - 1), G, reads, channels, W)
        target = first_outputs(unit, G, writes, outputs * y_steps[0])
        multiply_tiles(0, rows * t.itemsize // VECTOR_BYTES, unit, G, per_group, outputs, rows, cols, t, w, w_cols,
                       twist, (x, soon[0], soon[1], steps[0] * W + along), (y, target[0], target[1], y_steps[1]),
                       (z, products))  # fmt: skip
        mark(ticks, MULTIPLY)
        inverse_tiles(0, outputs, writes, unit, G, outputs, depth, rows, cols, wanted, t, w_rows, line, bias, y,
                      y_steps[0], y_steps[1], y_steps[2])  # fmt: skip
        mark(ticks, INVERT)


class Filters(NamedTuple):
    """Prepared filters and the tables that go with them."""

    w: np.ndarray  # flat (G, row groups, cols, K/G, C/G, re | im, L)
    w_rows: np.ndarray
    w_cols: np.ndarray
    twist: np.ndarray  # ``turns`` of a line, else empty
    tables: Tables


def units(tiling: Tiling) -> int:
    """What a block counts: pairs of tiles, each group for itself."""
    return tiling.pairs * tiling.G


def _tile(tiling: Tiling, width: int) -> int:
    return 2 * tiling.rows * (tiling.cols + width)


def _depth(tiling: Tiling) -> int:
    """Tiles of one unit: outputs replace inputs."""
    return max(tiling.channels, tiling.K // tiling.G)


def apart(tiling: Tiling, block: int, threads: int) -> bool:
    """Whether threads take units of their own, one after another, rather than share those of a block."""
    return block == threads and (threads == 1 or units(tiling) % threads == 0 or units(tiling) >= ENOUGH * threads)


def parts(tiling: Tiling, block: int, threads: int, dtype: np.dtype) -> list[Part]:
    """Scratch: the block's tiles, and for each thread the blocks of one row group, before and after the product."""
    width = lanes(dtype)
    outputs = tiling.K // tiling.G
    return [
        ((block, _depth(tiling) * _tile(tiling, width)), dtype),
        ((threads, tiling.cols * tiling.channels * 2 * width), dtype),
        ((threads, tiling.cols * outputs * 2 * width), dtype),
    ]


def prepare(tiling: Tiling, block: int, threads: int, taps: np.ndarray) -> Filters:
    """Spectra of the dense taps (K, C/G·ΠB, R, S)."""
    width, dtype = lanes(taps.dtype), taps.dtype
    rows, cols, tasks = tiling.rows, tiling.cols, len(taps) * tiling.channels
    twist = turns(rows, cols, dtype.name) if tiling.line else np.empty(0, dtype)
    w = aligned_empty((tasks * rows * cols * 2,), dtype)
    w_rows, w_cols = twiddles(rows, dtype.name), twiddles(cols, dtype.name)
    tiles = aligned_empty((threads, _tile(tiling, width)), dtype)
    blocks = aligned_empty((threads, cols * 2 * width), dtype)
    parallel(forward_filters, tasks, threads, taps, tiling.G, rows, cols, tiling.line, w, w_rows, w_cols, twist,
             private=list(zip(tiles, blocks, strict=True)))  # fmt: skip
    return Filters(w, w_rows, w_cols, twist, tiling.tables())


def transform(tiling, first, count, threads, x, filters, buffers):
    (_, H, W), (_, step_h, step_w) = tiling.lattice.inputs, tiling.lattice.step
    down, along = (0, tiling.cols * step_w) if tiling.line else (step_h, 0)
    parallel(forward_tiles, count * tiling.channels, threads, x.reshape(-1), H, W, down, along, step_w,
             filters.tables.reads, filters.tables.channels, first, tiling.G, _depth(tiling), tiling.rows, tiling.cols,
             buffers[0].reshape(-1), filters.w_rows)  # fmt: skip


def multiply(tiling, first, count, threads, filters, buffers):
    tiles, *private = buffers
    tasks, flat = count * (tiling.rows // lanes(tiles.dtype)), tiles.reshape(-1)
    own = flat, 0, 0, 0  # all of it is at hand
    parallel(multiply_tiles, tasks, threads, first, tiling.G, tiling.channels, tiling.K // tiling.G, tiling.rows,
             tiling.cols, flat, filters.w, filters.w_cols, filters.twist, own, own,
             private=list(zip(*private, strict=True)))  # fmt: skip


def invert(tiling, first, count, threads, filters, buffers, bias, y):
    (_, P, Q), (_, step_h, step_w) = tiling.lattice.outputs, tiling.lattice.out_phases
    outputs, wanted = tiling.K // tiling.G, tiling.cols if tiling.line else tiling.hop_w
    down = tiling.cols * step_w if tiling.line else step_h * Q
    parallel(inverse_tiles, count * outputs, threads, filters.tables.writes, first, tiling.G, outputs, _depth(tiling),
             tiling.rows, tiling.cols, wanted, buffers[0].reshape(-1), filters.w_rows, tiling.line, bias, y.reshape(-1),
             P * Q, down, step_w)  # fmt: skip


def convolve(tiling, threads, ticks, x, filters, buffers, bias, y):
    """All units, each by one thread."""
    (_, H, W), (_, step_h, step_w) = tiling.lattice.inputs, tiling.lattice.step
    (_, P, Q), (_, apart_h, apart_w) = tiling.lattice.outputs, tiling.lattice.out_phases
    along, down = (tiling.cols * step_w, 0) if tiling.line else (0, step_h)
    y_down = tiling.cols * apart_w if tiling.line else apart_h * Q
    parallel(convolve_tiles, units(tiling), threads, ticks, x.reshape(-1), H, W, along, (down, step_w),
             filters.tables.reads, filters.tables.channels, filters.tables.writes, tiling.G, tiling.K // tiling.G,
             tiling.rows, tiling.cols, tiling.cols if tiling.line else tiling.hop_w, filters.w, filters.w_rows,
             filters.w_cols, filters.twist, tiling.line, bias, y.reshape(-1), (P * Q, y_down, apart_w),
             private=list(zip(*buffers, strict=True)))  # fmt: skip
