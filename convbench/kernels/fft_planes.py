"""FFT tiles with pixels in the lanes: few channels, large tiles, long 1-D filters.

A pair of tiles (``overlap_save``) is one complex tile of rows × cols pixels, stored as two planes with L elements
between rows, so that column strides are no power of two. Columns are transformed in strips of L; then each group of L
rows is transposed into blocks [re | im], transformed along the row, multiplied by the filters' spectra, transformed
back and transposed again, all inside L1. Between the phases a tile is read and written once.

A tile that is one line of rows·cols pixels is transformed by the same two passes with a turn by
e^{−2πi·j·k/(rows·cols)} between them (Bailey, "FFTs in External or Hierarchical Memory", 1990, the four-step FFT).

    t[unit, c | k, re | im, row, pitch]   tiles of one pair and group; outputs replace inputs
    w[g, row group, j, k, c, re | im]     the filters' spectra, as the product reads them
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from convbench.kernels.fft import copy_block, forward, frequencies, inverse, lanes, roots, strip, transpose, twiddles
from convbench.kernels.jit import njit
from convbench.kernels.lattice import read_line, write_line
from convbench.kernels.layout import Part, aligned_empty
from convbench.kernels.overlap_save import Tables, Tiling
from convbench.kernels.simd import VECTOR_BYTES
from convbench.kernels.spectra import multiply_spectra, turn
from convbench.kernels.threads import parallel


def turns(rows: int, cols: int, dtype: str) -> np.ndarray:
    """Flat (row group, j, re | im, L): e^{−2πi·j·k(s)/(rows·cols)} for column j and the row at position s."""
    width = lanes(dtype)
    w = roots(rows * cols, np.outer(frequencies(rows), np.arange(cols))).reshape(-1, width, cols).transpose(0, 2, 1)
    table = aligned_empty((w.size * 2,), np.dtype(dtype))
    table.reshape(*w.shape[:2], 2, width)[...] = np.stack([w.real, w.imag], axis=2)
    return table


@njit
def _forward_rows(t, at, apart, plane, pitch, group, z, channels, cols, w_cols, twist):
    """Row group ``group`` of the tiles at t[at + c·apart] to blocks z[j, c], transformed along the row."""
    width = VECTOR_BYTES // z.itemsize
    pair = 2 * width
    step = channels * pair
    for c in range(channels):
        source = at + c * apart + group * width * pitch
        for j in range(0, cols, width):
            transpose(t, source + j, pitch, z, j * step + c * pair, step)
            transpose(t, source + plane + j, pitch, z, j * step + c * pair + width, step)
        if twist.size:
            for j in range(cols):
                turn(z, j * step + c * pair, twist, (group * cols + j) * pair, 0)
    together = strip(cols)
    for c in range(0, channels, together):
        forward(z, c * pair, c * pair + width, cols, step, min(together, channels - c), pair, w_cols)


@njit
def _inverse_rows(t, at, apart, plane, pitch, group, z, channels, cols, w_cols, twist):
    """Undo ``_forward_rows``, cols times too large."""
    width = VECTOR_BYTES // z.itemsize
    pair = 2 * width
    step = channels * pair
    together = strip(cols)
    for c in range(0, channels, together):
        inverse(z, c * pair, c * pair + width, cols, step, min(together, channels - c), pair, w_cols)
    for c in range(channels):
        target = at + c * apart + group * width * pitch
        if twist.size:
            for j in range(cols):
                turn(z, j * step + c * pair, twist, (group * cols + j) * pair, 1)
        for j in range(0, cols, width):
            transpose(z, j * step + c * pair, step, t, target + j, pitch)
            transpose(z, j * step + c * pair + width, step, t, target + plane + j, pitch)


@njit
def _forward_columns(t, at, plane, pitch, rows, cols, w_rows):
    """Transform the columns j < ``cols``, rounded up to whole vectors, of the tile at ``at``."""
    width = VECTOR_BYTES // t.itemsize
    together = strip(rows)
    vectors = -(-cols // width)
    for v in range(0, vectors, together):
        start = at + v * width
        forward(t, start, start + plane, rows, pitch, min(together, vectors - v), width, w_rows)


@njit
def _inverse_columns(t, at, plane, pitch, rows, cols, w_rows):
    """Undo ``_forward_columns``, rows times too large."""
    width = VECTOR_BYTES // t.itemsize
    together = strip(rows)
    vectors = -(-cols // width)
    for v in range(0, vectors, together):
        start = at + v * width
        inverse(t, start, start + plane, rows, pitch, min(together, vectors - v), width, w_rows)


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
    for task in range(begin, end):
        k, c = divmod(task, channels)
        g, row = divmod(k, per_group)
        t[:] = 0
        for i in range(R):
            for j in range(S):
                t[(j // cols if line else i) * pitch + j % cols] = weight[k, c, i, j] * scale
        _forward_columns(t, 0, plane, pitch, rows, min(S, cols), w_rows)
        for group in range(rows // width):
            _forward_rows(t, 0, 0, plane, pitch, group, z, 1, cols, w_cols, twist)
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
        for part in range(2):
            tile, to = 2 * pair + part, at + part * plane
            if tile < len(reads):
                dense = g * per_group + c
                source = reads[tile, 0] + channels[dense, 0]
                h, w = reads[tile, 1] + channels[dense, 1], reads[tile, 2] + channels[dense, 2]
                for r in range(rows):
                    row = h + r * down
                    read_line(
                        x, source + row * W, w + r * along, step, W if 0 <= row < H else 0, t, to + r * pitch, cols
                    )
            else:
                t[to : to + plane] = 0
        _forward_columns(t, at, plane, pitch, rows, cols, w_rows)


@njit
def multiply_tiles(begin, end, first_unit, G, channels, outputs, rows, cols, t, w, w_cols, twist, scratch):
    """Tasks (unit, row group): rows forward, the product over channels, rows back. scratch (private): (C/G | K/G)."""
    z, products = scratch
    width = VECTOR_BYTES // t.itemsize
    pair = 2 * width
    pitch = cols + width
    plane = rows * pitch
    depth = max(channels, outputs)
    groups = rows // width
    for task in range(begin, end):
        unit, group = divmod(task, groups)
        at = unit * depth * 2 * plane
        g = (first_unit + unit) % G
        filters = (g * groups + group) * cols * outputs * channels * pair
        _forward_rows(t, at, 2 * plane, plane, pitch, group, z, channels, cols, w_cols, twist)
        multiply_spectra(cols, z, 0, channels, w, filters, products, 0, outputs)
        _inverse_rows(t, at, 2 * plane, plane, pitch, group, products, outputs, cols, w_cols, twist)


@njit
def inverse_tiles(
    begin, end, writes, first_unit, G, outputs, depth, rows, cols, wanted, t, w_rows, line, bias, y, channel, down, step
):  # fmt: skip
    """Tasks (unit, k): transform the first ``wanted`` columns back and write y (flat), plus bias (K,) or empty.

    writes: ``overlap_save.Tables``. channel, down and step are the elements of y from one channel, row and column of a
    tile to the next.
    """
    width = VECTOR_BYTES // t.itemsize
    pitch = cols + width
    plane = rows * pitch
    for task in range(begin, end):
        unit, row = divmod(task, outputs)
        pair, g = divmod(first_unit + unit, G)
        k = g * outputs + row
        at = (unit * depth + row) * 2 * plane
        _inverse_columns(t, at, plane, pitch, rows, wanted, w_rows)
        add = bias[k] if bias.size else y.dtype.type(0)
        for part in range(2):
            tile, source = 2 * pair + part, at + part * plane
            if tile < len(writes):
                start, high, wide = writes[tile, 0] + k * channel, writes[tile, 1], writes[tile, 2]
                if line:
                    for j in range(0, wide, cols):
                        write_line(t, source + j // cols * pitch, min(cols, wide - j), y, start + j * step, step, add)
                else:
                    for r in range(high):
                        write_line(t, source + r * pitch, wide, y, start + r * down, step, add)


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


def parts(tiling: Tiling, block: int, threads: int, dtype: np.dtype) -> list[Part]:
    """Scratch: the block's tiles, and for each thread the blocks of one row group, before and after the product."""
    width = lanes(dtype)
    outputs = tiling.K // tiling.G
    return [
        ((block * _depth(tiling) * _tile(tiling, width),), dtype),
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
             buffers[0], filters.w_rows)  # fmt: skip


def multiply(tiling, first, count, threads, filters, buffers):
    tiles, *private = buffers
    tasks = count * (tiling.rows // lanes(tiles.dtype))
    parallel(multiply_tiles, tasks, threads, first, tiling.G, tiling.channels, tiling.K // tiling.G, tiling.rows,
             tiling.cols, tiles, filters.w, filters.w_cols, filters.twist,
             private=list(zip(*private, strict=True)))  # fmt: skip


def invert(tiling, first, count, threads, filters, buffers, bias, y):
    (_, P, Q), (_, step_h, step_w) = tiling.lattice.outputs, tiling.lattice.out_phases
    outputs, wanted = tiling.K // tiling.G, tiling.cols if tiling.line else tiling.hop_w
    parallel(inverse_tiles, count * outputs, threads, filters.tables.writes, first, tiling.G, outputs, _depth(tiling),
             tiling.rows, tiling.cols, wanted, buffers[0], filters.w_rows, tiling.line, bias, y.reshape(-1), P * Q,
             step_h * Q, step_w)  # fmt: skip
