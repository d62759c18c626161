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
import scipy.fft

from convbench.kernels.column_passes import RADIX, TOGETHER, correlate_row, first_pass, last_pass
from convbench.kernels.fft import forward, frequencies, inverse, lanes, strip, twiddles
from convbench.kernels.fft_planes import first_pixels
from convbench.kernels.jit import njit
from convbench.kernels.lattice import Lattice
from convbench.kernels.layout import Part, aligned_empty
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
def convolve_tiles(begin, end, ticks, x, reads, channels, w, w_rows, w_inner, bias, y, writes, numbers, scratch):
    """Tasks: units, each read, multiplied and written while its tiles are in cache; x, w, y flat, bias (K,) or empty.

    reads, channels, writes: ``overlap_save.Tables``; numbers: packed ``Sizes``. scratch (private): t, and two rows
    beyond it, of zeros to read and to write what nobody wants.
    """
    mark(ticks, CALL)
    t = scratch
    s = Sizes(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5], numbers[6], numbers[7],
              numbers[8], numbers[9])  # fmt: skip
    width = VECTOR_BYTES // t.itemsize
    pitch, inner = (s.vectors | 1) * width, s.rows // RADIX
    plane, leg, x_down = s.rows * pitch, inner * pitch, s.down * s.W
    together, one, missing = strip(inner), np.int64(1), np.int64(0)
    clear_line(t, 2 * plane, pitch)
    for unit in range(begin, end):
        pair, g = divmod(unit, s.G)
        first, second = 2 * pair, min(2 * pair + 1, len(reads) - 1)
        alone = second == first
        top, left = reads[first, 1] + channels[g, 1], reads[first, 2] + channels[g, 2]
        low, right = s.H if alone else reads[second, 1] + channels[g, 1], reads[second, 2] + channels[g, 2]
        re, im = (reads[first, 0] + channels[g, 0] + top * s.W + left,
                  reads[second, 0] + channels[g, 0] + low * s.W + right)  # fmt: skip
        for k in range(inner):
            h, row = k * s.down, k * x_down
            first_pass(x, (re + row, im + row), inner * x_down, (top + h, low + h), inner * s.down, s.H,
                       (-left, -right), (s.W - left, s.W - right), t, 2 * plane, k * pitch, plane, leg, w_rows,
                       2 * (RADIX - 1) * k, s.vectors)  # fmt: skip
        mark(ticks, TRANSFORM)

        to = writes[first, 0] + g * s.y_channel, writes[second, 0] + g * s.y_channel
        soon = first_pixels(min(unit + 1, end - 1), s.G, reads, channels, s.W)
        for block in range(0, s.rows, inner):
            at = block * pitch
            for v in range(0, s.vectors, together):
                forward(t, at + v * width, at + v * width + plane, inner, pitch, min(together, s.vectors - v), width,
                        w_inner, one)  # fmt: skip
            for i in range(block, block + inner):
                correlate_row(t, i * pitch, i * pitch + plane, w, (g * s.rows + i) * s.taps * 2, s.taps // 2,
                              s.outputs // TOGETHER, s.outputs % TOGETHER, x,
                              (soon[0] + i * x_down, soon[1] + i * x_down), y,
                              (to[0] + i * s.y_down, to[1] + i * s.y_down), TOGETHER)  # fmt: skip
            for v in range(0, s.outputs, together):
                inverse(t, at + v * width, at + v * width + plane, inner, pitch, min(together, s.outputs - v), width,
                        w_inner, one)  # fmt: skip
        mark(ticks, MULTIPLY)

        add = bias[g] if bias.size else y.dtype.type(0)
        high = writes[first, 1], missing if alone else writes[second, 1]
        wide = writes[first, 2], missing if alone else writes[second, 2]
        for k in range(inner):
            last_pass(t, k * pitch, plane, leg, 2 * plane + pitch, w_rows, 2 * (RADIX - 1) * k, y,
                      (to[0] + k * s.y_down, to[1] + k * s.y_down), inner * s.y_down,
                      ((high[0] - k + inner - 1) // inner, (high[1] - k + inner - 1) // inner), wide, add,
                      (max(wide[0], wide[1]) + width - 1) // width)  # fmt: skip
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
    down: int  # rows of x from one row of a tile to the next
    y_channel: int  # elements of y from one channel and row of a tile to the next
    y_down: int


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
    """Of a lifted spec: tiles of every height, as wide as they may be or half of that, cut evenly.

    There are none but for one channel a group whose neighbours in a row are taps of the same output, and for filters of
    several rows.
    """
    lattice = Lattice.of(spec)
    _, R, S = lattice.taps
    if R == 1 or lattice.step[2] > 1 or lattice.channels > 1 or not spec.C == spec.K == spec.G:
        return
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
    (K, _, _, S), count = weight.shape, taps(tiling)
    w = aligned_empty((K, rows, count, 2), dtype)
    spectra = scipy.fft.fft(weight[:, 0], rows, axis=1)[:, frequencies(rows)]
    w[:, :, :S, 0] = spectra.real / rows
    w[:, :, :S, 1] = -spectra.imag / rows
    w[:, :, S:] = 0
    (_, H, W), (_, P, Q) = lattice.inputs, lattice.outputs
    sizes = Sizes(rows, *vectors(tiling, lanes(dtype)), count, tiling.G, H, W, lattice.step[1], P * Q,
                  lattice.out_phases[1] * Q)  # fmt: skip
    return Filters(tables.reads, tables.channels, w.reshape(-1), twiddles(rows, dtype.name),
                   twiddles(rows // RADIX, dtype.name), tables.writes, np.array(sizes, np.int64),
                   units(tiling))  # fmt: skip


def convolve(tiling, threads, ticks, x, filters, buffers, bias, y):
    """All units, each by one thread."""
    f = filters
    parallel(convolve_tiles, f.units, threads, ticks, x.reshape(-1), f.reads, f.channels, f.w, f.w_rows, f.w_inner,
             bias, y.reshape(-1), f.writes, f.sizes, private=list(buffers[0]))  # fmt: skip
