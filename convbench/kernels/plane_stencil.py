"""Depthwise correlation of images where they lie: tiles of rows, lanes along the row, no copy.

Columns beyond the image are lanes that masks leave out, rows beyond it are read from a row of zeros. A vector of
pixels serves all the taps of a chain (``kernels/plane_chains.py``). Lines are fetched well before their use, those of
y too: a plane is used up sooner than it arrives from beyond L2.
"""

from __future__ import annotations

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convbench.kernels.jit import njit
from convbench.kernels.lines import clear_line
from convbench.kernels.plane_chains import ROWS, TALL, WIDTH, Geometry
from convbench.kernels.simd import VECTOR_BYTES, Vectors, index, pointer, repeat

AHEAD = 8192  # bytes between what is used and what is fetched; 2 and 4 KiB were slower by up to a fifth on large planes


@intrinsic(prefer_literal=True)
def _tile(
    typingctx, high, width, stride, g, counts, x, x_start, zeros, row, column, first, first_start, w, w_start, bias, y,
    y_start, rows, cols,
):  # fmt: skip
    """y[p, q] = bias + Σ_{r,s} w[r, s] · x[row + p·step + r, column + q·stride + s·column_step]

    for p < rows ≤ ``high`` and q < cols, at most ``width`` vectors of them (literals), with x[h, c] = 0 outside H × W;
    y[p, q] at y_start + p·A·Q + q, x[0, 0] at x_start. stride: a tuple whose length is the columns' stride, 1 or 2.
    zeros: at least W of them. No element outside the image is read.
    """
    T, V, sw = high.literal_value, width.literal_value, stride.count
    tile = [(p, v) for p in range(T) for v in range(V)]
    signature = types.void(
        high, width, stride, g, counts, x, x_start, zeros, row, column, first, first_start, w, w_start, bias, y,
        y_start, rows, cols,
    )  # fmt: skip

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)
        lanes = vectors.lanes
        number = dict(zip(Geometry._fields, cgutils.unpack_tuple(builder, args[3]), strict=True))
        H, W, row_, column_ = number["H"], number["W"], args[8], args[9]
        plane = pointer(context, builder, sig.args[5], args[5], args[6])
        zero = pointer(context, builder, sig.args[7], args[7], index(0))
        chain = pointer(context, builder, sig.args[10], args[10], args[11])
        weight = pointer(context, builder, sig.args[12], args[12], args[13])
        target = pointer(context, builder, sig.args[15], args[15], args[16])
        x_step, y_step = builder.mul(number["step"], W), builder.mul(number["A"], number["Q"])

        def fetch(to, of):
            """Ask for the lines that a tile AHEAD will read and write."""
            for _ in range(T):
                for v in range(V):
                    vectors.prefetch(builder.gep(to, [index(v * lanes)]), write=True)
                    for f in range(sw):
                        vectors.prefetch(builder.gep(of, [index((v * sw + f) * lanes)]))
                to, of = builder.gep(to, [y_step]), builder.gep(of, [x_step])

        def add_chains(length, count, chain, weight, sums):
            """All chains of one length; gives the next weights and the sums."""

            def add_chain(i, carried):
                entry = builder.gep(chain, [builder.mul(i, index(2))])
                h = builder.add(row_, builder.load(entry))
                line = builder.add(h, builder.load(builder.gep(entry, [index(1)])))
                at, lines = builder.gep(plane, [builder.mul(line, W)]), []
                for _ in range(T + length - 1):
                    lines.append(builder.select(builder.icmp_unsigned("<", h, H), at, zero))
                    h, at = builder.add(h, number["step"]), builder.gep(at, [x_step])

                def add_column(s, carried):
                    taps, sums = carried[0], dict(zip(tile, carried[1:], strict=True))
                    c = builder.add(column_, builder.mul(s, number["column_step"]))
                    masks = [vectors.inside(builder.add(c, index(i * lanes)), W) for i in range(V * sw)]
                    weights = [vectors.splat(builder.load(builder.gep(taps, [index(m)]))) for m in range(length)]
                    for j, line in enumerate(lines):
                        of = builder.gep(line, [c])
                        read = [vectors.load(of, index(i * lanes), mask) for i, mask in enumerate(masks)]
                        if sw == 2:
                            read = [vectors.pick(*read[2 * v : 2 * v + 2], range(0, 2 * lanes, 2)) for v in range(V)]
                        for v, pixels in enumerate(read):
                            for m in range(length):
                                if (j - m, v) in sums:
                                    sums[j - m, v] = vectors.fma(weights[m], pixels, sums[j - m, v])
                    return [builder.gep(taps, [index(length)]), *sums.values()]

                return repeat(builder, number["S"], carried, add_column)

            return repeat(builder, count, [weight, *sums], add_chain)

        ahead = index(AHEAD * 8 // x.dtype.bitwidth)
        here = builder.add(builder.mul(row_, W), column_)
        fetch(builder.gep(target, [ahead]), builder.gep(plane, [builder.add(here, ahead)]))
        sums = [vectors.splat(args[14])] * len(tile)
        for n, kind in enumerate(counts):
            count = builder.extract_value(builder.extract_value(args[4], n), 0)
            weight, *sums = add_chains(len(kind), count, chain, weight, sums)
            chain = builder.gep(chain, [builder.mul(count, index(2))])
        masks = vectors.masks(index(0), args[18], V)
        for p in range(T):
            with builder.if_then(builder.icmp_signed("<", index(p), args[17])):
                to = builder.gep(target, [builder.mul(y_step, index(p))])
                for v in range(V):
                    vectors.store(sums[p * V + v], to, index(v * lanes), masks[v])
        return context.get_dummy_value()

    return signature, codegen


@njit
def correlate_planes(begin, end, x, weight, first, counts, bias, y, numbers, stride, scratch):
    """Tasks (n, k, o, band of rows), the last fastest; x, weight, y flat; scratch (private, uint8): W zeros."""
    n = numbers
    g = Geometry(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12], n[13], n[14], n[15],
                 n[16], n[17])  # fmt: skip
    lanes, taps, zeros = VECTOR_BYTES // y.itemsize, weight.size // g.outputs, scratch.view(y.dtype)
    clear_line(zeros, 0, g.W)
    for task in range(begin, end):
        plane, band = divmod(task, g.bands)
        output, o = divmod(plane, g.O)
        k, x_start, chain = output % g.outputs, output // g.multiplier * g.x_channel, 2 * o * g.chains
        top = band * g.rows
        end_row = min(g.P, top + g.rows)
        for a in range(top, min(top + g.A, end_row)):
            p = a
            while p < end_row:
                row, left, high = p * g.stride - g.before, (end_row - p + g.A - 1) // g.A, ROWS
                for q in range(0, g.Q, WIDTH * lanes):
                    column, cols, at = q * len(stride) - g.left, g.Q - q, (plane * g.P + p) * g.Q + q
                    if WIDTH > 1 and cols > lanes:
                        _tile(ROWS, WIDTH, stride, g, counts, x, x_start, zeros, row, column, first, chain, weight,
                              k * taps, bias[k], y, at, left, cols)  # fmt: skip
                    elif WIDTH > 1 and lanes >= g.Q and left > ROWS:
                        high = TALL
                        _tile(TALL, 1, stride, g, counts, x, x_start, zeros, row, column, first, chain, weight,
                              k * taps, bias[k], y, at, left, cols)  # fmt: skip
                    else:
                        _tile(ROWS, 1, stride, g, counts, x, x_start, zeros, row, column, first, chain, weight,
                              k * taps, bias[k], y, at, left, cols)  # fmt: skip
                p += g.A * high
