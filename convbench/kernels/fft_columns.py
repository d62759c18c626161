"""FFT tiles along the columns alone, summed directly along the row: one channel, filters of a dozen taps a row.

    Y[f, q] = Σ_s X[f, q + s] · conj W[f, s]        X, W: columns of the tile and of the filter at frequency f

The transforms cost as much as half of a two-dimensional tile's, no row is ever transposed, and a row's sum costs S
complex products, not R·S real ones. Pixels are in the lanes; a tile is as wide as the row of an image allows. A pair of
tiles (``overlap_save``) is one complex tile; a thread takes it through all phases while it is in its cache.

    t[re | im, row, pitch]          a pair of tiles; outputs replace inputs
    w[k, row, s, re | im]           spectra of the filters' columns, rows as the transform leaves them
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from convbench.kernels.column_passes import RADIX, TOGETHER, correlate_row, first_pass, last_pass
from convbench.kernels.fft import forward, inverse, lanes, strip, twiddles
from convbench.kernels.fft_planes import first_pixels
from convbench.kernels.jit import njit
from convbench.kernels.lattice import Lattice, read_rows, write_rows
from convbench.kernels.layout import Part, aligned_empty, round_up
from convbench.kernels.lines import clear_line
from convbench.kernels.overlap_save import Tiling
from convbench.kernels.simd import VECTOR_BYTES
from convbench.kernels.threads import parallel
from convbench.kernels.ticks import CALL, mark
from convbench.spec import ConvSpec

HEIGHTS = (32, 64, 128, 256, 512)  # of tiles: eight blocks of rows, at least four each
WIDEST = 32  # vectors of a tile's outputs: eight rows of 64 bytes a vector, real and imaginary, stay in L1
TRANSFORM, MULTIPLY, INVERT = 1, 2, 3  # phases of a unit


@njit
def forward_filters(begin, end, weight, rows, taps, w, w_rows, scratch):
    """Tasks k: fill w from weight (K, 1, R, S). scratch (private): the columns of one filter."""
    t = scratch
    R, S = weight.shape[2:]
    width = VECTOR_BYTES // t.itemsize
    pitch = (S + width - 1) // width * width
    plane = rows * pitch
    scale = t.dtype.type(1.0 / rows)
    for k in range(begin, end):
        t[:] = 0
        for i in range(R):
            for j in range(S):
                t[i * pitch + j] = weight[k, 0, i, j] * scale
        forward(t, np.int64(0), plane, rows, pitch, pitch // width, width, w_rows, np.int64(1))
        for i in range(rows):
            for j in range(taps):
                to = ((k * rows + i) * taps + j) * 2
                w[to] = t[i * pitch + j] if j < S else 0
                w[to + 1] = -t[plane + i * pitch + j] if j < S else 0


@njit
def read_unit(x, tiles, offset, row, column, H, W, down, step, reads, rows, vectors, pitch, t, w_rows):
    """A pair of tiles from x, through the first pass, to t; the second may be missing.

    offset, row, column: what is to be added of the channel; down, step: as in ``read_rows``.
    """
    width = VECTOR_BYTES // t.itemsize
    plane, inner, zero = rows * pitch, rows // RADIX, np.int64(0)
    first, second = tiles[0], min(tiles[1], len(reads) - 1)
    top, bottom = reads[first, 1] + row, reads[second, 1] + row if second == tiles[1] else H
    left, right = reads[first, 2] + column, reads[second, 2] + column
    re, im = reads[first, 0] + offset + top * W + left, reads[second, 0] + offset + bottom * W + right
    if step == 1:
        for k in range(inner):
            down_k = k * down
            first_pass(x, (re + down_k * W, im + down_k * W), inner * down * W, (top + down_k, bottom + down_k),
                       inner * down, H, (-left, -right), (W - left, W - right), t, 2 * plane, k * pitch, plane,
                       inner * pitch, w_rows, 2 * (RADIX - 1) * k, vectors)  # fmt: skip
        return
    read_rows(x, reads[first, 0] + offset, top, left, down, zero, step, (H, W), t, zero, pitch, rows, vectors * width)
    read_rows(x, reads[second, 0] + offset, bottom, right, down, zero, step, (H, W), t, plane, pitch, rows,
              vectors * width)  # fmt: skip
    for k in range(inner):
        at, end = k * pitch, vectors * width
        first_pass(t, (at, at + plane), inner * pitch, (zero, zero), zero, 1, (zero, zero), (end, end), t, 2 * plane,
                   at, plane, inner * pitch, w_rows, 2 * (RADIX - 1) * k, vectors)  # fmt: skip


@njit
def write_unit(t, pitch, outputs, rows, w_rows, y, to, high, wide, down, step, add):
    """The last pass over t, plus ``add``, to y; to, high, wide: pairs of what the two tiles write there."""
    width = VECTOR_BYTES // t.itemsize
    plane, inner, zero = rows * pitch, rows // RADIX, np.int64(0)
    dump = 2 * plane + pitch
    for k in range(inner):
        at, w_at = k * pitch, 2 * (RADIX - 1) * k
        if step == 1:
            last_pass(t, at, plane, inner * pitch, dump, w_rows, w_at, y, (to[0] + k * down, to[1] + k * down),
                      inner * down, ((high[0] - k + inner - 1) // inner, (high[1] - k + inner - 1) // inner), wide, add,
                      (max(wide[0], wide[1]) + width - 1) // width)  # fmt: skip
        else:
            end = outputs * width
            last_pass(t, at, plane, inner * pitch, dump, w_rows, w_at, t, (at, at + plane), inner * pitch,
                      (zero + RADIX, zero + RADIX), (end, end), add, outputs)  # fmt: skip
    if step != 1:
        write_rows(t, zero, pitch, high[0], wide[0], y, to[0], down, step, y.dtype.type(0))
        write_rows(t, plane, pitch, high[1], wide[1], y, to[1], down, step, y.dtype.type(0))


@njit
def multiply_rows(t, pitch, rows, vectors, outputs, w, w_start, taps, w_inner, x, soon, x_step, y, wanted, y_step):
    """All passes but the first and the last, and the sums along the rows between them.

    soon, wanted: pairs of places in x and y, ``x_step`` and ``y_step`` further in each row (``correlate_row``).
    """
    width = VECTOR_BYTES // t.itemsize
    plane, inner = rows * pitch, rows // RADIX
    together, one = strip(inner), np.int64(1)
    for block in range(0, rows, inner):
        at = block * pitch
        for v in range(0, vectors, together):
            forward(t, at + v * width, at + v * width + plane, inner, pitch, min(together, vectors - v), width,
                    w_inner, one)  # fmt: skip
        for i in range(block, block + inner):
            correlate_row(t, i * pitch, i * pitch + plane, w, w_start + i * taps * 2, taps // 2, outputs // TOGETHER,
                          outputs % TOGETHER, x, (soon[0] + i * x_step, soon[1] + i * x_step), y,
                          (wanted[0] + i * y_step, wanted[1] + i * y_step), TOGETHER)  # fmt: skip
        for v in range(0, outputs, together):
            inverse(t, at + v * width, at + v * width + plane, inner, pitch, min(together, outputs - v), width,
                    w_inner, one)  # fmt: skip


@njit
def convolve_tiles(begin, end, ticks, x, reads, channels, w, w_rows, w_inner, bias, y, writes, numbers, scratch):
    """Tasks: units, each read, multiplied and written while its tiles are in cache; x, w, y flat, bias (K,) or empty.

    reads, channels, writes: ``overlap_save.Tables``; numbers: packed ``Sizes``. scratch (private): t, zeros, dump.
    """
    mark(ticks, CALL)
    t = scratch
    s = Sizes(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6], numbers[7],
              numbers[8], numbers[9], numbers[10], numbers[11])  # fmt: skip
    pitch = (s.vectors | 1) * (VECTOR_BYTES // t.itemsize)
    zeros = 2 * s.rows * pitch
    clear_line(t, zeros, pitch)
    missing = np.int64(0)
    for unit in range(begin, end):
        pair, g = divmod(unit, s.G)
        first, second = 2 * pair, 2 * pair + 1
        read_unit(x, (first, second), channels[g, 0], channels[g, 1], channels[g, 2], s.H, s.W, s.down, s.step, reads,
                  s.rows, s.vectors, pitch, t, w_rows)  # fmt: skip
        mark(ticks, TRANSFORM)
        there = second < len(writes)
        second = min(second, len(writes) - 1)
        to = writes[first, 0] + g * s.y_channel, writes[second, 0] + g * s.y_channel
        high = writes[first, 1], writes[second, 1] if there else missing
        wide = writes[first, 2], writes[second, 2] if there else missing
        soon = first_pixels(min(unit + 1, end - 1), s.G, reads, channels, s.W)
        multiply_rows(t, pitch, s.rows, s.vectors, s.outputs, w, g * s.rows * s.taps * 2, s.taps, w_inner, x, soon,
                      s.down * s.W, y, to, s.y_down)  # fmt: skip
        mark(ticks, MULTIPLY)
        add = bias[g] if bias.size else y.dtype.type(0)
        write_unit(t, pitch, s.outputs, s.rows, w_rows, y, to, high, wide, s.y_down, s.y_step, add)
        mark(ticks, INVERT)


class Sizes(NamedTuple):
    """Of a problem's tiles and of what lies between the elements of x and y."""

    rows: int
    vectors: int  # of a row that are read
    outputs: int  # vectors of a row that are summed
    taps: int
    G: int
    H: int
    W: int
    down: int  # rows and columns of x from one row and column of a tile to the next
    step: int
    y_channel: int  # elements of y from one channel, row and column of a tile to the next
    y_down: int
    y_step: int


