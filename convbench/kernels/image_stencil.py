"""Stencils straight from the image: depthwise correlation without a padded copy, lanes along the row.

``_tile`` is the building block (contract written before the code; the body may change, this may not)::

    y[i, q] = bias + Σ_blocks Σ_m Σ_c w[block, m, c] · x̂[row(block) + (i + m)·B][col + shift(block) + q·stride + c]

    0 ≤ i < height ≤ ROWS, 0 ≤ q < cols, at most ``wide`` vectors;  y[i, q] = y[y_start + i·y_step + q]

    table       int64: table[n] is the address of column 0 of the n-th row of pixels that the tile reads, or of a row of
                zeros where that row lies outside the image
    x̂           what lies there in columns 0 … W − 1, zero in others
    blocks      m ≤ 4 taps of a filter column, B table rows apart, so that a vector of pixels serves m output rows from
                a register; in ``across`` neighbouring filter columns, 1 or 3. ``rows`` and ``shifts`` int64, one a
                block, longest blocks first; ``counts`` of each of LENGTHS[across]; weights in that order from w_start
    safe        full vectors may be read in columns 0 … safe − 1 of every row; elsewhere loads are masked and touch
                nothing outside the image
    Exactly height × cols elements of y are written, none is read.

``kernels/image_bands.py`` cuts a problem into tiles of rows and its filter into blocks.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convbench.kernels.image_bands import LENGTHS, ROWS, WIDTH, Geometry
from convbench.kernels.jit import njit
from convbench.kernels.lines import clear_line
from convbench.kernels.simd import INDEX, VECTOR_BYTES, Vectors, index, pointer

NARROW = 256  # rows up to this length are fetched ahead: the hardware follows longer ones by itself
ACROSS = {len(lengths): across for across, lengths in LENGTHS.items()}


@intrinsic
def _address(typingctx, array, at):
    """Address of element ``at`` of a flat array."""

    def codegen(context, builder, sig, args):
        return builder.ptrtoint(pointer(context, builder, sig.args[0], *args), INDEX)

    return types.int64(array, types.int64), codegen


@intrinsic
def _list_rows(typingctx, table, at, count, first, step, low, high, outside):
    """table[at + n] = first + n·step where low ≤ n < high, else outside; 0 ≤ n < count, rounded up to 8."""

    def codegen(context, builder, sig, args):
        eight = ir.VectorType(INDEX, 8)
        lane = ir.VectorType(ir.IntType(32), 8)

        def splat(value):
            undefined = ir.Constant(eight, ir.Undefined)
            first = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
            return builder.shuffle_vector(first, undefined, ir.Constant(lane, [0] * 8))

        begin = pointer(context, builder, sig.args[0], args[0], args[1])
        numbers = ir.Constant(eight, list(range(8)))
        first, step, low, high, outside = (splat(value) for value in args[3:])
        eighths = builder.ashr(builder.add(args[2], index(7)), index(3))
        with cgutils.for_range(builder, eighths) as loop:
            start = builder.shl(loop.index, index(3))
            n = builder.add(numbers, splat(start))
            inside = builder.and_(builder.icmp_signed(">=", n, low), builder.icmp_signed("<", n, high))
            address = builder.select(inside, builder.add(first, builder.mul(n, step)), outside)
            builder.store(address, builder.bitcast(builder.gep(begin, [start]), eight.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(table, at, count, first, step, low, high, outside), codegen


@intrinsic(prefer_literal=True)
def _prefetch(typingctx, array, start, count, write):
    """Ask for ``count`` elements of a flat array from ``start`` on, perhaps beyond its end; ``write``: 1 to write."""

    def codegen(context, builder, sig, args):
        begin = builder.bitcast(pointer(context, builder, sig.args[0], args[0], args[1]), ir.IntType(8).as_pointer())
        vectors = Vectors(context, builder, array.dtype)
        lines = builder.ashr(builder.mul(args[2], index(array.dtype.bitwidth // 8)), index(6))
        with cgutils.for_range(builder, lines) as loop:
            address = builder.gep(begin, [builder.shl(loop.index, index(6))])
            vectors.prefetch(address, write=bool(write.literal_value))
        return context.get_dummy_value()

    return types.void(array, start, count, write), codegen


@intrinsic(prefer_literal=True)
def _tile(
    typingctx, wide, apart, table, rows, shifts, counts, B, w, w_start, bias, col, W, safe, y, y_start, y_step,
    height, cols,
):  # fmt: skip
    """The contract above. ``wide`` is a literal; ``stride`` is 2 unless ``apart`` is None; counts tell ``across``."""
    step, columns = 1 if isinstance(apart, types.NoneType) else 2, range(ACROSS[len(counts)])
    tile = [(p, v) for p in range(ROWS) for v in range(wide.literal_value)]
    signature = types.void(
        wide, apart, table, rows, shifts, counts, B, w, w_start, bias, col, W, safe, y, y_start, y_step,
        height, cols,
    )  # fmt: skip

    def codegen(context, builder, sig, args):
        B_, bias_, col_, W_, safe_, y_step_, height_, cols_ = (args[i] for i in (6, 9, 10, 11, 12, 15, 16, 17))
        vectors = Vectors(context, builder, y.dtype)
        lanes = vectors.lanes
        table_, rows_, shifts_ = (pointer(context, builder, sig.args[i], args[i], index(0)) for i in (2, 3, 4))
        weights_ = pointer(context, builder, sig.args[7], args[7], args[8])

        def masks_of(column):
            """For each vector that is loaded, by its first column: its lanes inside the image."""
            starts = columns if step == 1 else columns[::2]
            ahead = [start + n * lanes for start in starts for n in range(wide.literal_value * step)]
            return {at: vectors.inside(builder.add(column, index(at)), W_) for at in ahead}

        def load_pixels(row, masks):
            """pixels[c, v]: vectors of pixels ``step`` columns apart for the block's column c."""

            def load(at):
                return vectors.load(row, index(at), masks[at] if masks else None)

            pixels: dict[tuple[int, int], ir.Value] = {}
            for v in range(wide.literal_value):
                if step == 1:
                    pixels |= {(c, v): load(c + v * lanes) for c in columns}
                    continue
                for c in columns[::2]:  # columns c and c + 1 are the even and odd pixels of the same vectors
                    pair = [load(c + (2 * v + part) * lanes) for part in range(2)]
                    for odd in range(min(2, len(columns) - c)):
                        pixels[c + odd, v] = vectors.pick(pair[0], pair[1], range(odd, 2 * lanes, 2))
            return pixels

        def add_block(length, taps, entries, column, sums, masks):
            sums = dict(sums)
            for j in range(ROWS + length - 1):
                row = builder.gep(builder.inttoptr(builder.load(entries), weights_.type), [column])
                for (c, v), vector in load_pixels(row, masks).items():
                    for m in range(length):
                        if (j - m, v) in sums:
                            sums[j - m, v] = vectors.fma(taps[m, c], vector, sums[j - m, v])
                entries = builder.gep(entries, [B_])
            return sums

        def add_blocks(length, count, block, sums):
            """A loop over ``count`` blocks; gives the next blocks' pointers and the sums."""
            block_rows, block_shifts, weights = block
            size = length * len(columns)
            entry = builder.block
            head, body, done = (builder.append_basic_block(f"block{length}.{part}") for part in ("if", "add", "end"))
            builder.branch(head)
            builder.position_at_end(head)
            i = builder.phi(INDEX)
            i.add_incoming(index(0), entry)
            running = {at: builder.phi(vectors.type) for at in tile}
            for at in tile:
                running[at].add_incoming(sums[at], entry)
            builder.cbranch(builder.icmp_signed("<", i, count), body, done)

            builder.position_at_end(body)
            first = builder.gep(weights, [builder.mul(i, index(size))])
            taps = {
                (m, c): vectors.splat(builder.load(builder.gep(first, [index(m * len(columns) + c)])))
                for m in range(length) for c in columns
            }  # fmt: skip
            column = builder.add(col_, builder.load(builder.gep(block_shifts, [i])))
            entries = builder.gep(table_, [builder.load(builder.gep(block_rows, [i]))])
            if len(columns) > 1:  # small filters are limited by memory, and masks by little
                updated = add_block(length, taps, entries, column, running, masks_of(column))
            else:
                end = builder.add(column, index(wide.literal_value * lanes * step))
                whole = builder.and_(builder.icmp_signed(">=", column, index(0)), builder.icmp_signed("<=", end, safe_))
                ways = []
                with builder.if_else(whole) as (unmasked, masked):
                    with unmasked:
                        ways.append((add_block(length, taps, entries, column, running, None), builder.block))
                    with masked:
                        masks = masks_of(column)
                        ways.append((add_block(length, taps, entries, column, running, masks), builder.block))
                updated = {at: builder.phi(vectors.type) for at in tile}
                for way, end in ways:
                    for at in tile:
                        updated[at].add_incoming(way[at], end)
            i.add_incoming(builder.add(i, index(1)), builder.block)
            for at in tile:
                running[at].add_incoming(updated[at], builder.block)
            builder.branch(head)

            builder.position_at_end(done)
            following = (
                builder.gep(block_rows, [count]),
                builder.gep(block_shifts, [count]),
                builder.gep(weights, [builder.mul(count, index(size))]),
            )
            return following, running

        block, sums = (rows_, shifts_, weights_), dict.fromkeys(tile, vectors.splat(bias_))
        for length, count in zip(LENGTHS[len(columns)], cgutils.unpack_tuple(builder, args[5]), strict=True):
            block, sums = add_blocks(length, count, block, sums)

        y_first = pointer(context, builder, sig.args[13], args[13], args[14])
        stored = [vectors.inside(index(v * lanes), cols_) for v in range(wide.literal_value)]
        for p in range(ROWS):
            with builder.if_then(builder.icmp_signed("<", index(p), height_)):
                row = builder.gep(y_first, [builder.mul(y_step_, index(p))])
                for v, mask in enumerate(stored):
                    vectors.store(sums[p, v], row, index(v * lanes), mask)
        return context.get_dummy_value()

    return signature, codegen


