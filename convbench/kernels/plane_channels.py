"""Depthwise correlation with a vector of channels in the lanes: small planes, and filters of many taps.

Planes of L channels are transposed to pixels of L channels each, in cache; every tap of every output is then one
multiply-add of whole vectors, and rows and columns of the filter that find nothing but padding are left out. What
comes out is transposed back a few rows at a time. The last block of channels overlaps the one before, as the last
vector of a plane's pixels does: no masks.

    pixels[h, j, c] = x[k₀ + c, h, j − left], 0 beyond the image's columns
    y[k₀ + c, p, q] = bias + Σ_{r, s} w[k₀ + c, r, s] · pixels[p·stride − before + r·dilation, q·step + s·dilation, c]
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convbench.kernels.jit import njit
from convbench.kernels.layout import round_up
from convbench.kernels.lines import clear_line
from convbench.kernels.plane_forms import apart as rows_apart
from convbench.kernels.simd import VECTOR_BYTES, Vectors, index, pointer, repeat, repeat_any, viewed
from convbench.kernels.transpose import apart, transposed
from convbench.spec import ConvSpec

WIDTHS = 4, 6, 7, 8, 10, 12, 14  # outputs of a tile, all of one row: with a weight they fit 16 registers
LEAVE = 4  # vectors of pixels, at least, that are transposed back at a time


class Sizes(NamedTuple):
    """What the kernel knows of a problem, as int64 in this order."""

    channels: int
    blocks: int  # of channels
    plane: int  # pixels of x
    pitch: int  # pixels of a row with its padding
    P: int
    Q: int
    S: int
    down: int  # dilations
    along: int
    behind: int  # rows of taps that one row of y is ahead of the next
    rows: int  # of y that are transposed back together
    tiles: int  # of a row of y
    outputs: int  # elements of scratch before them


FIELDS = len(Sizes._fields)


class Form(NamedTuple):
    """What a tile is compiled for, each number as a tuple's length."""

    height: tuple[int, ...]  # rows of outputs, 1 or 2
    width: tuple[int, ...]  # outputs of a row
    step: tuple[int, ...]  # stride of columns, 1 or 2


def lanes_of(spec: ConvSpec) -> int:
    return VECTOR_BYTES // spec.itemsize


