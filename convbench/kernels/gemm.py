"""Matrix products in registers: brgemm, and the loop that every GEMM-shaped kernel is made of.

``brgemm``, the batch-reduce product, has output channels in the lanes. Contract (written before the code; the body may
change, this may not)::

    C[m, n] (+)= Σ_{b < batch} Σ_{k < depth} A[b, k, m] · B[b, k, n]        0 ≤ m < rows, 0 ≤ n < NR

    A[b, k, m] = a[a_start + a_off[b] + k·a_step + m]    broadcast operand: pixels or tiles, unit stride over m
    B[b, k, n] = b[b_start + b_off[b] + k·NR + n]        packed panel of NR output channels (``packing.pack_panels``)
    C[m, n]    = c[c_start + m·c_step + n]               full NR lanes are written, so c holds NR from every row start

    a, b, c     flat arrays of one dtype, float32 or float64
    a_off, b_off  int64 (batch,), or None: zeros
    accumulate  False: C is written without being read;  True: the sum is added to C
    ahead       where in b the next call will read, which is fetched at the pace of the products; None: nothing is
    rows, depth, batch ≥ 1, any values: exactly ``rows`` elements of A are read for each (b, k), never more.

NR = two vectors of the host's width (:func:`panel_width`). Accumulators stay in registers over the whole batch.
:func:`products` is its inner loop. Kernels with pixels in the lanes (``pixel_tiles``, ``plane_product``) emit the same
loop with the roles exchanged, filters broadcast and pixels as vectors, and store their sums in NCHW planes.
Source: Georganas et al., "High-Performance Deep Learning via a Single Building Block" (IPDPS 2020), §2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convbench.kernels.jit import inlined
from convbench.kernels.simd import VECTOR_BYTES, Vectors, index, opaque, pointer, repeat, repeat_together

VECTORS = 2  # vectors of output channels a tile
TILE_ROWS = 14 if VECTOR_BYTES == 64 else 6  # 14·2 accumulators fill 32 registers, 6·2 fill 16
FOLDS = VECTOR_BYTES == 64  # instructions multiply by a broadcast element of memory
TERMS = 1 if FOLDS else 2  # a pass of the loop: where no broadcast is folded, what counts takes places of products
PAIR = 2  # register tiles have a multiple of it: an odd row costs a broadcast twice, not a tile of its own


def panel_width(dtype: np.dtype | type) -> int:
    """NR, the output channels of one packed panel: two vectors of the host's width."""
    return VECTORS * VECTOR_BYTES // np.dtype(dtype).itemsize


Walk = tuple[ir.Value, ir.Value]  # a pointer, and the elements it moves each term