@njit
def correlate_bands(begin, end, x, weight, rows, shifts, counts, bias, y, bands, numbers, apart, scratch):
    """Tasks (n, k, band), the last fastest; x, weight, y flat; scratch (private, uint8): zeros, then the table.

    apart: None if a row's outputs are one pixel apart, else 2: another type, so that each form is compiled by itself.
    """
    n = numbers
    g = Geometry(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12], n[13], n[14], n[15],
                 n[16])  # fmt: skip
    lanes = VECTOR_BYTES // y.itemsize
    zeros = scratch[: g.zeros * y.itemsize].view(y.dtype)
    table = scratch[g.zeros * y.itemsize :].view(np.int64)
    clear_line(zeros, 0, g.zeros)
    outside = _address(zeros, g.before)
    taps = weight.size // g.outputs
    band, output = begin % g.bands, begin // g.bands
    k, channel = output % g.outputs, output // g.multiplier
    for _ in range(begin, end):
        y_start, height, last = output * g.y_plane + bands[band, 0], bands[band, 1], bands[band, 2]
        x_start = channel * g.x_plane
        for t in range(g.slices):
            first = _address(x, x_start + bands[band, 3 + 3 * t])
            _list_rows(table, t * g.table, g.table, first, g.row_step * x.itemsize, bands[band, 4 + 3 * t],
                       bands[band, 5 + 3 * t], outside)  # fmt: skip
        room = x.size - x_start - last if last >= 0 else g.zeros
        if g.W <= NARROW:
            _prefetch(x, x_start + last + height * g.W, height * g.W * g.B, 0)
            _prefetch(y, y_start + height * g.Q, height * g.Q, 1)
        q = 0
        while q < g.Q:
            col, cols, at = q * g.stride - g.before, g.Q - q, y_start + q
            if WIDTH > 1 and cols > lanes:
                # lanes that are stored need the image, the others memory
                safe = min(g.W + max(0, WIDTH * lanes - cols) * g.stride, room)
                _tile(WIDTH, apart, table, rows, shifts, counts, g.B, weight, k * taps, bias[k], col, g.W, safe, y, at,
                      g.y_step, height, cols)  # fmt: skip
                q += WIDTH * lanes
            else:
                safe = min(g.W + max(0, lanes - cols) * g.stride, room)
                _tile(1, apart, table, rows, shifts, counts, g.B, weight, k * taps, bias[k], col, g.W, safe, y, at,
                      g.y_step, height, cols)  # fmt: skip
                q += lanes
        band += 1
        if band == g.bands:
            band, k, output = 0, k + 1, output + 1
            if k % g.multiplier == 0:
                channel += 1
            if k == g.outputs:
                k = 0
