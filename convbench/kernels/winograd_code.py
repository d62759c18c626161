"""Winograd's straight-line code as LLVM vectors: one tile a lane going in, one output channel a lane coming out.

F(m, r) reaches these intrinsics, and the kernels that call them, as the Numba type of :func:`sized`'s value: each
size is compiled once for each dtype, and the disk cache serves it, as it would not serve a closure over kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from convbench.kernels.simd import Vectors, index, pointer
from convbench.kernels.winograd import Transform, input_transform, output_transform, strided

Size = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
Tile = list[list[ir.Value]]


def sized(m: int, r: int, stride: int = 1) -> Size:
    """F(m, r) at a stride as a value whose type says all three: tuples of m, r and ``stride`` zeros."""
    return (0,) * m, (0,) * r, (0,) * stride


def _transform(size: Any) -> Transform:
    return strided(*(part.count for part in size))


class VectorArithmetic:
    """``winograd.Arithmetic`` on LLVM vectors: constants are rounded once, to the vectors' dtype."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors
        self.add = vectors.builder.fadd
        self.subtract = vectors.builder.fsub

    def scale(self, c: Fraction, x: ir.Value) -> ir.Value:
        return self.vectors.builder.fmul(self._constant(c), x)

    def multiply_add(self, c: Fraction, x: ir.Value, y: ir.Value) -> ir.Value:
        return self.vectors.fma(self._constant(c), x, y)

    def _constant(self, c: Fraction) -> ir.Constant:
        return ir.Constant(self.vectors.type, [float(c)] * self.vectors.lanes)


def _nested(
    apply: Callable[[Transform, Sequence[ir.Value], VectorArithmetic], list[ir.Value]],
    rows: Transform,
    columns: Transform,
    tile: Iterable[Sequence[ir.Value]],
    on: VectorArithmetic,
) -> Tile:
    """A one-dimensional transform along each row of ``tile`` as it comes, then along the columns; by columns."""
    across = [apply(columns, row, on) for row in tile]
    return [apply(rows, column, on) for column in zip(*across, strict=True)]


def _walk(builder: ir.IRBuilder, start: ir.Value, step: ir.Value, count: int) -> list[ir.Value]:
    """``count`` pointers ``step`` elements apart, each found from the one before: no table of offsets to spill."""
    pointers = [start]
    while len(pointers) < count:
        pointers.append(builder.gep(pointers[-1], [step]))
    return pointers


