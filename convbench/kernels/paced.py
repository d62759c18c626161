"""Products that ask for the memory they will write while they compute.

Sums stored to lines that no near cache holds wait for each of them, one after the other. Asked for all at once before
the sums are computed, they take every place there is for lines on their way, and the operands wait instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from convbench.kernels.gemm import Walk, products
from convbench.kernels.layout import ALIGNMENT
from convbench.kernels.simd import Vectors, index, repeat


def products_to(
    target: Walk,
    rows: int,
    span: int,
    vectors: Vectors,
    sums: Sequence[ir.Value],
    terms: ir.Value,
    walks: Sequence[Walk],
    panel: Callable[[ir.Value, Sequence[ir.Value]], Sequence[ir.Value]],
    **options: Any,
) -> tuple[Sequence[ir.Value], Sequence[ir.Value]]:
    """``gemm.products``, and ``rows`` rows of ``span`` elements fetched to be written, target[1] elements apart.

    The terms are computed in as many equal shares as there are rows, the rest with the last; before each of them goes
    one row. Fewer terms than rows are one share, with the first row.
    """
    builder, count = vectors.builder, len(walks)
    enough = builder.icmp_signed(">=", terms, index(rows))
    shares = builder.select(enough, index(rows), index(1))
    share = builder.select(enough, builder.udiv(terms, index(rows)), terms)
    last = builder.sub(shares, index(1))
    rest = builder.sub(terms, builder.mul(share, last))

    def some(i: ir.Value, carried: Sequence[ir.Value]) -> list[ir.Value]:
        row, places, totals = carried[0], carried[1 : 1 + count], carried[1 + count :]
        for element in (*range(0, span, ALIGNMENT // vectors.itemsize), span - 1):
            vectors.prefetch(builder.gep(row, [index(element)]), write=True)
        going = [(place, step) for place, (_, step) in zip(places, walks, strict=True)]
        now = builder.select(builder.icmp_signed("==", i, last), rest, share)
        ends, added = products(vectors, totals, now, going, panel, **options)
        return [builder.gep(row, [target[1]]), *ends, *added]

    ended = repeat(builder, shares, [target[0], *(place for place, _ in walks), *sums], some)
    return ended[1 : 1 + count], ended[1 + count :]
