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
from convbench.kernels.winograd import Transform, cook_toom, input_transform, output_transform

Size = tuple[tuple[int, ...], tuple[int, ...]]
Tile = list[list[ir.Value]]


def sized(m: int, r: int) -> Size:
    """F(m, r) as a value whose type says m and r: a tuple of m zeros and a tuple of r."""
    return (0,) * m, (0,) * r


def _transform(size: Any) -> Transform:
    return cook_toom(size[0].count, size[1].count)


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
def split_phases(typingctx, columns, line, start, low, high, phases, at, step):
    """phases[at + p·step + l] = line[start + m·l + p] for p < m and every lane l, with F(m, r) = ``columns``.

    Elements line[start + j] with j < low or j ≥ high are zero and are not read.
    """
    m = _transform(columns).m

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, line.dtype)
        width = vectors.lanes
        _, line_, start_, low_, high_, phases_, at_, step_ = args
        source = pointer(context, builder, line, line_, start_)
        target = pointer(context, builder, phases, phases_, at_)
        loaded = []
        for first in range(0, m * width, width):
            inside = vectors.mask(builder.sub(low_, index(first)), builder.sub(high_, index(first)))
            loaded.append(vectors.load(source, index(first), inside))
        for p, address in enumerate(_walk(builder, target, step_, m)):
            where = [divmod(m * lane + p, width) for lane in range(width)]
            value = loaded[0] if m == 1 else vectors.pick(
                loaded[0], loaded[1], [min(v, 1) * width + i for v, i in where]
            )  # fmt: skip
            for q in range(2, m):
                value = vectors.pick(
                    value, loaded[q], [width + i if v == q else lane for lane, (v, i) in enumerate(where)]
                )
            vectors.store(value, address, index(0))
        return context.get_dummy_value()

    return types.void(columns, line, start, low, high, phases, at, step), codegen


@intrinsic
def transform_tile(typingctx, rows, columns, phases, start, row_step, phase_step, v, at, step, count):
    """v[at + ξ·step + l] = (Bᵀ d B)_ξ of the tile in lane l < ``count``, with ξ = i·α_w + k.

    d_ik = phases[start + i·row_step + (k mod m_w)·phase_step + ⌊k / m_w⌋ + l].
    """
    down, across = _transform(rows), _transform(columns)

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, phases.dtype)
        _, _, phases_, start_, row_step_, phase_step_, v_, at_, step_, count_ = args
        source = pointer(context, builder, phases, phases_, start_)
        target = pointer(context, builder, v, v_, at_)
        inside = vectors.mask(index(0), count_)

        def row_values():
            for row in _walk(builder, source, row_step_, down.alpha):
                phase = _walk(builder, row, phase_step_, across.m)
                yield [vectors.load(phase[k % across.m], index(k // across.m)) for k in range(across.alpha)]

        tile = _nested(input_transform, down, across, row_values(), VectorArithmetic(vectors))
        row_of_products = builder.mul(step_, index(across.alpha))
        for top, column in zip(_walk(builder, target, step_, across.alpha), tile, strict=True):
            for address, value in zip(_walk(builder, top, row_of_products, down.alpha), column, strict=True):
                vectors.store(value, address, index(0), inside)
        return context.get_dummy_value()

    return types.void(rows, columns, phases, start, row_step, phase_step, v, at, step, count), codegen


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