@intrinsic
def split_line(typingctx, columns, line, start, apart, low, high, ahead, split, at, step, first, count):
    """split[at + k·step + t] = line[start + (m·(t − first) + k)·apart] for k < α, with m and α of F = ``columns``.

    m, here, are the inputs from one tile to the next. Written where 0 ≤ t < ``count`` and
    first ≤ t + ⌊k / m⌋ < first + L: element k ≥ m of a tile is element k − m of its neighbour, so m vectors are
    shuffled apart and stored again, a lane to the left. Elements line[start + j·apart] with j < low or j ≥ high are
    zero and are not read; low ≤ high. What lies ``ahead`` elements behind is fetched into L1.
    """
    f = _transform(columns)
    m = f.step

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, line.dtype)
        width = vectors.lanes
        _, line_, start_, apart_, low_, high_, ahead_, split_, at_, step_, first_, count_ = args
        source = pointer(context, builder, line, line_, start_)
        target = pointer(context, builder, split, split_, at_)
        extent = builder.sub(high_, low_)
        inside = [vectors.inside(builder.sub(index(q * width), low_), extent) for q in range(m)]
        places = [builder.mul(apart_, index(q * width)) for q in range(m)]
        with builder.if_else(builder.icmp_signed("==", apart_, index(1)), likely=True) as (dense, dilated):
            with dense:
                adjacent = [vectors.load(source, index(q * width), mask) for q, mask in enumerate(inside)]
                ends = [builder.block]
            with dilated:
                gathered = [
                    vectors.gather(builder.gep(source, [place]), apart_, mask)
                    for place, mask in zip(places, inside, strict=True)
                ]
                ends.append(builder.block)
        loaded = [builder.phi(vectors.type) for _ in range(m)]
        for phi, *values in zip(loaded, adjacent, gathered, strict=True):
            for value, end in zip(values, ends, strict=True):
                phi.add_incoming(value, end)
        for place in places:
            vectors.prefetch(builder.gep(source, [builder.add(ahead_, place)]))
        left = builder.sub(count_, first_)
        wanted = [
            vectors.mask(builder.sub(index(shift), first_), builder.add(left, index(shift)))
            for shift in range((f.alpha - 1) // m + 1)
        ]
        tiles = deal(vectors, loaded)
        for k, address in enumerate(_walk(builder, target, step_, f.alpha)):
            shift = k // m
            vectors.store(tiles[k % m], address, builder.sub(first_, index(shift)), wanted[shift])
        return context.get_dummy_value()

    return types.void(columns, line, start, apart, low, high, ahead, split, at, step, first, count), codegen


def deal(vectors: Vectors, loaded: list[ir.Value]) -> list[ir.Value]:
    """m consecutive vectors as m vectors of every m-th element: halved while m is even, else picked one by one."""
    m, width = len(loaded), vectors.lanes
    if m == 1:
        return loaded
    if m % 2 == 0:
        pairs = list(zip(loaded[::2], loaded[1::2], strict=True))
        halves = [deal(vectors, [vectors.pick(a, b, range(odd, 2 * width, 2)) for a, b in pairs]) for odd in (0, 1)]
        return [value for pair in zip(*halves, strict=True) for value in pair]
    dealt = []
    for p in range(m):
        where = [divmod(m * lane + p, width) for lane in range(width)]
        value = vectors.pick(loaded[0], loaded[1], [min(v, 1) * width + i for v, i in where])
        for q in range(2, m):
            value = vectors.pick(value, loaded[q], [width + i if v == q else lane for lane, (v, i) in enumerate(where)])
        dealt.append(value)
    return dealt


@intrinsic
def transform_tiles(typingctx, rows, columns, split, start, element, across, v, at, step):
    """v[at + ξ·step + l] = (Bᵀ d B)_ξ of the tile in lane l, ξ = i·α_w + k: L tiles of a run, all lanes written.

    d_ik = split[start + ((i mod m_h)·α_w + k)·element + ⌊i / m_h⌋·across + l], m_h rows from one tile to the next.
    """
    down, over = _transform(rows), _transform(columns)

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, split.dtype)
        _, _, split_, start_, element_, across_, v_, at_, step_ = args
        source = pointer(context, builder, split, split_, start_)
        target = pointer(context, builder, v, v_, at_)

        def row_values():
            first = _walk(builder, source, builder.mul(element_, index(over.alpha)), down.step)
            for i in range(down.alpha):
                row = builder.gep(first[i % down.step], [builder.mul(across_, index(i // down.step))])
                yield [vectors.load(address, index(0)) for address in _walk(builder, row, element_, over.alpha)]

        tile = _nested(input_transform, down, over, row_values(), VectorArithmetic(vectors))
        row_of_products = builder.mul(step_, index(over.alpha))
        for top, column in zip(_walk(builder, target, step_, over.alpha), tile, strict=True):
            for address, value in zip(_walk(builder, top, row_of_products, down.alpha), column, strict=True):
                vectors.store(value, address, index(0))
        return context.get_dummy_value()

    return types.void(rows, columns, split, start, element, across, v, at, step), codegen


@intrinsic
def invert_tile(typingctx, rows, columns, products, start, step, pixels, at, row_step):
    """pixels[at + i·row_step + j·L + l] = (Aᵀ M A)_ij for channel l < L, with M_ξ = products[start + ξ·step + l]."""
    down, across = _transform(rows), _transform(columns)

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, products.dtype)
        _, _, products_, start_, step_, pixels_, at_, row_step_ = args
        source = pointer(context, builder, products, products_, start_)
        target = pointer(context, builder, pixels, pixels_, at_)
        addresses = iter(_walk(builder, source, step_, down.alpha * across.alpha))
        products_by_row = (
            [vectors.load(next(addresses), index(0)) for _ in range(across.alpha)] for _ in range(down.alpha)
        )
        tile = _nested(output_transform, down, across, products_by_row, VectorArithmetic(vectors))
        for j, column in enumerate(tile):
            for address, value in zip(_walk(builder, target, row_step_, down.m), column, strict=True):
                vectors.store(value, address, index(j * vectors.lanes))
        return context.get_dummy_value()

    return types.void(rows, columns, products, start, step, pixels, at, row_step), codegen
