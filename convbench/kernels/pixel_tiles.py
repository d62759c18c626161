"""The micro-kernel with pixels in the lanes: any number of output channels, written straight to NCHW planes.

Contract (written before the code)::

    s[m, v, i] = Σ_{j < terms} w[w_start + j·M + m] · x[x_start + starts[vector + v] + offsets[j] + i]

    0 ≤ m < M, 0 ≤ v < V, 0 ≤ i < L

    M × V        a tile of :data:`TILES`: M output channels (``height``) by V vectors (``width``) of L lanes
    x            read whole vectors at a time
    w            packed by output channel: M weights for each term, in the order of ``offsets``
    initial      what the sums start from: initial[initial_start + m] in every lane; with ``resume``,
                 sums[sums_start + (m·V + v)·L …] instead
    sums         without ``finish`` all sums go there, in the same order, and y is untouched
    y            with ``finish``: vector v of channel m < ``valid`` is stored once for each of its lines
                 ℓ, lines[vector + v] ≤ ℓ < lines[vector + v + 1]: the lanes i with bit i of masks[ℓ] go to
                 y[y_start + m·y_plane + places[ℓ] + i]
    source       lines of source[ahead + j·pace] are asked for in L2, every third term j or oftener; any address will do

``terms`` ≥ 1; a vector has one line or more. Nothing else is read or written. The loop is ``gemm.products``, filters
broadcast, while what will be written is asked for (``kernels/paced.py``). Lanes along the pixels waste none where a
group has few output channels, and need no transposition (Zhang, Franchetti & Low 2018, arXiv:1809.10170, §3).
"""

from __future__ import annotations

from itertools import count

from numba import types
from numba.extending import intrinsic

from convbench.kernels.gemm import FOLDS
from convbench.kernels.layout import ALIGNMENT
from convbench.kernels.paced import products_to
from convbench.kernels.simd import INDEX, VECTOR_BYTES, Vectors, index, pointer

# height -> widths: sums, pixels and one weight fit the 32 registers of AVX-512, or the 16 of narrower vectors
TILES = {8: (3, 2, 1), 4: (4, 2, 1), 2: (6, 2, 1)} if VECTOR_BYTES == 64 else {4: (3, 2, 1), 2: (4, 2, 1)}
TOGETHER = 3  # terms a pass of the loop for the widest tiles: what counts and asks takes places of products
AHEAD = 64  # terms: the weights are asked for this much earlier than used, across tiles that follow each other


@intrinsic
def tile(
    typingctx, height, width, terms, x, x_start, starts, offsets, w, w_start, initial, initial_start, sums, sums_start,
    resume, finish, y, y_start, y_plane, valid, vector, lines, masks, places, source, ahead, pace,
):  # fmt: skip
    """One tile of the contract; (height, width) is one of :data:`TILES`, and each has code of its own."""
    signature = types.void(
        height, width, terms, x, x_start, starts, offsets, w, w_start, initial, initial_start, sums, sums_start, resume,
        finish, y, y_start, y_plane, valid, vector, lines, masks, places, source, ahead, pace,
    )  # fmt: skip

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)

        def at(array, start):
            return pointer(context, builder, sig.args[array], args[array], start)

        vector = args[19]
        operands = at(3, args[4]), at(5, vector), at(6, index(0)), at(7, args[8]), at(9, args[10]), at(11, args[12])
        output = at(15, args[16]), args[17], args[18], at(20, vector), at(21, index(0)), at(22, index(0))
        fetched = at(23, args[24]), args[25]
        for M, widths in TILES.items():
            with builder.if_then(builder.icmp_signed("==", args[0], index(M))):
                for V in widths:
                    with builder.if_then(builder.icmp_signed("==", args[1], index(V))):
                        _emit(builder, vectors, M, V, args[2], operands, args[13], args[14], output, fetched)
        return context.get_dummy_value()

    return signature, codegen


def _emit(builder, vectors, M, V, terms, operands, resume, finish, output, fetched):
    """The code of an M × V tile, between the contract's operands and its output."""
    x, begins, offsets, w, initial, sums = operands
    y, y_plane, valid, lines, masks, places = output
    first_line = builder.load(builder.gep(lines, [index(0)]))
    place = builder.gep(y, [builder.load(builder.gep(places, [first_line]))])
    width = V * vectors.lanes
    written = builder.select(finish, place, sums), builder.select(finish, y_plane, index(width))
    tile = [(m, v) for m in range(M) for v in range(V)]
    firsts = [builder.gep(x, [builder.load(builder.gep(begins, [index(v)]))]) for v in range(V)]
    with builder.if_else(resume) as (again, anew):
        with again:
            loaded = [vectors.load(sums, index((m * V + v) * vectors.lanes)) for m, v in tile]
            again_end = builder.block
        with anew:
            splats = [vectors.splat(builder.load(builder.gep(initial, [index(m)]))) for m in range(M)]
            anew_end = builder.block
    starts = []
    for value, (m, _) in zip(loaded, tile, strict=True):
        start = builder.phi(vectors.type)
        start.add_incoming(value, again_end)
        start.add_incoming(splats[m], anew_end)
        starts.append(start)

    def pixels(_, pointers):
        turn = next(turns) % together
        if turn % weights_line == 0:
            vectors.prefetch(builder.gep(pointers[0], [index(M * AHEAD)]))
        if turn == together // 2:
            vectors.prefetch(pointers[1], level=2)
        offset = builder.load(pointers[2])
        return [vectors.load(first, offset) for first in firsts]

    together = TOGETHER if TILES[M][0] == V else 1
    turns, weights_line = count(), max(1, ALIGNMENT // (M * vectors.itemsize))  # terms whose weights share a line
    walks = [(w, index(M)), fetched, (offsets, index(1))]
    folds = FOLDS and V <= 3  # with more vectors the loads are what the loop waits for
    _, totals = products_to(written, M, width, vectors, starts, terms, walks, pixels, folds=folds, together=together)
    with builder.if_else(finish) as (write, keep):
        with keep:
            for value, (m, v) in zip(totals, tile, strict=True):
                vectors.store(value, sums, index((m * V + v) * vectors.lanes))
        with write:
            line = first_line
            for v in range(V):
                end = builder.load(builder.gep(lines, [index(v + 1)]))
                _store_lines(builder, vectors, totals[v::V], y, y_plane, line, end, masks, places, valid)
                line = end


def _store_lines(builder, vectors, values, y, y_plane, line, end, masks, places, valid):
    """Store a vector of every channel, one masked store for each line from ``line`` to ``end``."""
    before = builder.block
    loop, done = builder.append_basic_block("line"), builder.append_basic_block("lines.done")
    builder.branch(loop)
    builder.position_at_end(loop)
    i = builder.phi(INDEX)
    i.add_incoming(line, before)
    mask = vectors.mask_of(builder.load(builder.gep(masks, [i])))
    target = builder.gep(y, [builder.load(builder.gep(places, [i]))])
    for m, value in enumerate(values):
        with builder.if_then(builder.icmp_signed(">", valid, index(m)), likely=True):
            vectors.store(value, target, index(0), mask)
        target = builder.gep(target, [y_plane])
    following = builder.add(i, index(1))
    i.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, end), loop, done)
    builder.position_at_end(done)
