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
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convbench.kernels.fft import Complex, forward, inverse, lanes, strip, twiddles
from convbench.kernels.fft_planes import first_pixels
from convbench.kernels.jit import njit
from convbench.kernels.lattice import Lattice, read_rows, write_rows
from convbench.kernels.layout import Part, aligned_empty, round_up
from convbench.kernels.overlap_save import Tables, Tiling
from convbench.kernels.simd import VECTOR_BYTES, Vectors, index, pointer, repeat
from convbench.kernels.threads import parallel
from convbench.kernels.ticks import CALL, mark
from convbench.spec import ConvSpec

RADIX = 8  # of the passes that read x and write y
HEIGHTS = (32, 64, 128, 256, 512)  # of tiles: eight blocks of rows, at least four each
WIDEST = 32  # vectors of a tile's outputs: eight rows of 64 bytes a vector, real and imaginary, stay in L1
TRANSFORM, MULTIPLY, INVERT = 1, 2, 3  # phases of a unit
TOGETHER = 4 if VECTOR_BYTES == 64 else 2  # vectors of a sum in registers: 4·4 accumulators, 4 weights and pixels


@intrinsic(prefer_literal=True)
def correlate_row(typingctx, t, re, im, w, w_start, pairs, blocks, singles, x, soon, y, wanted, together):
    """t[q] = Σ_{s ≤ 2·pairs} t[q + s] · w[s], complex, in place, for q < (blocks · together + singles) · L − 1.

    t[q] at re + q and im + q, of which 2·pairs more vectors' lanes are read; (re, im) of w[s] at w_start + 2·s;
    pairs ≥ 1. Odd taps and even ones but the first have sums of their own over the pixels that both read, the latter's
    one column to the left: a vector that lies across two lines of cache is loaded half as often. soon, wanted: pairs of
    places in x and y, of which so many elements are asked for, in the next tile's and this one's case from beyond L2.
    """
    signature = types.void(t, re, im, w, w_start, pairs, blocks, singles, x, soon, y, wanted, together)

    def codegen(context, builder, sig, args):
        v = Vectors(context, builder, t.dtype)
        planes = [pointer(context, builder, sig.args[0], args[0], start) for start in args[1:3]]
        weights = pointer(context, builder, sig.args[3], args[3], args[4])
        ahead = [
            (pointer(context, builder, sig.args[array], args[array], start), array == 10)
            for array in (8, 10)
            for start in cgutils.unpack_tuple(builder, args[array + 1])
        ]

        def weight(s, count):
            at = builder.gep(weights, [builder.mul(s, index(2))])
            parts = [v.splat(builder.load(builder.gep(at, [index(part)]))) for part in range(2 * count)]
            return list(zip(parts[::2], parts[1::2], strict=True))

        def add(x, w, total):
            re, im = v.fma(x[0], w[0], total[0]), v.fma(x[0], w[1], total[1])
            return v.fma(builder.fneg(x[1]), w[1], re), v.fma(x[1], w[0], im)

        def flat(sums):
            return [part for total in sums for part in total]

        def paired(parts):
            return list(zip(parts[::2], parts[1::2], strict=True))

        def outputs(first, count):
            """A body of ``repeat``: ``count`` vectors from ``first`` + i·count on; carries the sums of the last."""

            def body(i, carried):
                q = builder.add(first, builder.mul(i, index(count * v.lanes)))
                here = [builder.gep(plane, [q]) for plane in planes]
                for place, write in ahead:
                    for j in range(count):
                        line = builder.gep(place, [builder.add(q, index(j * v.lanes))])
                        v.prefetch(line, level=1 if write else 2, write=write)

                def pixels(s, j):
                    at = builder.add(s, index(j * v.lanes))
                    return v.load(here[0], at), v.load(here[1], at)

                def pair(a, sums):
                    s = builder.add(builder.mul(a, index(2)), index(1))
                    odd, even = weight(s, 2)
                    updated = []
                    for j, (at_odd, at_even) in enumerate(zip(paired(sums)[::2], paired(sums)[1::2], strict=True)):
                        x = pixels(s, j)
                        updated += [add(x, odd, at_odd), add(x, even, at_even)]
                    return flat(updated)

                zero = v.zero, v.zero
                (first_weight,) = weight(index(0), 1)
                start = [total for j in range(count) for total in (add(pixels(index(0), j), first_weight, zero), zero)]
                sums = paired(repeat(builder, args[5], flat(start), pair))
                chain = [*paired(carried), *sums]
                before = builder.select(builder.icmp_signed(">", q, index(0)), index(-v.lanes), index(0))
                for j in range(count):  # the first stores the vector before; at the row's start it is overwritten
                    store(chain[2 * j : 2 * j + 4], here, before if j == 0 else index((j - 1) * v.lanes))
                return flat(chain[-2:])

            return body

        def store(sums, base, at):
            odd, even, _, following = sums
            for part in range(2):
                moved = v.pick(even[part], following[part], range(1, v.lanes + 1))
                v.store(builder.fadd(odd[part], moved), base[part], at)

        entry = [v.zero] * 4
        end = builder.mul(args[6], index(args_together * v.lanes))
        carried = optional(builder, args[6], entry, outputs(index(0), args_together))
        carried = optional(builder, args[7], carried, outputs(end, 1))
        last = paired(carried)
        end = builder.add(end, builder.mul(args[7], index(v.lanes)))
        store([*last, *last], planes, builder.sub(end, index(v.lanes)))
        return context.get_dummy_value()

    args_together = together.literal_value
    return signature, codegen


