"""A filter matrix times one pixel: as fast as the filters can be read.

Contract::

    y[g·K + k] = bias[g·K + k] + Σ_{c < C} w[g, k, c] · x[g·C + c]       k < K

x and y may have any number of dimensions, in C order. Output channels are lanes, in panels of SUMS vectors, the last
ones 4, 2 and 1 (:func:`widths`), each [C][width · L]; filters beyond K are zero. SUMS vectors of sums are in flight,
which hides the latency of the multiply-add, and STREAMS parts of the depth at least, which memory serves faster than
one. The filters are read in the order in which they lie; software prefetches made that slower.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from convbench.kernels.jit import njit
from convbench.kernels.simd import INDEX, VECTOR_BYTES, Vectors, index, pointer

SUMS = 8
STREAMS = 4


def widths(vectors: int) -> list[int]:
    """Vectors of each panel: as many SUMS as fit, then 4, 2, 1 as needed."""
    return [SUMS] * (vectors // SUMS) + [width for width in (4, 2, 1) if vectors % SUMS & width]


def panel_starts(K: int, dtype: np.dtype) -> np.ndarray:
    """The first output channel of every panel, and one beyond the last."""
    lanes = VECTOR_BYTES // dtype.itemsize
    return np.cumsum([0, *(lanes * width for width in widths(-(-K // lanes)))], dtype=np.int64)


@intrinsic(prefer_literal=True)
def _panel(typingctx, width, C, x, x_start, w, w_start, bias, y, y_start, rows):
    """``rows`` ≤ width · L outputs from y_start on, for a literal width; bias lies as y does."""
    signature = types.void(width, C, x, x_start, w, w_start, bias, y, y_start, rows)
    wide = width.literal_value
    deep = SUMS // wide

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)
        lanes = vectors.lanes
        x_first = pointer(context, builder, sig.args[2], args[2], args[3])
        w_first = pointer(context, builder, sig.args[4], args[4], args[5])
        bias_first = pointer(context, builder, sig.args[6], args[6], args[8])
        y_first = pointer(context, builder, sig.args[7], args[7], args[8])
        masks = [vectors.mask(index(0), builder.sub(args[9], index(v * lanes))) for v in range(wide)]
        zero = ir.Constant(vectors.type, [0.0] * lanes)

        def add(streams, c, step, sums):
            """Add, for c ≤ i < step, channels i, i + step, … of ``streams`` parts of the depth; gives the sums."""
            entry, head, body, done = (builder.block, *(builder.append_basic_block() for _ in range(3)))
            builder.branch(head)
            builder.position_at_end(head)
            at = builder.phi(INDEX)
            at.add_incoming(c, entry)
            running = [builder.phi(vectors.type) for _ in sums]
            for phi, start in zip(running, sums, strict=True):
                phi.add_incoming(start, entry)
            builder.cbranch(builder.icmp_signed("<", at, step), body, done)
            builder.position_at_end(body)
            updated = list(running)
            for j in range(streams):
                channel = builder.add(at, builder.mul(step, index(j)))
                pixel = vectors.splat(builder.load(builder.gep(x_first, [channel])))
                row = builder.gep(w_first, [builder.mul(channel, index(wide * lanes))])
                for v in range(wide):
                    place = j % deep * wide + v
                    updated[place] = vectors.fma(pixel, vectors.load(row, index(v * lanes)), updated[place])
            at.add_incoming(builder.add(at, index(1)), body)
            for phi, value in zip(running, updated, strict=True):
                phi.add_incoming(value, body)
            builder.branch(head)
            builder.position_at_end(done)
            return running

        streams = max(STREAMS, deep)
        part = builder.sdiv(args[1], index(streams))
        sums = add(streams, index(0), part, [zero] * SUMS)
        sums = add(1, builder.mul(part, index(streams)), args[1], sums)
        for v in range(wide):
            total = vectors.load(bias_first, index(v * lanes), masks[v])
            for j in range(deep):
                total = builder.fadd(total, sums[j * wide + v])
            vectors.store(total, y_first, index(v * lanes), masks[v])
        return context.get_dummy_value()

    return signature, codegen


@njit
def multiply_vector(begin, end, x, w, bias, y, sizes):
    """The contract above. Tasks (g, panel), the last fastest.

    sizes: G, C, K, lanes, then the number of the first vector of every panel, then that of all vectors.
    """
    C, K, lanes = sizes[1], sizes[2], sizes[3]
    panels = sizes.size - 5
    for task in range(begin, end):
        g, panel = divmod(task, panels)
        first = sizes[4 + panel]
        width = sizes[5 + panel] - first
        k = first * lanes
        rows = min(width * lanes, K - k)
        w_start = (g * sizes[-1] * lanes + k) * C
        if width == 8:
            _panel(8, C, x, g * C, w, w_start, bias, y, g * K + k, rows)
        elif width == 4:
            _panel(4, C, x, g * C, w, w_start, bias, y, g * K + k, rows)
        elif width == 2:
            _panel(2, C, x, g * C, w, w_start, bias, y, g * K + k, rows)
        else:
            _panel(1, C, x, g * C, w, w_start, bias, y, g * K + k, rows)
