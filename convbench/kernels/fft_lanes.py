"""FFT tiles in the lanes: many small tiles, channels multiplied as a complex GEMM.

Pairs of tiles (``overlap_save``) are transformed L at a time, one in each lane; the flattened index is l = c·P + p for
dense channel c and pair p of P. With z = x₀ + i·x₁ the spectrum at −ξ is not needed apart from that at ξ: the filter
is real, so W(−ξ) = conj W(ξ) and conj(Z(−ξ)·W(−ξ)) = conj(Z(−ξ))·W(ξ). The upper half is stored conjugated and shares
the filter's panel, which halves the filter's spectrum.

    v[s, re | im, l]                      spectra at position s of the tile (digit-reversed), Lp = l rounded up to lanes
    u[f, g, panel, 0 | 1, c, NR]          filters at the f-th pair of positions: [Re | Im] and [−Im | Re] of L channels
    m[s, g, panel, p, NR]                 products [Re | Im] of L output channels
    m[s] = v[s, re] · u[f, 0] + v[s, im] · u[f, 1]          one brgemm of batch 2, depth C/G, P rows
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from convbench.kernels.fft import copy_block, forward, inverse, lanes, partners, strip, transpose, twiddles
from convbench.kernels.gemm import brgemm
from convbench.kernels.jit import njit
from convbench.kernels.lattice import copy_vector, read_rows, write_rows
from convbench.kernels.layout import Part, aligned_empty, round_up
from convbench.kernels.overlap_save import Tables, Tiling
from convbench.kernels.simd import VECTOR_BYTES
from convbench.kernels.threads import parallel
from convbench.kernels.transpose import store_transposed


def half_positions(rows: int, cols: int) -> np.ndarray:
    """int64 (F, 2): positions (s, s*) of frequencies ξ and −ξ, each pair once; s = s* where ξ = −ξ."""
    position = np.arange(rows * cols)
    partner = partners(rows)[position // cols] * cols + partners(cols)[position % cols]
    lower = position <= partner
    return np.stack([position[lower], partner[lower]], axis=1)


def signs(rows: int, cols: int, dtype: np.dtype) -> np.ndarray:
    """(rows·cols,): −1 at the positions that are stored conjugated, else 1."""
    half = half_positions(rows, cols)
    sign = np.ones(rows * cols, dtype)
    sign[half[half[:, 0] != half[:, 1], 1]] = -1
    return sign


@njit
def _forward_tile(z, rows, cols, filled, w_rows, w_cols):
    """Transform the first ``filled`` rows along the row, then all columns; element (i, j) is the block [re | im]."""
    width = VECTOR_BYTES // z.itemsize
    pair = 2 * width
    line = cols * pair
    together = strip(cols)
    for i in range(0, filled, together):
        forward(z, i * line, i * line + width, cols, pair, min(together, filled - i), line, w_cols, 1)
    together = strip(rows)
    for j in range(0, cols, together):
        forward(z, j * pair, j * pair + width, rows, line, min(together, cols - j), pair, w_rows, 1)


@njit
def _inverse_tile(z, rows, cols, wanted, w_rows, w_cols):
    """Undo ``_forward_tile``, rows·cols times too large, in the first ``wanted`` rows."""
    width = VECTOR_BYTES // z.itemsize
    pair = 2 * width
    line = cols * pair
    together = strip(rows)
    for j in range(0, cols, together):
        inverse(z, j * pair, j * pair + width, rows, line, min(together, cols - j), pair, w_rows, 1)
    together = strip(cols)
    for i in range(0, wanted, together):
        inverse(z, i * line, i * line + width, cols, pair, min(together, wanted - i), line, w_cols, 1)


@njit
def forward_filters(begin, end, weight, groups, rows, cols, half, u, w_rows, w_cols, z):
    """Tasks (g, panel, c): fill u from weight (K, C/G, R, S). z is private scratch of rows·cols blocks."""
    K, channels, R, S = weight.shape
    width = VECTOR_BYTES // z.itemsize
    pair = 2 * width
    panels = -(-(K // groups) // width)
    scale, minus = z.dtype.type(1.0 / (rows * cols)), z.dtype.type(-1)
    for task in range(begin, end):
        rest, c = divmod(task, channels)
        g, panel = divmod(rest, panels)
        first = g * (K // groups) + panel * width
        count = min(width, (g + 1) * (K // groups) - first)
        z[:] = 0
        for i in range(R):
            for j in range(S):
                for lane in range(count):
                    z[(i * cols + j) * pair + lane] = weight[first + lane, c, i, j] * scale
        _forward_tile(z, rows, cols, R, w_rows, w_cols)
        for f in range(half.shape[0]):
            at = half[f, 0] * pair
            to = (((f * groups + g) * panels + panel) * 2 * channels + c) * pair
            copy_block(z, at, at + width, minus, u, to, to + width)
            to += channels * pair
            copy_block(z, at + width, at, -minus, u, to, to + width)


@njit
def forward_tiles(
    begin, end, x, H, W, step_h, step_w, reads, channels, first_pair, pairs, rows, cols, size, sign, w_rows, w_cols, v,
    scratch,
):  # fmt: skip
    """Tasks: blocks of L lanes. Fill v (Lp = ``size``) from x (flat) for ``pairs`` pairs from ``first_pair``.

    reads, channels: ``overlap_save.Tables``. scratch (private): (z, staging of 2·L lines, int64 (2·L, 4) places).
    """
    z, lines, places = scratch
    width = VECTOR_BYTES // z.itemsize
    pair = 2 * width
    together = max(1, width // cols)  # rows that make up whole vectors
    length = together * cols
    for task in range(begin, end):
        for lane in range(width):
            c, p = divmod(task * width + lane, pairs)
            for part in range(2):
                tile, line = 2 * (first_pair + p) + part, part * width + lane
                places[line, 3] = 0  # the height of an image that is not there
                if c < len(channels) and tile < len(reads):
                    for i in range(3):
                        places[line, i] = reads[tile, i] + channels[c, i]
                    places[line, 3] = H
        for i in range(0, rows, together):
            for line in range(pair):
                plane, w = places[line, 0], places[line, 2]
                for r in range(together):
                    h = places[line, 1] + (i + r) * step_h
                    inside = W if 0 <= h < places[line, 3] else 0
                    at = line * length + r * cols
                    if step_w == 1:  # ``read_rows`` in place: rows are short, its call takes longer than its loop
                        for j in range(0, cols, width):
                            copy_vector(x, plane + h * W + w + j, -w - j, inside - w - j, lines, at + j, cols - j)
                    else:
                        read_rows(x, plane + h * W, 0, w, 0, 0, step_w, (1, inside), lines, at, 0, 1, cols)
            for part in range(2):
                for j in range(0, length, width):
                    transpose(lines, part * width * length + j, length, z, (i * cols + j) * pair + part * width, pair)
        _forward_tile(z, rows, cols, rows, w_rows, w_cols)
        for s in range(rows * cols):
            at, to = s * pair, 2 * s * size + task * width
            copy_block(z, at, at + width, sign[s], v, to, to + size)


@njit
def multiply_tiles(begin, end, half, v, pairs, channels, groups, panels, u, a_off, b_off, m):
    """Tasks: pairs of frequencies. m = v · u, the products of the module's docstring."""
    width = VECTOR_BYTES // v.itemsize
    pair = 2 * width
    plane = a_off[1]
    for f in range(begin, end):
        for g in range(groups):
            for panel in range(panels):
                filters = ((f * groups + g) * panels + panel) * 2 * channels * pair
                for upper in range(2):
                    s = half[f, upper]
                    if upper == 0 or s != half[f, 0]:
                        brgemm(pairs, channels, 2, v, 2 * s * plane + g * channels * pairs, a_off, pairs, u, filters,
                               b_off, m, ((s * groups + g) * panels + panel) * pairs * pair, pair, False)  # fmt: skip


