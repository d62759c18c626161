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

Body = Callable[[Sequence[ir.Value]], Sequence[ir.Value]]


def products_to(
    target: Walk,
    rows: int,
    span: int,
    vectors: Vectors,
    sums: Sequence[ir.Value],
    terms: ir.Value,
    walks: Sequence[Walk],
    panel: Callable[[ir.Value, Sequence[ir.Value]], Sequence[ir.Value]],
    beside: tuple[Body, Sequence[ir.Value]] = (lambda state: state, ()),
    **options: Any,
) -> tuple[Sequence[ir.Value], Sequence[ir.Value]]:
    """``gemm.products``, and ``rows`` rows of ``span`` elements fetched to be written, target[1] elements apart.

    The terms are computed in as many equal shares as there are rows, the rest with the last; before each of them goes
    one row, and what ``beside``'s function does with its own values, which it gives back for the next; the first ones
    stand with it. Fewer terms than rows are one share, with the first row.
    """
    builder = vectors.builder
    after = 1 + len(walks)
    last_other = after + len(beside[1])
    enough = builder.icmp_signed(">=", terms, index(rows))
    shares = builder.select(enough, index(rows), index(1))
    share = builder.select(enough, builder.udiv(terms, index(rows)), terms)
    last = builder.sub(shares, index(1))
    rest = builder.sub(terms, builder.mul(share, last))

    def some(i: ir.Value, carried: Sequence[ir.Value]) -> list[ir.Value]:
        row, places, others, totals = carried[0], carried[1:after], carried[after:last_other], carried[last_other:]
        for element in (*range(0, span, ALIGNMENT // vectors.itemsize), span - 1):
            vectors.prefetch(builder.gep(row, [index(element)]), write=True)
        others = beside[0](others)
        going = [(place, step) for place, (_, step) in zip(places, walks, strict=True)]
        now = builder.select(builder.icmp_signed("==", i, last), rest, share)
        ends, added = products(vectors, totals, now, going, panel, **options)
        return [builder.gep(row, [target[1]]), *ends, *others, *added]

    ended = repeat(builder, shares, [target[0], *(place for place, _ in walks), *beside[1], *sums], some)
    return ended[1:after], ended[last_other:]