def form(spec: ConvSpec) -> Form:
    """The code for a lifted problem: a tile reads a weight beside its pixels, and what overhangs the row is in vain."""
    Q = spec.output_spatial[2]
    width = min(WIDTHS, key=lambda width: (width + 1) * -(-Q // width))
    return Form((0,) * (2 if paired(spec) else 1), (0,) * width, (0,) * spec.stride[2])


def paired(spec: ConvSpec) -> bool:
    """Whether neighbouring rows of outputs read the same rows of x, and there are registers for both."""
    A, B = rows_apart(spec)
    return VECTOR_BYTES == 64 and A == 1 and spec.filter[1] >= B


def pitch_of(spec: ConvSpec) -> int:
    """A row, and padding before it, which is that after the row above."""
    return spec.spatial[2] + max(spec.padding[2])


def suited(spec: ConvSpec) -> bool:
    """Whether a lifted problem is one of planes, with a vector of channels and of pixels at least."""
    two = spec.spatial[0] == spec.filter[0] == spec.output_spatial[0] == 1 and spec.padding[0] == (0, 0)
    least = min(spec.C, spec.spatial[1] * spec.spatial[2], spec.output_spatial[1] * spec.output_spatial[2])
    return two and spec.K == spec.C and least >= lanes_of(spec) and spec.stride[2] <= 2


def firsts(spec: ConvSpec) -> np.ndarray:
    """Of each block, its first channel."""
    lanes = lanes_of(spec)
    return np.minimum(np.arange(0, spec.K, lanes), spec.K - lanes)


def _found(first: int, step: int, count: int, reach: int, extent: int) -> tuple[int, int]:
    """Taps t of ``count`` with some of first + t·step + [0, reach] in [0, extent): the first, and the end."""
    low = min(count, max(0, -((first + reach) // step)))
    return low, max(low, min(count, (extent - 1 - first) // step + 1))


def taps(spec: ConvSpec) -> tuple[np.ndarray, np.ndarray]:
    """What finds pixels: (P, 5) for outputs p and p + 1, and (tiles, 2).

    Rows of x from the second number on meet those of p's filter from the first on; then come how many of them p alone
    reads, how many both, how many p + 1 alone. For some output of a tile, the first column, and how many.
    """
    (_, H, W), (_, P, Q), (_, R, S) = spec.spatial, spec.output_spatial, spec.filter
    (_, sh, sw), (_, dh, dw), width = spec.stride, spec.dilation, len(form(spec).width)
    rows, columns = [], []
    for top in (p * sh - spec.padding[1][0] for p in range(P)):
        low, high = _found(top, dh, R, 0, H)
        after, end = (
            (end + rows_apart(spec)[1] for end in _found(top + sh, dh, R, 0, H)) if paired(spec) else (high, high)
        )
        if low == high:
            low = high = after
        after = max(low, after)
        middle = min(high, after)
        rows.append((low, top + low * dh, middle - low, high - middle, end - max(high, after)))
    for q in range(0, Q, width):
        low, high = _found(q * sw - spec.padding[2][0], dw, S, (width - 1) * sw, W)
        columns.append((min(low, S - 1), max(1, high - low)))  # if none does, one that finds zeros
    return np.array(rows), np.array(columns)


def together(spec: ConvSpec) -> int:
    """Rows of y that are transposed back together: of those with enough pixels, what leaves the fewest in vain."""
    (_, P, Q), lanes = spec.output_spatial, lanes_of(spec)
    least = min(P, -(-LEAVE * lanes // Q))

    def outputs(rows: int) -> int:
        return -(-P // rows) * (rows * Q + round_up(rows * Q, lanes))

    return min(range(least, min(P, 3 * least) + 1), key=outputs)


def numbers(spec: ConvSpec) -> np.ndarray:
    """int64: the :class:`Sizes`; ``taps``; where in ``pixels`` each of a plane's lies."""
    (_, H, W), (_, P, Q), lanes, pitch = spec.spatial, spec.output_spatial, lanes_of(spec), pitch_of(spec)
    rows, columns = taps(spec)
    sizes = Sizes(
        channels=spec.C, blocks=len(firsts(spec)), plane=H * W, pitch=pitch, P=P, Q=Q, S=spec.filter[2],
        down=spec.dilation[1], along=spec.dilation[2], behind=rows_apart(spec)[1], rows=together(spec),
        tiles=len(columns), outputs=elements(spec)[0],
    )  # fmt: skip
    places = (np.arange(H)[:, None] * pitch + spec.padding[2][0] + np.arange(W)) * lanes
    return np.concatenate([np.array(part, np.int64).reshape(-1) for part in (sizes, rows, columns, places)])


def elements(spec: ConvSpec) -> tuple[int, int]:
    """Scratch of a thread: the pixels of a block and outputs; tiles overhang either."""
    height, width, step = map(len, form(spec))
    pixels = spec.spatial[1] * pitch_of(spec) + max(spec.padding[2]) + width * step
    outputs = round_up(together(spec), height) * spec.output_spatial[2] + width
    return pixels * lanes_of(spec), outputs * lanes_of(spec)


@intrinsic
def _to_pixels(typingctx, x, start, plane, places, first, pixels):
    """L pixels from ``start`` on of L planes, ``plane`` elements apart, to their places: numbers from ``first`` on."""
    signature = types.void(x, start, plane, places, first, pixels)

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)
        first = pointer(context, builder, x, args[0], args[1])
        place = pointer(context, builder, places, args[3], args[4])
        to = pointer(context, builder, pixels, args[5], index(0))
        for j, value in enumerate(transposed(vectors, apart(builder, first, args[2], vectors.lanes))):
            vectors.store(value, to, builder.load(builder.gep(place, [index(j)])))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _to_planes(typingctx, pixels, at, y, start, plane):
    """L pixels from ``at`` on to L planes, ``plane`` elements apart."""
    signature = types.void(pixels, at, y, start, plane)

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, y.dtype)
        first = pointer(context, builder, pixels, args[0], args[1])
        to = apart(builder, pointer(context, builder, y, args[2], args[3]), args[4], vectors.lanes)
        found = transposed(vectors, apart(builder, first, index(vectors.lanes), vectors.lanes))
        for address, value in zip(to, found, strict=True):
            vectors.prefetch(builder.gep(address, [index(vectors.lanes)]), write=True)  # where the next pixels go
            vectors.store(value, address, index(0))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _tile(typingctx, form, pixels, start, down, along, w, w_start, w_down, behind, rows, columns, bias, k, to, y_down):
    """Outputs of one row or two, to pixels[to …] and ``y_down`` elements further: sums of taps of vectors of channels.

    rows: of pixels, those that the first output row alone reads, those that both read, those of the second alone.
    columns ≥ 1: taps of each. down, along: elements of ``pixels`` from one tap to the next; w_down: of w from one row
    of taps to the next; behind: rows of taps by which the second output row lags.
    """
    signature = types.void(
        form, pixels, start, down, along, w, w_start, w_down, behind, rows, columns, bias, k, to, y_down
    )

    def codegen(context, builder, sig, args):
        vectors, (high, wide, stride) = Vectors(context, builder, w.dtype), map(len, form)
        lanes = vectors.lanes
        down_, along_, w_down_, columns_ = (args[i] for i in (3, 4, 7, 10))
        back = builder.neg(builder.mul(args[8], w_down_))
        first = vectors.load(pointer(context, builder, bias, args[11], args[12]), index(0))

        def add_rows(count, readers, carried):
            def tap(s, carried):
                of, weight, *sums = carried
                taps = [vectors.load(weight, back if p else index(0)) for p in readers]
                for i in range(wide):
                    found = vectors.load(of, index(i * stride * lanes))
                    for p, by in zip(readers, taps, strict=True):
                        sums[p * wide + i] = vectors.fma(found, by, sums[p * wide + i])
                return [builder.gep(of, [along_]), builder.gep(weight, [index(lanes)]), *sums]

            def row(r, carried):
                of, weight, *sums = carried
                sums = repeat(builder, columns_, carried, tap)[2:]
                return [builder.gep(of, [down_]), builder.gep(weight, [w_down_]), *sums]

            return repeat_any(builder, count, carried, row)

        carried = [pointer(context, builder, array, args[i], args[i + 1]) for array, i in ((pixels, 1), (w, 5))]
        carried += [first] * (high * wide)
        counts = cgutils.unpack_tuple(builder, args[9])
        for count, readers in zip(counts, ((0,), (0, 1), (1,))[: 2 * high - 1], strict=False):
            carried = add_rows(count, readers, carried)
        outputs = pointer(context, builder, pixels, args[1], args[13])
        for i, value in enumerate(carried[2:]):
            row = builder.gep(outputs, [args[14]]) if i >= wide else outputs
            vectors.store(value, row, index(i % wide * lanes))
        return context.get_dummy_value()

    return signature, codegen


@njit
def correlate_channels(begin, end, x, weight, form, bias, y, numbers, scratch):
    """Tasks (n, block of channels), the last fastest; x, y flat, weight (blocks, taps, L) flat.

    numbers: of the function of that name; scratch (private, uint8): ``elements``.
    """
    n, pixels = numbers, viewed(scratch, y)
    g = Sizes(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12])
    columns = FIELDS + 5 * g.P
    places = columns + 2 * g.tiles
    lanes, taps = VECTOR_BYTES // y.itemsize, weight.size // g.blocks
    high, wide, step = len(form[0]), len(form[1]), len(form[2])
    down, along = g.down * g.pitch * lanes, g.along * lanes
    clear_line(pixels, 0, g.outputs)
    for task in range(begin, end):
        image, block = divmod(task, g.blocks)
        k = min(block * lanes, g.channels - lanes)
        x_start, y_start = (image * g.channels + k) * g.plane, (image * g.channels + k) * g.P * g.Q
        for i in range(0, g.plane, lanes):
            pixel = min(i, g.plane - lanes)
            _to_pixels(x, x_start + pixel, g.plane, n, places + pixel, pixels)
        for top in range(0, g.P, g.rows):
            p = min(top, g.P - g.rows)
            for i in range(0, g.rows, high):
                at = FIELDS + 5 * (p + i)
                r, h, rows = n[at], n[at + 1], (n[at + 2], n[at + 3], n[at + 4])
                if i + high > g.rows:
                    rows = (rows[0] + rows[1], 0, 0)
                for t in range(g.tiles - 1, -1, -1):  # what overhangs a row is overwritten by the next one's first
                    s, some, q = n[columns + 2 * t], n[columns + 2 * t + 1], t * wide
                    _tile(form, pixels, (h * g.pitch + q * step + s * g.along) * lanes, down, along, weight,
                          block * taps + (r * g.S + s) * lanes, g.S * lanes, g.behind, rows, some, bias, k,
                          g.outputs + (i * g.Q + q) * lanes, g.Q * lanes)  # fmt: skip
            for i in range(0, g.rows * g.Q, lanes):
                pixel = min(i, g.rows * g.Q - lanes)
                _to_planes(pixels, g.outputs + pixel * lanes, y, y_start + p * g.Q + pixel, g.P * g.Q)
