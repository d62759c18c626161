"""A tile's way through ``fft_columns``: its first pass, the sum along a row, its last pass, in LLVM vector code.

A tile is a complex one, two planes of rows of pixels; a pass takes eight rows at once, real and imaginary.
"""

from __future__ import annotations

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convbench.kernels.fft import Complex
from convbench.kernels.simd import VECTOR_BYTES, Vectors, index, pointer, repeat, repeat_any

RADIX = 8  # rows of a pass
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

        count = together.literal_value
        end = builder.mul(args[6], index(count * v.lanes))
        carried = repeat_any(builder, args[6], [v.zero] * 4, outputs(index(0), count))
        carried = repeat_any(builder, args[7], carried, outputs(end, 1))
        last = paired(carried)
        end = builder.add(end, builder.mul(args[7], index(v.lanes)))
        store([*last, *last], planes, builder.sub(end, index(v.lanes)))
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def first_pass(typingctx, x, start, x_step, h, h_step, H, low, high, t, zeros, at, plane, t_step, w, w_start, vectors):
    """The first pass of a forward transform: eight rows of x, ``x_step`` apart, to t.

    start, h, low, high: pairs, of the real parts and of the imaginary parts: columns low ≤ j < high of ``vectors``
    vectors lie at x[start + j], the others are zero, as are rows q but those of 0 ≤ h + q·h_step < H.
    t: planes ``plane`` apart, rows ``t_step``; t[zeros …] is a row of zeros.
    """
    signature = types.void(x, start, x_step, h, h_step, H, low, high, t, zeros, at, plane, t_step, w, w_start, vectors)

    def codegen(context, builder, sig, args):
        (_, _, x_step, _, h_step, H, _, _, _, zeros, at, plane, t_step, _, w_start, vectors) = args
        c = Complex(Vectors(context, builder, x.dtype))
        v = c.vectors
        target, none = (pointer(context, builder, sig.args[8], args[8], first) for first in (at, zeros))
        planes = target, builder.gep(target, [plane])
        table = pointer(context, builder, sig.args[13], args[13], w_start)
        sources, bounds = [], []
        for part in range(2):
            start, h, low, high = (builder.extract_value(args[i], part) for i in (1, 3, 6, 7))
            row, rows = pointer(context, builder, sig.args[0], args[0], start), []
            for q in range(RADIX):
                there = builder.icmp_unsigned("<", builder.add(h, builder.mul(h_step, index(q))), H)
                rows.append(builder.select(there, builder.gep(row, [builder.mul(x_step, index(q))]), none))
            sources.append(rows)
            bounds.append((low, builder.sub(high, low)))

        def vector(i, _):
            j = builder.mul(i, index(v.lanes))
            masks = [v.inside(builder.sub(j, low), extent) for low, extent in bounds]
            values = []
            for q in range(RADIX):
                values.append(tuple(v.load(rows[q], j, mask) for rows, mask in zip(sources, masks, strict=True)))
            for q, value in enumerate(c.turned(c.dft8(values), table)):
                c.store(value, *planes, builder.add(j, builder.mul(t_step, index(q))))
            return []

        repeat(builder, vectors, [], vector)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def last_pass(typingctx, t, at, plane, t_step, dump, w, w_start, y, to, y_step, rows, cols, add, vectors):
    """The last pass of an inverse transform: eight rows of t, ``t_step`` apart, to y, plus ``add``.

    to, rows, cols: pairs, of the real parts and of the imaginary parts: ``rows`` ≤ 8 of them, ``y_step`` apart, and
    ``cols`` of the columns of ``vectors`` vectors are written; the other rows to t[dump …].
    """
    signature = types.void(t, at, plane, t_step, dump, w, w_start, y, to, y_step, rows, cols, add, vectors)

    def codegen(context, builder, sig, args):
        (_, at, plane, t_step, dump, _, w_start, _, _, y_step, _, _, add, vectors) = args
        c = Complex(Vectors(context, builder, t.dtype))
        v = c.vectors
        source, other = (pointer(context, builder, sig.args[0], args[0], first) for first in (at, dump))
        planes = builder.gep(source, [plane]), source  # swapped: that conjugates every root
        table = pointer(context, builder, sig.args[5], args[5], w_start)
        added = v.splat(add)
        targets, widths = [], []
        for part in range(2):
            to, rows, cols = (builder.extract_value(args[i], part) for i in (8, 10, 11))
            row, there = pointer(context, builder, sig.args[7], args[7], to), []
            for q in range(RADIX):
                wanted = builder.icmp_signed("<", index(q), rows)
                there.append(builder.select(wanted, builder.gep(row, [builder.mul(y_step, index(q))]), other))
            targets.append(there)
            widths.append(cols)

        def vector(i, _):
            j = builder.mul(i, index(v.lanes))
            masks = [v.inside(j, cols) for cols in widths]
            values = [c.load(*planes, builder.add(j, builder.mul(t_step, index(q)))) for q in range(RADIX)]
            for q, (imaginary, real) in enumerate(c.dft8(c.turned(values, table))):
                for rows, value, mask in zip(targets, (real, imaginary), masks, strict=True):
                    v.store(builder.fadd(value, added), rows[q], j, mask)
            return []

        repeat(builder, vectors, [], vector)
        return context.get_dummy_value()

    return signature, codegen
