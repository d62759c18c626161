"""The micro-kernel with output channels in the lanes and segments of output rows as its rows.

Contract (written before the code)::

    c[places[i] + m, n] (+)= Σ_{j < terms} x[x_start + offsets[j] + starts[i] + m·step] · w[w_start + j·L + n]

    first ≤ i < first + count    segments of ``length`` pixels: 0 ≤ m < length; (length, count) of :data:`SEGMENTS`
    n < L        the lanes: one vector of output channels, packed side by side for every term (``packing.pack``)
    c            flat from c_start on, rows of L elements: every sum is written there once
    accumulate   False: c is written without being read;  True: the sums are added to it
    step         one of :data:`STEPS`
    source       the line of source[ahead + j·pace] is asked for in L2 at term j; any address will do
    y            the lines of y[y_start + n·y_plane + places[first] …] are asked for, to be written later; likewise

``terms`` ≥ 1. Nothing else is read or written. No lane is lost where a row of the image is narrower than a vector or
ends within one: pixels are broadcast one by one, and a segment begins wherever its row does (the form of Georganas et
al. 2018, arXiv:1808.05567, §II.B, that blocked layouts have).
"""

from __future__ import annotations

from numba import types
from numba.extending import intrinsic

from convbench.kernels.simd import VECTOR_BYTES, Vectors, index, opaque, pointer, repeat

# length -> numbers of segments: their sums and a vector of filters fit the 32 registers of AVX-512. Of narrower vectors
# few lanes are lost when pixels lie in them
SEGMENTS = {7: (4, 3), 8: (3, 2)} if VECTOR_BYTES == 64 else {}
STEPS = 1, 2  # elements from a pixel to the next: the stride along the row
AHEAD = 64  # terms: the weights are asked for this much earlier than used, across tiles that follow each other


@intrinsic
def segment_tile(
    typingctx, length, count, step, first, terms, x, x_start, offsets, starts, places, w, w_start, c, c_start,
    accumulate, source, ahead, pace, y, y_start, y_plane,
):  # fmt: skip
    """One tile of the contract; each (length, count, step) has code of its own."""
    signature = types.void(
        length, count, step, first, terms, x, x_start, offsets, starts, places, w, w_start, c, c_start, accumulate,
        source, ahead, pace, y, y_start, y_plane,
    )  # fmt: skip

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)

        def at(array, start):
            return pointer(context, builder, sig.args[array], args[array], start)

        def matches(*form):
            same = [builder.icmp_signed("==", given, index(n)) for given, n in zip(args, form, strict=False)]
            return builder.and_(same[0], builder.and_(same[1], same[2]))

        operands = at(5, args[6]), at(7, index(0)), at(8, args[3]), at(9, args[3]), at(10, args[11]), at(12, args[13])
        fetched, later = (at(15, args[16]), args[17]), (at(18, args[19]), args[20])
        for pixels, counts in SEGMENTS.items():
            for some in counts:
                for apart in STEPS:
                    with builder.if_then(matches(pixels, some, apart)):
                        _emit(vectors, (pixels, some, apart), args[4], operands, args[14], fetched, later)
        return context.get_dummy_value()

    return signature, codegen


def _emit(vectors, form, terms, operands, accumulate, fetched, later):
    """The code of a tile of one form, on the contract's operands."""
    builder, lanes = vectors.builder, vectors.lanes
    length, count, step = form
    x, offsets, starts, places, w, c = operands
    segments = [builder.gep(x, [builder.load(builder.gep(starts, [index(i)]))]) for i in range(count)]
    y, y_plane = later
    plane = builder.gep(y, [builder.load(places)])
    for _ in range(lanes):
        for m in range(0, count * length, lanes):
            vectors.prefetch(builder.gep(plane, [index(m)]), write=True)
        plane = builder.gep(plane, [y_plane])

    def term(j, carried):
        filters, asked, *sums = carried
        vectors.prefetch(builder.gep(filters, [index(AHEAD * lanes)]))
        vectors.prefetch(asked, level=2)
        column = vectors.load(filters, index(0))
        offset = builder.load(builder.gep(offsets, [j]))
        updated = []
        for i, segment in enumerate(segments):
            pixel = opaque(builder, builder.gep(segment, [offset]))  # an indexed operand would be two instructions
            for m in range(length):
                factor = vectors.splat(builder.load(builder.gep(pixel, [index(m * step)])))
                updated.append(vectors.fma(factor, column, sums[i * length + m]))
        return [builder.gep(filters, [index(lanes)]), builder.gep(asked, [pace]), *updated]

    first, pace = fetched
    _, _, *sums = repeat(builder, terms, [w, first, *[vectors.zero] * (count * length)], term)
    pixels = [builder.load(builder.gep(places, [index(i)])) for i in range(count)]
    rows = [builder.gep(c, [builder.mul(pixel, index(lanes))]) for pixel in pixels]
    with builder.if_else(accumulate) as (added, written):
        for block, adds in ((added, True), (written, False)):
            with block:
                for k, value in enumerate(sums):
                    row, at = rows[k // length], index(k % length * lanes)
                    vectors.store(builder.fadd(vectors.load(row, at), value) if adds else value, row, at)
