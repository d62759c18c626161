"""F(1 × 4, r × 3) as LLVM vectors: minimal filtering along rows, a direct sum along columns and channels.

Tiles of 4 outputs of a row are numbered through the whole plane, row by row, T to a row: tile τ = h·T + t lies in a
lane. A row is laid out as 4·T elements, what it lacks being zero, so that element e[4τ + i] is output i of tile τ or
the input in the middle of what it reads. Contracts (written before the code), with F(4, 3) of ``kernels/winograd.py``
and α = 6 products a tile::

    transform_tiles   v[v_start + ξ·pitch + l] = Σ_k Bᵀ[ξ, k] · d[k]                    τ = (first + n)·L + l, n < count
                      d[k] = e[4τ + k − 1];  d[0] = 0 in a row's first tile, d[α − 1] = 0 in its last
    multiply_tiles    m[(ξ·M + i)·V·L + j] = Σ_{p < terms} u[u_start + (ξ·terms + p)·M + i]
                                                           · v[v_start + ξ·pitch + offsets[p] + j]
                      0 ≤ ξ < α, 0 ≤ i < M, 0 ≤ j < V·L;  M × V a tile of :data:`TILES`
                      meanwhile source[ahead + pace·(ξ·terms + p)] is asked for in L2, and the lines of V·4 vectors
                      from y[y_start + n·y_plane] on, n < M or a few more, to be written; any address will do
    invert_tiles      e[4τ + i] = bias + Σ_ξ Aᵀ[i, ξ] · m[m_start + ξ·m_step + l]        τ = vector·L + l

A table has a line of numbers for each vector of tiles, :func:`lines`, that says where in a plane its elements e are;
those outside the plane are not touched.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convbench.kernels.expansion import expansion
from convbench.kernels.gemm import products
from convbench.kernels.simd import VECTOR_BYTES, Vectors, index, pointer, repeat
from convbench.kernels.transpose import interleaved
from convbench.kernels.winograd import cook_toom, input_transform, output_transform
from convbench.kernels.winograd_code import VectorArithmetic, deal

F = cook_toom(4, 3)
TILES = {8: (3, 2, 1), 4: (3, 2, 1)} if VECTOR_BYTES == 64 else {4: (3, 2, 1)}
AHEAD = 64  # terms: the filters are asked for this much earlier than used, across tiles that follow each other


def lines(sources: np.ndarray, lanes: int) -> np.ndarray:
    """int64 (vectors of tiles, 1 + 2·m): of elements e that are sources[·] of a plane, or outside it where negative.

    First whether each vector of e is one run of the plane; then where each begins: its lane 0 if so, else the first
    element held; then the masks of what is held.
    """
    table = expansion(sources, lanes)
    assert table is not None
    at, masks = table.reshape(2, -1, F.m)
    held = (masks[..., None] >> np.arange(lanes)) & 1
    runs = (np.abs(np.diff(held, axis=-1, prepend=0, append=0)).sum(-1) <= 2).all(1, keepdims=True)
    return np.hstack([runs, np.where(runs, at - held.argmax(-1), at), masks])


def image_lines(sources: np.ndarray, across: int, lanes: int) -> np.ndarray:
    """:func:`lines`; where the elements left and right of a vector of tiles are; which lanes have such a one."""
    first = np.arange(0, sources.size, lanes * F.m)
    t = np.arange(sources.size // F.m).reshape(-1, lanes) % across
    columns = []
    for places, inner, lane in ((first - 1, t > 0, 0), (first + lanes * F.m, t < across - 1, lanes - 1)):
        beside = np.where((places >= 0) & (places < sources.size), sources[places % sources.size], -1)
        inner[:, lane] &= beside >= 0
        columns.append((np.maximum(beside, 0), (inner << np.arange(lanes, dtype=np.int64)).sum(1)))
    (left, has_left), (right, has_right) = columns
    return np.column_stack([lines(sources, lanes), left, right, has_left, has_right])


@intrinsic
def transform_tiles(typingctx, x, start, table, first, count, v, v_start, pitch):
    """The contract; x[start] is the plane's first element, ``table`` of :func:`image_lines`."""

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)
        lanes = vectors.lanes
        source = pointer(context, builder, x, args[0], args[1])
        target = pointer(context, builder, v, args[5], args[6])
        columns = 1 + 2 * F.m + 4
        line = pointer(context, builder, table, args[2], builder.mul(args[3], index(columns)))

        def group(n, carried):
            line, target = carried
            runs, *rest = [builder.load(builder.gep(line, [index(i)])) for i in range(columns)]
            places, masks, (left_at, right_at) = rest[: F.m], rest[F.m : 2 * F.m], rest[2 * F.m : -2]
            masks, inner = ([vectors.mask_of(bits) for bits in some] for some in (masks, rest[-2:]))
            with builder.if_else(cgutils.is_not_null(builder, runs), likely=True) as (whole, parts):
                with whole:
                    loaded = [vectors.load(source, at, mask) for at, mask in zip(places, masks, strict=True)]
                    loaded_end = builder.block
                with parts:
                    expanded = [vectors.expand(source, at, mask) for at, mask in zip(places, masks, strict=True)]
                    expanded_end = builder.block
            middle = [builder.phi(vectors.type) for _ in loaded]
            for phi, *values in zip(middle, loaded, expanded, strict=True):
                for value, end in zip(values, (loaded_end, expanded_end), strict=True):
                    phi.add_incoming(value, end)
            before, behind = (vectors.splat(builder.load(builder.gep(source, [at]))) for at in (left_at, right_at))
            dealt = deal(vectors, middle)
            left = vectors.pick(dealt[-1], before, [lanes, *range(lanes - 1)])
            right = vectors.pick(dealt[0], behind, [*range(1, lanes), lanes])
            left, right = (
                builder.select(mask, value, vectors.zero) for mask, value in zip(inner, (left, right), strict=True)
            )
            place = target
            for value in input_transform(F, [left, *dealt, right], VectorArithmetic(vectors)):
                vectors.store(value, place, index(0))
                place = builder.gep(place, [args[7]])
            return builder.gep(line, [index(columns)]), builder.gep(target, [index(lanes)])

        repeat(builder, args[4], [line, target], group)
        return context.get_dummy_value()

    return types.void(x, start, table, first, count, v, v_start, pitch), codegen


