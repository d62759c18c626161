"""A filter matrix as it lies times one pixel: nothing to pack, lanes along the input channels.

Contract::

    y[g·K + k] = bias[g·K + k] + Σ_{c < C} w[g, k, c] · x[g·C + c]       k < K

x, y and bias as in ``vector_product``, w flat (G, K, C). ROWS filters are multiplied at a time, as many streams of
memory, in DEEP partial sums each, and their sums added across the lanes together: what that takes, and rows that do not
begin on a cache line, cost little where rows are long. A last tile of fewer filters reads the last one again.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from convbench.kernels.jit import njit
from convbench.kernels.simd import INDEX, VECTOR_BYTES, Vectors, index, pointer

ROWS = 8  # at most, and no more than a vector has lanes
DEEP = 2 if VECTOR_BYTES == 64 else 1  # 8·2 sums and a pixel vector of 32 registers, or 8·1 of 16


@intrinsic
def _tile(typingctx, C, x, x_start, w, w_start, bias, y, y_start, rows):
    """The contract for the first ``rows`` filters from w_start on, at most ROWS; bias lies as y does."""
    signature = types.void(C, x, x_start, w, w_start, bias, y, y_start, rows)

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)
        lanes = vectors.lanes
        tall = min(ROWS, lanes)
        C_, rows_ = args[0], args[8]
        pixels, first, bias_first, y_first = (
            pointer(context, builder, sig.args[array], args[array], args[start])
            for array, start in ((1, 2), (3, 4), (5, 7), (6, 7))
        )
        last = builder.sub(rows_, index(1))
        filters = []
        for k in range(tall):
            row = builder.select(builder.icmp_signed("<", index(k), rows_), index(k), last)
            filters.append(builder.gep(first, [builder.mul(row, C_)]))

        def add(c, mask, sums, part=0):
            """The vector of channels c … added to every filter's partial sum number ``part``."""
            pixel = vectors.load(pixels, c, mask)
            for k in range(tall):
                sums[k, part] = vectors.fma(pixel, vectors.load(filters[k], c, mask), sums[k, part])

        entry, head, body, tail, done = (builder.block, *(builder.append_basic_block() for _ in range(4)))
        builder.branch(head)
        builder.position_at_end(head)
        c = builder.phi(INDEX)
        c.add_incoming(index(0), entry)
        sums = {(k, part): builder.phi(vectors.type) for k in range(tall) for part in range(DEEP)}
        for phi in sums.values():
            phi.add_incoming(ir.Constant(vectors.type, [0.0] * lanes), entry)
        following = builder.add(c, index(DEEP * lanes))
        builder.cbranch(builder.icmp_signed("<=", following, C_), body, tail)

        builder.position_at_end(body)
        updated = dict(sums)
        for part in range(DEEP):
            add(builder.add(c, index(part * lanes)), None, updated, part)
        c.add_incoming(following, body)
        for at, phi in sums.items():
            phi.add_incoming(updated[at], body)
        builder.branch(head)

        builder.position_at_end(tail)  # less than DEEP vectors of channels
        totals = dict(sums)
        for part in range(DEEP):
            start = builder.add(c, index(part * lanes))
            add(start, vectors.mask(index(0), builder.sub(C_, start)), totals, part)
        builder.branch(done)

        builder.position_at_end(done)
        across = [totals[k, 0] for k in range(tall)]
        for part in range(1, DEEP):
            across = [builder.fadd(total, totals[k, part]) for k, total in enumerate(across)]
        even, odd = ([2 * i + j for i in range(lanes)] for j in range(2))
        for _ in range(lanes.bit_length() - 1):  # neighbouring lanes of neighbouring rows: rows become lanes
            pairs = [(across[i], across[(i + 1) % len(across)]) for i in range(0, len(across), 2)]
            across = [builder.fadd(vectors.pick(a, b, even), vectors.pick(a, b, odd)) for a, b in pairs]
        mask = vectors.mask(index(0), rows_)
        total = builder.fadd(across[0], vectors.load(bias_first, index(0), mask))
        vectors.store(total, y_first, index(0), mask)
        return context.get_dummy_value()

    return signature, codegen


@njit
def multiply_rows(begin, end, x, w, bias, y, sizes):
    """The contract above. Tasks (g, tile of ROWS filters), the last fastest; sizes: G, C, K, rows of a tile."""
    C, K, height = sizes[1], sizes[2], sizes[3]
    tiles = -(-K // height)
    for task in range(begin, end):
        g, tile = divmod(task, tiles)
        k = tile * height
        _tile(C, x, g * C, w, (g * K + k) * C, bias, y, g * K + k, min(height, K - k))