def optional(builder, count, carried, body):
    """``repeat`` for count ≥ 0."""
    before, some, done = builder.block, builder.append_basic_block("some"), builder.append_basic_block("some.done")
    builder.cbranch(builder.icmp_signed(">", count, index(0)), some, done)
    builder.position_at_end(some)
    updated = repeat(builder, count, carried, body)
    after = builder.block
    builder.branch(done)
    builder.position_at_end(done)
    values = []
    for new, old in zip(updated, carried, strict=True):
        value = builder.phi(new.type)
        value.add_incoming(old, before)
        value.add_incoming(new, after)
        values.append(value)
    return values


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


@intrinsic
def first_pass(typingctx, x, start, x_step, low, high, t, at, plane, t_step, w, w_start, vectors):
    """The first pass of a forward transform: eight rows of x, ``x_step`` apart, to t.

    start, low, high: pairs, of the real parts and of the imaginary parts: columns low ≤ j < high of ``vectors`` vectors
    lie at x[start + j], the others are zero. t: planes ``plane`` apart, rows ``t_step``.
    """
    signature = types.void(x, start, x_step, low, high, t, at, plane, t_step, w, w_start, vectors)

    def codegen(context, builder, sig, args):
        c = Complex(Vectors(context, builder, x.dtype))
        v = c.vectors
        starts, lows, highs = (cgutils.unpack_tuple(builder, args[i]) for i in (1, 3, 4))
        sources = [pointer(context, builder, sig.args[0], args[0], first) for first in starts]
        extents = [builder.sub(high, low) for low, high in zip(lows, highs, strict=True)]
        target = pointer(context, builder, sig.args[5], args[5], args[6])
        planes = target, builder.gep(target, [args[7]])
        table = pointer(context, builder, sig.args[9], args[9], args[10])

        def vector(i, _):
            j = builder.mul(i, index(v.lanes))
            masks = [v.inside(builder.sub(j, low), extent) for low, extent in zip(lows, extents, strict=True)]
            rows = [builder.add(j, builder.mul(args[2], index(q))) for q in range(RADIX)]
            values = [tuple(v.load(*at) for at in zip(sources, (row, row), masks, strict=True)) for row in rows]
            for q, value in enumerate(c.turned(c.dft8(values), table)):
                c.store(value, *planes, builder.add(j, builder.mul(args[8], index(q))))
            return []

        repeat(builder, args[11], [], vector)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def last_pass(typingctx, t, at, plane, t_step, w, w_start, y, to, y_step, rows, cols, add, vectors):
    """The last pass of an inverse transform: eight rows of t, ``t_step`` apart, to y, plus ``add``.

    to, rows, cols: pairs, of the real parts and of the imaginary parts: ``rows`` ≤ 8 of them, ``y_step`` apart, and
    ``cols`` of the columns of ``vectors`` vectors are written.
    """
    signature = types.void(t, at, plane, t_step, w, w_start, y, to, y_step, rows, cols, add, vectors)

    def codegen(context, builder, sig, args):
        c = Complex(Vectors(context, builder, t.dtype))
        v = c.vectors
        source = pointer(context, builder, sig.args[0], args[0], args[1])
        planes = builder.gep(source, [args[2]]), source  # swapped: that conjugates every root
        table = pointer(context, builder, sig.args[4], args[4], args[5])
        starts, rows, cols = (cgutils.unpack_tuple(builder, args[i]) for i in (7, 9, 10))
        targets = [pointer(context, builder, sig.args[6], args[6], start) for start in starts]
        added = v.splat(args[11])

        def vector(i, _):
            j = builder.mul(i, index(v.lanes))
            masks = [v.inside(j, count) for count in cols]
            values = [c.load(*planes, builder.add(j, builder.mul(args[3], index(q)))) for q in range(RADIX)]
            for q, (imaginary, real) in enumerate(c.dft8(c.turned(values, table))):
                row = builder.add(j, builder.mul(args[8], index(q)))
                for part, value in enumerate((real, imaginary)):
                    with builder.if_then(builder.icmp_signed("<", index(q), rows[part])):
                        v.store(builder.fadd(value, added), targets[part], row, masks[part])
            return []

        repeat(builder, args[12], [], vector)
        return context.get_dummy_value()

    return signature, codegen