def products(
    vectors: Vectors,
    sums: Sequence[ir.Value],
    terms: ir.Value,
    walks: Sequence[Walk],
    panel: Callable[[ir.Value, Sequence[ir.Value]], Sequence[ir.Value]],
    last_row: ir.Value | None = None,
    folds: bool = FOLDS,
    together: int = 1,
) -> tuple[Sequence[ir.Value], Sequence[ir.Value]]:
    """Emit sums[m·V + v] += Σ_{j < terms} A_j[m] · B_j[v], terms ≥ 1; gives the walks' ends and the sums.

    A_j lies where the first of ``walks`` is at term j, one element a row; ``last_row`` is where the last row's lies, if
    not behind the others. ``panel(j, pointers)`` emits the V vectors B_j, and whatever else is done once a term.
    folds: every second row is multiplied straight from memory, V loads and no broadcast: an instruction less, which
    pays unless the loads are what the loop waits for. together: terms a pass of the loop; the rest goes one by one.
    """
    builder, count = vectors.builder, len(walks)

    def term(j: ir.Value, carried: Sequence[ir.Value]) -> list[ir.Value]:
        pointers, totals = carried[:count], carried[count:]
        columns = panel(j, pointers)
        rows = len(totals) // len(columns)
        places = [index(m) for m in range(rows)]
        if last_row is not None:
            places[-1] = last_row
        again = [pointers[0], *(opaque(builder, pointers[0]) for _ in columns[1:])]
        updated = []
        for m, place in enumerate(places):  # one broadcast beside its products: all of them first would spill sums
            origins = again if folds and m % 2 == 0 else again[:1]
            factors = [vectors.splat(builder.load(builder.gep(origin, [place]))) for origin in origins]
            row = zip(factors * (len(columns) // len(factors)), columns, totals[m * len(columns) :], strict=False)
            updated += [vectors.fma(*operands) for operands in row]
        return [builder.gep(at, [step]) for at, (_, step) in zip(pointers, walks, strict=True)] + updated

    ended = repeat_together(builder, terms, [*(start for start, _ in walks), *sums], term, together)
    return ended[:count], ended[count:]


@intrinsic
def _tile(
    typingctx, rows, depth, batch, a, a_start, a_off, a_step, b, b_start, b_off, c, c_start, c_step, accumulate, ahead,
    done, pace,
):  # fmt: skip
    """One tile of 1 ≤ ``rows`` ≤ TILE_ROWS rows of the contract; fetches b[ahead + done + pace·j] at term j."""
    signature = types.void(
        rows, depth, batch, a, a_start, a_off, a_step, b, b_start, b_off, c, c_start, c_step, accumulate, ahead, done,
        pace,
    )  # fmt: skip

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, a.dtype)
        NR = VECTORS * vectors.lanes

        def at(array, start):
            return pointer(context, builder, sig.args[array], args[array], start)

        def offset(array, i):
            if isinstance(sig.args[array], types.NoneType):
                return index(0)
            return builder.load(builder.gep(at(array, index(0)), [i]))

        a_first, b_first, c_first = at(3, args[4]), at(7, args[8]), at(10, args[11])
        fetches = not isinstance(ahead, types.NoneType)
        fetched = [at(7, builder.add(args[14], args[15]))] if fetches else []

        def panel(_, pointers):
            if fetches:
                vectors.prefetch(pointers[2], level=2)
            return [vectors.load(pointers[1], index(v * vectors.lanes)) for v in range(VECTORS)]

        def emit(height):
            last_row = builder.sub(args[0], index(1))

            def reduce(i, carried):
                walks = [
                    (builder.gep(a_first, [offset(5, i)]), args[6]),
                    (builder.gep(b_first, [offset(9, i)]), index(NR)),
                    *((at, args[16]) for at in carried[: len(fetched)]),
                ]
                ends, sums = products(vectors, carried[len(fetched) :], args[1], walks, panel, last_row, together=TERMS)
                return [*ends[2:], *sums]

            zeros = [ir.Constant(vectors.type, [0.0] * vectors.lanes)] * (height * VECTORS)
            sums = repeat(builder, args[2], [*fetched, *zeros], reduce)[len(fetched) :]

            def store(m, row, adds):
                for v in range(VECTORS):
                    value, place = sums[m * VECTORS + v], index(v * vectors.lanes)
                    vectors.store(builder.fadd(vectors.load(row, place), value) if adds else value, row, place)
                return builder.gep(row, [args[12]])  # one from the other: a table of rows would lie on the stack

            with builder.if_else(cgutils.is_not_null(builder, args[13])) as (added, written):
                for block, adds in ((added, True), (written, False)):
                    with block:
                        row = c_first
                        for m in range(height - 1):
                            row = store(m, row, adds)
                        with builder.if_then(builder.icmp_signed("==", args[0], index(height)), likely=True):
                            store(height - 1, row, adds)

        done = builder.append_basic_block("tile.done")
        heights = range(PAIR, TILE_ROWS + 1, PAIR)
        choice = builder.switch(builder.udiv(builder.add(args[0], index(PAIR - 1)), index(PAIR)), done)
        for height in heights:
            block = builder.append_basic_block(f"rows{height}")
            choice.add_case(index(height // PAIR), block)
            builder.position_at_end(block)
            emit(height)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return signature, codegen


@inlined
def brgemm(
    rows, depth, batch, a, a_start, a_off, a_step, b, b_start, b_off, c, c_start, c_step, accumulate, ahead=None
):
    """The contract above: equal shares of the rows, each a register tile's."""
    tiles = -(-rows // TILE_ROWS)
    pace = -(-VECTORS * VECTOR_BYTES // (a.itemsize * tiles))
    low, more = divmod(-(-rows // PAIR), tiles)
    m = 0
    for tile in range(tiles):
        share = min(PAIR * (low + (tile < more)), rows - m)
        _tile(share, depth, batch, a, a_start + m, a_off, a_step, b, b_start, b_off, c, c_start + m * c_step, c_step,
              accumulate, ahead, tile * depth * batch * pace, pace)  # fmt: skip
        m += share