@intrinsic
def multiply_tiles(
    typingctx, height, width, terms, v, v_start, pitch, offsets, u, u_start, m, source, ahead, pace, y, y_start, y_plane
):  # fmt: skip
    """The contract; each (height, width) has code of its own."""
    signature = types.void(
        height, width, terms, v, v_start, pitch, offsets, u, u_start, m, source, ahead, pace, y, y_start, y_plane
    )

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, v.dtype)

        def at(array, start):
            return pointer(context, builder, sig.args[array], args[array], start)

        operands = at(3, args[4]), at(6, index(0)), at(7, args[8]), at(9, index(0)), at(10, args[11]), at(13, args[14])
        steps = args[5], args[12], args[15]
        for M, widths in TILES.items():
            with builder.if_then(builder.icmp_signed("==", args[0], index(M))):
                for V in widths:
                    with builder.if_then(builder.icmp_signed("==", args[1], index(V))):
                        _multiply(vectors, M, V, args[2], operands, steps)
        return context.get_dummy_value()

    return signature, codegen


def _multiply(vectors, M, V, terms, operands, steps):
    """All α products of an M × V tile."""
    builder, lanes = vectors.builder, vectors.lanes
    v, places, u, m, source, y = operands
    pitch, pace, y_plane = steps

    def product(_, carried):
        first, filters, target, source, row = carried
        for _ in range(-(-M // F.alpha)):
            for k in range(V * F.m):
                vectors.prefetch(builder.gep(row, [index(k * lanes)]), write=True)
            row = builder.gep(row, [y_plane])

        def columns(_, pointers):
            vectors.prefetch(builder.gep(pointers[0], [index(AHEAD * M)]))
            vectors.prefetch(pointers[2], level=2)
            at = builder.gep(first, [builder.load(pointers[1])])
            return [vectors.load(at, index(v * lanes)) for v in range(V)]

        walks = [(filters, index(M)), (places, index(1)), (source, pace)]
        (filters, _, source), totals = products(
            vectors, [vectors.zero] * (M * V), terms, walks, columns, folds=False
        )  # as the vectors of tiles lie across lines, loads are what the loop waits for
        for k, value in enumerate(totals):
            vectors.store(value, target, index(k * lanes))
        return [builder.gep(first, [pitch]), filters, builder.gep(target, [index(M * V * lanes)]), source, row]

    repeat(builder, index(F.alpha), [v, u, m, source, y], product)


@intrinsic
def invert_tiles(typingctx, m, m_start, m_step, y, start, table, vector, bias):
    """The contract; y[start] is the plane's first element, ``table`` of :func:`lines`."""

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, m.dtype)
        source = pointer(context, builder, m, args[0], args[1])
        target = pointer(context, builder, y, args[3], args[4])
        columns = 1 + 2 * F.m
        line = pointer(context, builder, table, args[5], builder.mul(args[6], index(columns)))
        values = []
        for _ in range(F.alpha):
            values.append(vectors.load(source, index(0)))
            source = builder.gep(source, [args[2]])
        add = vectors.splat(args[7])
        outputs = [builder.fadd(value, add) for value in output_transform(F, values, VectorArithmetic(vectors))]
        runs, *rest = [builder.load(builder.gep(line, [index(i)])) for i in range(columns)]
        stored = list(zip(_joined(vectors, outputs), rest[: F.m], map(vectors.mask_of, rest[F.m :]), strict=True))
        with builder.if_else(cgutils.is_not_null(builder, runs), likely=True) as (whole, parts):
            with whole:
                for value, at, mask in stored:
                    vectors.store(value, target, at, mask)
            with parts:
                for value, at, mask in stored:
                    vectors.compress(value, target, at, mask)
        return context.get_dummy_value()

    return types.void(m, m_start, m_step, y, start, table, vector, bias), codegen


def _joined(vectors, rows):
    """Column by column, as ``interleaved`` has it, of vectors with fewer lanes than rows, too."""
    if len(rows) <= vectors.lanes:
        return interleaved(vectors, rows)
    pairs = zip(rows[::2], rows[1::2], strict=True)
    halves = [[vectors.pick(a, b, [j, vectors.lanes + j]) for j in range(vectors.lanes)] for a, b in pairs]
    return [value for column in zip(*halves, strict=True) for value in column]