class Filters(NamedTuple):
    """Prepared filters and what goes with them, in the order in which ``convolve_tiles`` takes it."""

    reads: np.ndarray
    channels: np.ndarray
    w: np.ndarray  # flat (K, rows, taps, re | im)
    w_rows: np.ndarray
    w_inner: np.ndarray
    writes: np.ndarray
    sizes: np.ndarray
    units: int


def tilings(spec: ConvSpec, width: int) -> Iterator[Tiling]:
    """Of a lifted spec: tiles of every height, as wide as they may be or half of that, cut evenly."""
    lattice = Lattice.of(spec)
    _, R, S = lattice.taps
    outputs = lattice.phase_outputs[2]
    parts = -(-outputs // (WIDEST * width))
    for rows in HEIGHTS:
        for count in (parts, 2 * parts):
            if rows >= R:
                yield Tiling.of(spec, rows, -(-outputs // count) + S - 1, False)


def taps(tiling: Tiling) -> int:
    """Of a row of the filter, as they are summed: odd, three at least."""
    return max(3, tiling.lattice.taps[2] | 1)


def vectors(tiling: Tiling, width: int) -> tuple[int, int]:
    """Vectors of a row that are read, and that are summed: outputs and one column."""
    outputs = tiling.hop_w // width + 1
    return outputs + -(-(taps(tiling) - 1) // width), outputs


def units(tiling: Tiling) -> int:
    """Pairs of tiles, each channel for itself."""
    return tiling.pairs * tiling.G


def tile(tiling: Tiling, width: int) -> int:
    """Elements of a pair of tiles; an odd number of vectors lie between rows, so that columns use all of the cache."""
    return 2 * tiling.rows * (vectors(tiling, width)[0] | 1) * width


def parts(tiling: Tiling, block: int, threads: int, dtype: np.dtype) -> list[Part]:
    """Scratch: a pair of tiles for each thread, and two rows beyond it."""
    length = tile(tiling, lanes(dtype))
    return [((threads, length + length // tiling.rows), dtype)]


def prepare(tiling: Tiling, block: int, threads: int, weight: np.ndarray) -> Filters:
    """Spectra of the columns of the dense taps (K, 1, R, S)."""
    dtype, rows, lattice, tables = weight.dtype, tiling.rows, tiling.lattice, tiling.tables()
    w = aligned_empty((len(weight) * rows * taps(tiling) * 2,), dtype)
    w_rows = twiddles(rows, dtype.name)
    columns = aligned_empty((threads, 2 * rows * round_up(weight.shape[3], lanes(dtype))), dtype)
    parallel(forward_filters, len(weight), threads, weight, rows, taps(tiling), w, w_rows, private=list(columns))
    (_, H, W), (_, P, Q) = lattice.inputs, lattice.outputs
    sizes = Sizes(rows, *vectors(tiling, lanes(dtype)), taps(tiling), tiling.G, H, W, *lattice.step[1:], P * Q,
                  lattice.out_phases[1] * Q, lattice.out_phases[2])  # fmt: skip
    return Filters(tables.reads, tables.channels, w, w_rows, twiddles(rows // RADIX, dtype.name), tables.writes,
                   np.array(sizes, np.int64), units(tiling))  # fmt: skip


def convolve(tiling, threads, ticks, x, filters, buffers, bias, y):
    """All units, each by one thread."""
    f = filters
    parallel(convolve_tiles, f.units, threads, ticks, x.reshape(-1), f.reads, f.channels, f.w, f.w_rows, f.w_inner,
             bias, y.reshape(-1), f.writes, f.sizes, private=list(buffers[0]))  # fmt: skip