@njit
def convolve_tiles(
    begin, end, ticks, x, H, W, down, step, reads, channels, writes, G, rows, vectors, outputs, taps, w, w_rows,
    w_inner, bias, y, y_steps, scratch,
):  # fmt: skip
    """Tasks: units, each read, multiplied and written while its tiles are in cache. scratch (private): t.

    vectors, outputs: vectors of a row that are read, and that are summed. down, step: of x, as in ``read_rows``;
    y_steps: elements of y from one channel, row and column of a tile to the next.
    """
    mark(ticks, CALL)
    t = scratch
    width = VECTOR_BYTES // t.itemsize
    pitch = (vectors | 1) * width
    plane = rows * pitch
    inner = rows // RADIX
    together = strip(inner)
    start, one = np.int64(0), np.int64(1)
    for unit in range(begin, end):
        pair, g = divmod(unit, G)
        first, second = 2 * pair, min(2 * pair + 1, len(reads) - 1)
        offset, row, column = channels[g, 0], channels[g, 1], channels[g, 2]
        top, bottom = min(reads[first, 1], reads[second, 1]) + row, max(reads[first, 1], reads[second, 1]) + row
        if step == 1 and second > first and top >= 0 and bottom + (rows - 1) * down < H:
            left, right = reads[first, 2] + column, reads[second, 2] + column
            re = reads[first, 0] + offset + (reads[first, 1] + row) * W + left
            im = reads[second, 0] + offset + (reads[second, 1] + row) * W + right
            for k in range(inner):
                first_pass(x, (re + k * down * W, im + k * down * W), inner * down * W, (-left, -right),
                           (W - left, W - right), t, k * pitch, plane, inner * pitch, w_rows, 2 * (RADIX - 1) * k,
                           vectors)  # fmt: skip
        else:
            for part in range(2):
                tile = first + part * (second - first)
                high = H if second > first or part == 0 else 0  # of an image that is not there
                read_rows(x, reads[tile, 0] + offset, reads[tile, 1] + row, reads[tile, 2] + column, down, start, step,
                          (high, W), t, part * plane, pitch, rows, vectors * width)  # fmt: skip
            for k in range(inner):
                first_pass(t, (k * pitch, k * pitch + plane), inner * pitch, (start, start),
                           (vectors * width, vectors * width), t, k * pitch, plane, inner * pitch, w_rows,
                           2 * (RADIX - 1) * k, vectors)  # fmt: skip
        mark(ticks, TRANSFORM)
        high_1, wide_1 = (writes[second, 1], writes[second, 2]) if second > first else (start, start)
        high_0, wide_0 = writes[first, 1], writes[first, 2]
        to_0, to_1 = writes[first, 0] + g * y_steps[0], writes[second, 0] + g * y_steps[0]
        soon = first_pixels(min(unit + 1, end - 1), G, reads, channels, W)
        for block in range(0, rows, inner):
            at = block * pitch
            for v in range(0, vectors, together):
                forward(t, at + v * width, at + v * width + plane, inner, pitch, min(together, vectors - v), width,
                        w_inner, one)  # fmt: skip
            for i in range(block, block + inner):
                filters, here = (g * rows + i) * taps * 2, i * pitch
                correlate_row(t, here, here + plane, w, filters, taps // 2, outputs // TOGETHER, outputs % TOGETHER, x,
                              (soon[0] + i * down * W, soon[1] + i * down * W), y,
                              (to_0 + i * y_steps[1], to_1 + i * y_steps[1]), TOGETHER)  # fmt: skip
            for v in range(0, outputs, together):
                inverse(t, at + v * width, at + v * width + plane, inner, pitch, min(together, outputs - v), width,
                        w_inner, one)  # fmt: skip
        mark(ticks, MULTIPLY)
        add = bias[g] if bias.size else y.dtype.type(0)
        if y_steps[2] == 1:
            for k in range(inner):
                written = (high_0 - k + inner - 1) // inner, (high_1 - k + inner - 1) // inner
                last_pass(t, k * pitch, plane, inner * pitch, w_rows, 2 * (RADIX - 1) * k, y,
                          (to_0 + k * y_steps[1], to_1 + k * y_steps[1]), inner * y_steps[1], written, (wide_0, wide_1),
                          add, (max(wide_0, wide_1) + width - 1) // width)  # fmt: skip
        else:
            for k in range(inner):
                last_pass(t, k * pitch, plane, inner * pitch, w_rows, 2 * (RADIX - 1) * k, t,
                          (k * pitch, k * pitch + plane), inner * pitch, (start + RADIX, start + RADIX),
                          (outputs * width, outputs * width), add, outputs)  # fmt: skip
            zero = y.dtype.type(0)
            write_rows(t, start, pitch, high_0, wide_0, y, to_0, y_steps[1], y_steps[2], zero)
            write_rows(t, plane, pitch, high_1, wide_1, y, to_1, y_steps[1], y_steps[2], zero)
        mark(ticks, INVERT)


class Filters(NamedTuple):
    """Prepared filters and the tables that go with them."""

    w: np.ndarray  # flat (K, rows, taps, re | im)
    w_rows: np.ndarray
    w_inner: np.ndarray
    tables: Tables


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
    """Scratch: a pair of tiles for each thread."""
    return [((threads, tile(tiling, lanes(dtype))), dtype)]


def prepare(tiling: Tiling, block: int, threads: int, weight: np.ndarray) -> Filters:
    """Spectra of the columns of the dense taps (K, 1, R, S)."""
    dtype, rows = weight.dtype, tiling.rows
    w = aligned_empty((len(weight) * rows * taps(tiling) * 2,), dtype)
    w_rows = twiddles(rows, dtype.name)
    columns = aligned_empty((threads, 2 * rows * round_up(weight.shape[3], lanes(dtype))), dtype)
    parallel(forward_filters, len(weight), threads, weight, rows, taps(tiling), w, w_rows, private=list(columns))
    return Filters(w, w_rows, twiddles(rows // RADIX, dtype.name), tiling.tables())


def convolve(tiling, threads, ticks, x, filters, buffers, bias, y):
    """All units, each by one thread."""
    (_, H, W), (_, step_h, step_w) = tiling.lattice.inputs, tiling.lattice.step
    (_, P, Q), (_, apart_h, apart_w) = tiling.lattice.outputs, tiling.lattice.out_phases
    parallel(convolve_tiles, units(tiling), threads, ticks, x.reshape(-1), H, W, step_h, step_w, filters.tables.reads,
             filters.tables.channels, filters.tables.writes, tiling.G, tiling.rows,
             *vectors(tiling, lanes(x.dtype)), taps(tiling), filters.w, filters.w_rows, filters.w_inner, bias,
             y.reshape(-1), (P * Q, apart_h * Q, apart_w), private=list(buffers[0]))  # fmt: skip
