"""Write a block whose lanes are channels to planes whose lanes are pixels, transposed in registers."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from convbench.kernels.simd import Vectors, index, pointer


@intrinsic
def store_transposed(
    typingctx, source, at, step, columns, target, start, plane, rows, bias, bias_start, bias_count
):  # fmt: skip
    """target[start + n·plane + j] = source[at + j·step + n] + bias[bias_start + n], for j < columns, n < rows ≤ lanes.

    One vector-sized square block: columns ≤ lanes too. bias counts for n < bias_count, and is 0 beyond. Nothing outside
    the block is read or written.
    """
    signature = types.void(source, at, step, columns, target, start, plane, rows, bias, bias_start, bias_count)

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, source.dtype)
        lanes = vectors.lanes
        at_, step_, columns_, start_, plane_, rows_, bias_count_ = (args[i] for i in (1, 2, 3, 5, 6, 7, 10))
        read = pointer(context, builder, source, args[0], at_)
        write = pointer(context, builder, target, args[4], start_)
        add = vectors.load(
            pointer(context, builder, bias, args[8], args[9]), index(0), vectors.mask(index(0), bias_count_)
        )
        channels = vectors.mask(index(0), rows_)
        last = builder.sub(columns_, index(1))
        block = []
        for j in range(lanes):
            inside = builder.icmp_signed("<", index(j), columns_)
            row = builder.mul(builder.select(inside, index(j), last), step_)
            block.append(builder.fadd(vectors.load(read, row, channels), add))
        block = interleaved(vectors, block)
        whole = builder.and_(
            builder.icmp_signed("==", columns_, index(lanes)), builder.icmp_signed("==", rows_, index(lanes))
        )
        with builder.if_else(whole, likely=True) as (then, otherwise):
            with then:
                for address, value in zip(apart(builder, write, plane_, lanes), block, strict=True):
                    vectors.store(value, address, index(0))
            with otherwise:
                pixels = vectors.mask(index(0), columns_)
                for n, (address, value) in enumerate(zip(apart(builder, write, plane_, lanes), block, strict=True)):
                    wanted = builder.and_(pixels, vectors.splat(builder.icmp_signed("<", index(n), rows_)))
                    vectors.store(value, address, index(0), wanted)
        return context.get_dummy_value()

    return signature, codegen


def interleaved(vectors: Vectors, rows: Sequence[ir.Value], part: int | None = None) -> list[ir.Value]:
    """The elements of M = 2ⁿ ≤ L rows column by column: element m of column j is number j·M + m of the result.

    n perfect shuffles of rows i and i + M/2; with M = L rows the result is the transposed block. ``part``: so many
    lanes for themselves, and the next as many, M ≤ part.
    """
    half, part = len(rows) // 2, part or vectors.lanes
    low = [i // part * part + i % part // 2 + i % 2 * vectors.lanes for i in range(vectors.lanes)]
    high = [i + part // 2 for i in low]
    block = list(rows)
    for _ in range(len(block).bit_length() - 1):
        pairs = [(block[i], block[i + half]) for i in range(half)]
        block = [vectors.pick(a, b, order) for a, b in pairs for order in (low, high)]
    return block


def transposed(vectors: Vectors, rows: Sequence[ir.Value]) -> list[ir.Value]:
    """Vector j: element j of each of L rows, given by pointers to L elements.

    Rows are read in pieces of 16 bytes: a load then puts a piece where it belongs, half of the work of shuffles.
    """
    part, builder = 16 // vectors.itemsize, vectors.builder
    kind = ir.VectorType(vectors.type.element, part)

    def joined(pieces: list[ir.Value]) -> ir.Value:
        if len(pieces) == 1:
            return pieces[0]
        size = part * len(pieces)
        order = ir.Constant(ir.VectorType(ir.IntType(32), size), list(range(size)))
        halves = joined(pieces[: len(pieces) // 2]), joined(pieces[len(pieces) // 2 :])
        return builder.shuffle_vector(*halves, order)

    columns = []
    for j in range(0, vectors.lanes, part):
        at = [builder.bitcast(builder.gep(row, [index(j)]), kind.as_pointer()) for row in rows]
        pieces = [builder.load(address, align=vectors.itemsize) for address in at]
        columns += interleaved(vectors, [joined(pieces[i::part]) for i in range(part)], part)
    return columns


def apart(builder: ir.IRBuilder, first: ir.Value, step: ir.Value, count: int) -> list[ir.Value]:
    """``count`` pointers ``step`` elements apart, each found from the one before: no table of products."""
    pointers = [first]
    while len(pointers) < count:
        pointers.append(builder.gep(pointers[-1], [step]))
    return pointers
