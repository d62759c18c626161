"""Depthwise correlation of images: tiles of rows over padded copies that stay in L1, lanes along the row.

The pixels under a tile are copied one task ahead of their use, to two places by turns, so that no load waits for the
stores before it. Zeros stand where the image ends, columns are split by phase, rows that are one output row apart are
neighbours: every tap of every problem is a constant offset (``kernels/image_bands.py``). Rows of at most half a vector
lie two to a vector.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convbench.kernels.image_bands import Geometry
from convbench.kernels.jit import njit
from convbench.kernels.lines import clear_line
from convbench.kernels.simd import INDEX, VECTOR_BYTES, Vectors, index, pointer
from convbench.kernels.stencil import MULTIPLY, PAD, ROWS, SHORT, WIDTH, tile


@intrinsic(prefer_literal=True)
def _copy_rows(typingctx, stride, x, start, x_step, column, W, above, inside, below, out, at, pitch, phase):
    """Rows ``pitch`` apart from out[at] on: ``above`` of zeros, ``inside`` with pixels, ``below`` of zeros.

    out[row + f·phase + i] = x[first + c] where 0 ≤ c < W, else 0, c = column + stride·i + f; 0 ≤ i < pitch, 0 ≤ f <
    stride, a literal, 1 or 2; first = start + n·x_step for the n-th row of pixels. Pixels outside are not read.
    """
    step = stride.literal_value
    signature = types.void(stride, x, start, x_step, column, W, above, inside, below, out, at, pitch, phase)

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)
        lanes = vectors.lanes
        x_step_, column_, W_, above_, inside_, below_ = args[3:9]
        pitch_, phase_ = args[11:13]
        source = pointer(context, builder, sig.args[1], args[1], args[2])
        target = pointer(context, builder, sig.args[9], args[9], args[10])
        count = builder.ashr(builder.add(pitch_, index(lanes - 1)), index(lanes.bit_length() - 1))

        def times(count, out, x, row):
            """``row(out, x)``, so many times; gives where the next row is written."""
            entry = builder.block
            head, body, done = (builder.append_basic_block(f"rows.{part}") for part in ("if", "do", "end"))
            builder.branch(head)
            builder.position_at_end(head)
            left, to, of = builder.phi(INDEX), builder.phi(out.type), builder.phi(x.type)
            for phi, value in ((left, count), (to, out), (of, x)):
                phi.add_incoming(value, entry)
            builder.cbranch(builder.icmp_signed(">", left, index(0)), body, done)
            builder.position_at_end(body)
            row(to, of)
            left.add_incoming(builder.sub(left, index(1)), body)
            to.add_incoming(builder.gep(to, [pitch_]), body)
            of.add_incoming(builder.gep(of, [x_step_]), body)
            builder.branch(head)
            builder.position_at_end(done)
            return to

        with cgutils.for_range(builder, count) as loop:
            i = builder.mul(loop.index, index(lanes))
            first = builder.add(column_, builder.mul(i, index(step)))
            masks = [vectors.inside(builder.add(first, index(n * lanes)), W_) for n in range(step)]
            stored = vectors.inside(i, pitch_)

            def clear(to, of):
                for f in range(step):
                    vectors.store(vectors.zero, to, phase_ if f else index(0), stored)

            def copy(to, of):
                pixels = [vectors.load(of, index(n * lanes), mask) for n, mask in enumerate(masks)]
                for f in range(step):
                    chosen = pixels[0]
                    if step == 2:
                        chosen = vectors.pick(pixels[0], pixels[1], range(f, 2 * lanes, 2))
                    vectors.store(chosen, to, phase_ if f else index(0), stored)

            to, of = builder.gep(target, [i]), builder.gep(source, [first])
            times(below_, times(inside_, times(above_, to, of, clear), of, copy), of, clear)
        return context.get_dummy_value()

    return signature, codegen


@njit
def correlate_bands(begin, end, which, x, weight, offsets, counts, bias, y, bands, numbers, scratch):
    """Tasks (n, k, band), the last fastest; x, weight, y flat; scratch (private, uint8): two of ``Geometry.size``.

    which: sum of the phases to run, PAD and MULTIPLY; one without the other takes one task at a time.
    One function: a call of another, or a view of an array, costs as much as the tile of a small image.
    """
    n = numbers
    g = Geometry(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12], n[13], n[14], n[15],
                 n[16], n[17], n[18])  # fmt: skip
    lanes = VECTOR_BYTES // y.itemsize
    copies = scratch.view(y.dtype)
    if which & PAD:
        clear_line(copies, 0, 2 * g.size)  # what tiles read beyond the pixels could be slow to multiply
    taps, parts, room, x_step = weight.size // g.outputs, g.slices * g.B, g.each * g.pitch, g.B * g.row_step
    number, output = np.uintp(begin % g.bands), begin // g.bands
    k, plane, turn = output % g.outputs, output // g.multiplier, output % g.multiplier
    ahead, ready = number, 0
    x_start, y_start = plane * g.x_plane, output * g.y_plane
    for task in range(begin, end + 1):
        copied = g.size - ready
        if task < end and which & PAD:
            column = (bands[ahead, 2] - g.left) * g.stride
            for part in range(parts):
                at, first = copied + part * room, np.uintp(4 + 4 * part)
                start, above = x_start + bands[ahead, first], bands[ahead, first + np.uintp(1)]
                inside, below = bands[ahead, first + np.uintp(2)], bands[ahead, first + np.uintp(3)]
                if g.stride == 1:
                    _copy_rows(1, x, start, x_step, column, g.W, above, inside, below, copies, at, g.pitch, 0)
                else:
                    _copy_rows(2, x, start, x_step, column, g.W, above, inside, below, copies, at, g.pitch,
                               parts * room)  # fmt: skip
            ahead += np.uintp(1)
            if ahead == g.bands:
                ahead, turn = np.uintp(0), turn + 1
                if turn == g.multiplier:
                    turn, x_start = 0, x_start + g.x_plane
        if task > begin and which & MULTIPLY:
            y_band, rows, cols = y_start + bands[number, 0], bands[number, 1], bands[number, 3]
            p = 0
            while p < rows:
                at, y_tile, left = ready + p * g.pitch, y_band + p * g.y_step, rows - p
                if g.joined > 1:
                    tile(SHORT, 1, 2, 0, copies, at, g.x_step, weight, k * taps, offsets, counts, bias[k], y, y_tile,
                         g.y_step, left, cols)  # fmt: skip
                    p += 2 * SHORT
                else:
                    low = cols <= lanes and (left <= SHORT or ROWS < left <= 2 * SHORT)
                    q = 0
                    while q < cols:
                        if WIDTH > 1 and cols - q > lanes:
                            tile(ROWS, WIDTH, 1, 0, copies, at + q, g.x_step, weight, k * taps, offsets, counts,
                                 bias[k], y, y_tile + q, g.y_step, left, cols - q)  # fmt: skip
                            q += WIDTH * lanes
                        elif low:
                            tile(SHORT, 1, 1, 0, copies, at + q, g.x_step, weight, k * taps, offsets, counts, bias[k],
                                 y, y_tile + q, g.y_step, left, cols - q)  # fmt: skip
                            q += lanes
                        else:
                            tile(ROWS, 1, 1, 0, copies, at + q, g.x_step, weight, k * taps, offsets, counts, bias[k], y,
                                 y_tile + q, g.y_step, left, cols - q)  # fmt: skip
                            q += lanes
                    p += SHORT if low else ROWS
            number += np.uintp(1)
            if number == g.bands:
                number, k, y_start = np.uintp(0), k + 1, y_start + g.y_plane
                if k == g.outputs:
                    k = 0
        ready = copied
