"""Products of spectra with frequencies in the lanes: Y[k] = Σ_c X[c] · W[k, c] at every frequency.

A block of frequencies is one vector wide and stored as [re | im], so that every operand is read and written in the
order in which it lies in memory. This product suits few tiles or few channels; with many of both, ``fft_tiled``
puts tiles in the rows and channels in the panels of ``brgemm``.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from convbench.kernels.fft import Complex, leaf
from convbench.kernels.jit import njit
from convbench.kernels.simd import INDEX, VECTOR_BYTES, Vectors, index, pointer

ROWS = 4  # output channels a register tile: 4·4 accumulators and the operands' vectors stay in registers


@intrinsic(prefer_literal=True)
def _dot(typingctx, x, x_start, w, w_start, w_step, y, y_start, depth, rows):
    """y[r] = Σ_{c < depth} x[c] · w[r, c] for ``rows`` (a literal) r, complex, one vector of frequencies.

    [re | im] of x[c] at x_start + c·2L, of w[r, c] at w_start + r·w_step + c·2L, of y[r] at y_start + r·2L.
    """
    height = rows.literal_value
    signature = types.void(x, x_start, w, w_start, w_step, y, y_start, depth, rows)

    def codegen(context, builder, sig, args):
        v = Vectors(context, builder, x.dtype)
        half, zero = index(v.lanes), ir.Constant(v.type, [0.0] * v.lanes)
        xs, ws, ys = (pointer(context, builder, sig.args[i], args[i], args[i + 1]) for i in (0, 2, 5))

        def block(base, at):
            return v.load(base, at), v.load(base, builder.add(at, half))

        entry = builder.block
        loop, finish = builder.append_basic_block("channels"), builder.append_basic_block("finish")
        builder.branch(loop)
        builder.position_at_end(loop)
        c = builder.phi(INDEX)
        sums = [[builder.phi(v.type) for _ in range(4)] for _ in range(height)]
        offset = builder.mul(c, index(2 * v.lanes))
        re, im = block(xs, offset)
        updated = []
        for r, row in enumerate(sums):
            w_re, w_im = block(ws, builder.add(offset, builder.mul(args[4], index(r))))
            # kept apart until the end: chained, the two products of each part would wait for each other
            products = (re, w_re), (im, w_im), (re, w_im), (im, w_re)
            updated.append([v.fma(a, b, total) for (a, b), total in zip(products, row, strict=True)])
        following = builder.add(c, index(1))
        builder.cbranch(builder.icmp_signed("<", following, args[7]), loop, finish)
        c.add_incoming(index(0), entry)
        c.add_incoming(following, loop)
        for row, values in zip(sums, updated, strict=True):
            for total, value in zip(row, values, strict=True):
                total.add_incoming(zero, entry)
                total.add_incoming(value, loop)

        builder.position_at_end(finish)
        for r, (rr, ii, ri, ir_) in enumerate(updated):
            v.store(builder.fsub(rr, ii), ys, index(2 * v.lanes * r))
            v.store(builder.fadd(ri, ir_), ys, index(2 * v.lanes * r + v.lanes))
        return context.get_dummy_value()

    return signature, codegen


@njit
def multiply_spectra(blocks, x, x_start, depth, w, w_start, y, y_start, rows):
    """Y[f, k] = Σ_{c<depth} X[f, c] · W[f, k, c] for f < blocks, k < rows.

    x (f, c, re | im), w (f, k, c, re | im) and y (f, k, re | im), flat, each from its start on.
    """
    pair = 2 * VECTOR_BYTES // x.itemsize
    step = depth * pair
    for f in range(blocks):
        x_at, w_at, y_at = x_start + f * step, w_start + f * rows * step, y_start + f * rows * pair
        k = 0
        while rows - k >= ROWS:
            _dot(x, x_at, w, w_at + k * step, step, y, y_at + k * pair, depth, ROWS)
            k += ROWS
        while k < rows:
            _dot(x, x_at, w, w_at + k * step, step, y, y_at + k * pair, depth, 1)
            k += 1


@intrinsic(prefer_literal=True)
def _leaf(typingctx, z, re, im, step, f, start, radix):
    """``multiply_leaves`` for one leaf of the literal ``radix`` points."""
    signature = types.void(z, re, im, step, f, start, radix)

    def codegen(context, builder, sig, args):
        c = Complex(Vectors(context, builder, z.dtype))
        real, imaginary = (pointer(context, builder, sig.args[0], args[0], start) for start in args[1:3])
        reads = pointer(context, builder, sig.args[4], args[4], args[5])
        legs = [builder.mul(args[3], index(q)) for q in range(radix.literal_value)]
        parts = [c.vectors.load(reads, index(part * c.vectors.lanes)) for part in range(2 * len(legs))]
        factors = zip(parts[::2], parts[1::2], strict=True)
        values = c.dft([c.load(real, imaginary, leg) for leg in legs])
        turned = [c.mul(value, factor) for value, factor in zip(values, factors, strict=True)]
        back = c.dft([(im, re) for re, im in turned])  # swapped parts conjugate every root
        for (im, re), leg in zip(back, legs, strict=True):
            c.store((re, im), real, imaginary, leg)
        return context.get_dummy_value()

    return signature, codegen


@njit
def multiply_leaves(z, re, im, n, step, f, start):
    """Between a forward transform without its last pass and an inverse without its first: those and the product.

    z[s] = DFT⁻¹(DFT(z[s]) · f[s]) over the points s of each leaf (``kernels/fft.py``); z[s] at re, im + s·step,
    f[s] = [re | im] at start + s·2L. One pass over z instead of three.
    """
    points, pair = leaf(n), 2 * VECTOR_BYTES // z.itemsize
    for s in range(0, n, points):
        if points == 8:
            _leaf(z, re + s * step, im + s * step, step, f, start + s * pair, 8)
        else:
            _leaf(z, re + s * step, im + s * step, step, f, start + s * pair, 4)


@njit
def split(begin, end, spectra, first, together, blocks, sign, out):
    """Interleaved spectra (rows, 2·frequencies) to blocks (row // together, f, row % together, re | im) of ``out``.

    Row r of ``spectra`` is row first + r of out (flat); imaginary parts are multiplied by ``sign``. Lanes beyond the
    last frequency become zero.
    """
    width = VECTOR_BYTES // out.itemsize
    count = spectra.shape[1] // 2
    for r in range(begin, end):
        major, minor = divmod(first + r, together)
        for f in range(blocks):
            at = ((major * blocks + f) * together + minor) * 2 * width
            valid = min(width, count - f * width)
            for lane in range(valid):
                out[at + lane] = spectra[r, 2 * (f * width + lane)]
                out[at + width + lane] = sign * spectra[r, 2 * (f * width + lane) + 1]
            for lane in range(valid, width):
                out[at + lane] = 0
                out[at + width + lane] = 0


@njit
def join(begin, end, x, first, together, blocks, spectra):
    """Undo ``split``: blocks of ``x`` (flat) to interleaved rows (rows, 2·frequencies)."""
    width = VECTOR_BYTES // x.itemsize
    count = spectra.shape[1] // 2
    for r in range(begin, end):
        major, minor = divmod(first + r, together)
        for f in range(blocks):
            at = ((major * blocks + f) * together + minor) * 2 * width
            for lane in range(min(width, count - f * width)):
                spectra[r, 2 * (f * width + lane)] = x[at + lane]
                spectra[r, 2 * (f * width + lane) + 1] = x[at + width + lane]


@intrinsic(prefer_literal=True)
def turn(typingctx, z, start, w, w_start, conjugate):
    """z *= w, or its conjugate if the literal ``conjugate`` is 1: one block [re | im] at ``start`` and ``w_start``."""
    conjugated = conjugate.literal_value
    signature = types.void(z, start, w, w_start, conjugate)

    def codegen(context, builder, sig, args):
        c = Complex(Vectors(context, builder, z.dtype))

        def planes(array, start):
            ends = (start, builder.add(start, index(c.vectors.lanes)))
            return [pointer(context, builder, sig.args[array], args[array], at) for at in ends]

        value, root = planes(0, args[1]), planes(2, args[3])
        re, im = c.load(root[0], root[1], index(0))
        turned = c.mul(c.load(value[0], value[1], index(0)), (re, builder.fneg(im) if conjugated else im))
        c.store(turned, value[0], value[1], index(0))
        return context.get_dummy_value()

    return signature, codegen