@njit
def inverse_tiles(
    begin, end, writes, first_pair, pairs, G, rows, cols, hop_h, sign, w_rows, w_cols, m, bias, y, K, plane, down, step,
    scratch,
):  # fmt: skip
    """Tasks (g, panel, pair): write y (flat) from m, plus bias (K,) or empty. scratch as in ``forward_tiles``.

    writes: ``overlap_save.Tables``. plane, down and step are the elements of y from one channel, row and column of a
    tile to the next.
    """
    z, lines, _ = scratch
    width = VECTOR_BYTES // z.itemsize
    pair = 2 * width
    per_group = K // G
    panels = -(-per_group // width)
    together = max(1, width // cols)
    length = together * cols
    for task in range(begin, end):
        block, p = divmod(task, pairs)
        g, panel = divmod(block, panels)
        for s in range(rows * cols):
            at, to = (s * G * panels * pairs + task) * pair, s * pair
            copy_block(m, at, at + width, sign[s], z, to, to + width)
        _inverse_tile(z, rows, cols, hop_h, w_rows, w_cols)
        first, count = g * per_group + panel * width, min(width, per_group - panel * width)
        for part in range(2):
            tile = 2 * (first_pair + p) + part
            high = writes[tile, 1] if tile < len(writes) else 0
            if step == 1:
                for i in range(high):
                    for j in range(0, writes[tile, 2], width):
                        store_transposed(z, (i * cols + j) * pair + part * width, pair, min(width, writes[tile, 2] - j),
                                         y, writes[tile, 0] + first * plane + i * down + j, plane, count, bias, first,
                                         min(count, bias.size))  # fmt: skip
                continue
            for i in range(0, high, together):
                for j in range(0, length, width):
                    transpose(z, (i * cols + j) * pair + part * width, pair, lines, j, length)
                for lane in range(count):
                    add = bias[first + lane] if bias.size else y.dtype.type(0)
                    to = writes[tile, 0] + (first + lane) * plane + i * down
                    write_rows(lines, lane * length, cols, min(together, high - i), writes[tile, 2], y, to, down, step,
                               add)  # fmt: skip


class Filters(NamedTuple):
    """Prepared filters and the tables that go with them."""

    u: np.ndarray  # flat (F, G, panels, 2, C/G, NR)
    half: np.ndarray
    sign: np.ndarray
    a_off: np.ndarray  # of the real and the imaginary plane of v
    b_off: np.ndarray
    w_rows: np.ndarray
    w_cols: np.ndarray
    tables: Tables


def units(tiling: Tiling) -> int:
    """What a block counts: pairs of tiles."""
    return tiling.pairs


def panels(tiling: Tiling, width: int) -> int:
    """Panels of one group: ``width`` = L output channels each."""
    return -(-(tiling.K // tiling.G) // width)


def _plane(tiling: Tiling, block: int, width: int) -> int:
    return round_up(tiling.channels * tiling.G * block, width)


def parts(tiling: Tiling, block: int, threads: int, dtype: np.dtype) -> list[Part]:
    """Scratch: v, m, and for each thread z, lines and places (``forward_tiles``)."""
    width = lanes(dtype)
    positions = tiling.rows * tiling.cols
    return [
        ((positions * 2 * _plane(tiling, block, width),), dtype),
        ((positions * tiling.G * panels(tiling, width) * block * 2 * width,), dtype),
        ((threads, positions * 2 * width), dtype),
        ((threads, 2 * width * max(tiling.cols, width)), dtype),
        ((threads, 2 * width, 4), np.dtype(np.int64)),
    ]


def prepare(tiling: Tiling, block: int, threads: int, taps: np.ndarray) -> Filters:
    """Spectra of the dense taps (K, C/G·ΠB, R, S)."""
    width, dtype = lanes(taps.dtype), taps.dtype
    rows, cols, G, channels = tiling.rows, tiling.cols, tiling.G, tiling.channels
    half = half_positions(rows, cols)
    count = G * panels(tiling, width) * channels
    u = aligned_empty((len(half) * count * 4 * width,), dtype)
    w_rows, w_cols = twiddles(rows, dtype.name), twiddles(cols, dtype.name)
    scratch = aligned_empty((threads, rows * cols * 2 * width), dtype)
    parallel(forward_filters, count, threads, taps, G, rows, cols, half, u, w_rows, w_cols, private=list(scratch))
    a_off = np.array([0, _plane(tiling, block, width)])
    b_off = np.array([0, channels * 2 * width])
    return Filters(u, half, signs(rows, cols, dtype), a_off, b_off, w_rows, w_cols, tiling.tables())


def transform(tiling, first, count, threads, x, filters, buffers):
    v, _, *private = buffers
    (_, H, W), (_, step_h, step_w) = tiling.lattice.inputs, tiling.lattice.step
    tasks = -(-tiling.channels * tiling.G * count // lanes(x.dtype))
    parallel(forward_tiles, tasks, threads, x.reshape(-1), H, W, step_h, step_w, filters.tables.reads,
             filters.tables.channels, first, count, tiling.rows, tiling.cols, int(filters.a_off[1]), filters.sign,
             filters.w_rows, filters.w_cols, v, private=list(zip(*private, strict=True)))  # fmt: skip


def multiply(tiling, first, count, threads, filters, buffers):
    v, m = buffers[:2]
    parallel(multiply_tiles, len(filters.half), threads, filters.half, v, count, tiling.channels, tiling.G,
             panels(tiling, lanes(v.dtype)), filters.u, filters.a_off, filters.b_off, m)  # fmt: skip


def invert(tiling, first, count, threads, filters, buffers, bias, y):
    _, m, *private = buffers
    (_, P, Q), (_, step_h, step_w) = tiling.lattice.outputs, tiling.lattice.out_phases
    tasks = tiling.G * panels(tiling, lanes(y.dtype)) * count
    parallel(inverse_tiles, tasks, threads, filters.tables.writes, first, count, tiling.G, tiling.rows, tiling.cols,
             tiling.hop_h, filters.sign, filters.w_rows, filters.w_cols, m, bias, y.reshape(-1), tiling.K, P * Q,
             step_h * Q, step_w, private=list(zip(*private, strict=True)))  # fmt: skip
