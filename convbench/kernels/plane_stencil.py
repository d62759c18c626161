"""Depthwise correlation of images where they lie: tiles of rows, lanes along the row, no copy.

Lines are fetched well before their use, those of y too: a plane is used up sooner than it arrives from beyond L2.
"""

from __future__ import annotations

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convbench.kernels.jit import njit
from convbench.kernels.lines import clear_line
from convbench.kernels.plane_forms import FIELDS, Form, Geometry
from convbench.kernels.plane_tiles import Tile
from convbench.kernels.simd import VECTOR_BYTES, Vectors, index, pointer


@intrinsic
def _tile(
    typingctx, form, width, g, numbers, plane, x, x_start, zeros, row, column, w, w_start, bias, y, y_start, rows, cols
):
    """``Tile`` with ``len(width)`` vectors: its first rows × cols outputs, at y_start.

    x[0, 0] at x_start; w_start: the filter's first tap; numbers: of ``plane_forms.numbers``, with this output plane's
    chains from ``plane`` on; zeros: at least W of them. No element outside the image is read.
    """
    signature = types.void(
        form, width, g, numbers, plane, x, x_start, zeros, row, column, w, w_start, bias, y, y_start, rows, cols
    )

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)

        def address(array, start):
            return pointer(context, builder, sig.args[array], args[array], start)

        made = Form(*form)
        number = dict(zip(Geometry._fields, cgutils.unpack_tuple(builder, args[2]), strict=True))
        tile = Tile(builder, vectors, made, len(width), number, address(5, args[6]), address(13, args[14]),
                    address(10, args[11]), args[8], args[9])  # fmt: skip
        sums = dict.fromkeys(tile.tile, vectors.splat(args[12]))
        if made.R:
            sums = tile.by_rows(sums)
        else:
            sums = tile.by_chains(sums, address(3, index(FIELDS)), address(3, args[4]), address(7, index(0)))
        tile.store(sums, args[15], args[16])
        return context.get_dummy_value()

    return signature, codegen


@njit
def correlate_planes(begin, end, x, weight, form, bias, y, numbers, scratch):
    """Tasks (n, k, o, band of rows), the last fastest; x, weight, y flat.

    scratch (private, uint8): W elements if taps go by chains, else none.
    """
    n = numbers
    g = Geometry(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12], n[13], n[14], n[15],
                 n[16], n[17], n[18], n[19])  # fmt: skip
    high, wide, step = len(form[0]), len(form[1]), len(form[2])
    lanes, taps, zeros = VECTOR_BYTES // y.itemsize, weight.size // g.outputs, scratch.view(y.dtype)
    if len(form[6]):
        clear_line(zeros, 0, g.W)
    plane, band = divmod(begin, g.bands)
    output, o = divmod(plane, g.O)
    k, turn, x_start = output % g.outputs, output % g.multiplier, output // g.multiplier * g.x_channel
    for _ in range(begin, end):  # without a division, which costs as much as a row
        chains, top = FIELDS + g.lengths + 2 * o * g.chains, band * g.rows
        below = min(g.P, top + g.rows)
        for a in range(top, min(top + g.A, below)):
            p, rows = a, below - a if g.A == 1 else (below - a + g.A - 1) // g.A
            while rows > 0:
                row = p * g.stride - g.before
                for q in range(0, g.Q, wide * lanes):
                    column, cols, at = q * step - g.left, g.Q - q, (plane * g.P + p) * g.Q + q
                    if wide > 1 and cols > lanes:
                        _tile(form, form[1], g, numbers, chains, x, x_start, zeros, row, column, weight, k * taps,
                              bias[k], y, at, rows, cols)  # fmt: skip
                    else:
                        _tile(form, (0,), g, numbers, chains, x, x_start, zeros, row, column, weight, k * taps,
                              bias[k], y, at, rows, cols)  # fmt: skip
                p, rows = p + g.A * high, rows - high
        band += 1
        if band == g.bands:
            band, o, plane = 0, o + 1, plane + 1
            if o == g.O:
                o, k, turn = 0, k + 1, turn + 1
                if turn == g.multiplier:
                    turn, x_start = 0, x_start + g.x_channel
                if k == g.outputs:
                    k = 0
