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
from convbench.kernels.simd import VECTOR_BYTES, Vectors, index, pointer, viewed


@intrinsic
def _tile(
    typingctx, form, width, g, numbers, plane, x, x_start, zeros, row, column, w, w_start, bias, y, y_start, rows, cols
):
    """``Tile`` with ``len(width)`` vectors: its first rows × cols outputs, at y_start.

    x_start, bias, y_start: of two channels, of which the form may take the first alone; x_start: where x[0, 0] lies;
    w_start: the filter's first tap; numbers: of ``plane_forms.numbers``, with this output plane's chains from ``plane``
    on; zeros: at least W of them. No element outside the image is read.
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
        count = len(made.channels)
        x_at, biases, y_at = (cgutils.unpack_tuple(builder, args[i])[:count] for i in (6, 12, 14))
        tile = Tile(builder, vectors, made, len(width), number, [address(5, at) for at in x_at],
                    [address(13, at) for at in y_at], address(10, args[11]), args[8], args[9])  # fmt: skip
        start = [vectors.splat(bias) for bias in biases]
        first = vectors.pick(start[0], start[-1], [i + i % count * vectors.lanes for i in range(vectors.lanes)])
        sums = dict.fromkeys(tile.tile, first)
        if made.R:
            sums = tile.by_rows(sums)
        else:
            sums = tile.by_chains(sums, address(3, index(FIELDS)), address(3, args[4]), address(7, index(0)))
        tile.store(sums, args[15], args[16])
        return context.get_dummy_value()

    return signature, codegen


@njit
def correlate_planes(begin, end, x, weight, form, bias, y, numbers, scratch):
    """Tasks (n, k, o, band of rows), the last fastest, k in steps of the channels of a vector; x, weight, y flat.

    scratch (private, uint8): W elements if taps go by chains, else none.
    """
    n = numbers
    g = Geometry(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12], n[13], n[14], n[15],
                 n[16], n[17], n[18], n[19])  # fmt: skip
    high, wide, step, channels = len(form[0]), len(form[1]), len(form[2]), len(form[7])
    groups = (g.outputs + channels - 1) // channels
    lanes, taps, zeros = VECTOR_BYTES // y.itemsize, weight.size // (groups * channels), viewed(scratch, y)
    columns = lanes // channels
    if len(form[6]):
        clear_line(zeros, 0, g.W)
    group, band = divmod(begin, g.bands)
    group, o = divmod(group, g.O)
    image, k = divmod(group, groups)
    k *= channels
    planes_in = g.outputs // g.multiplier * g.x_channel
    channel, turn = divmod(k, g.multiplier)
    for _ in range(begin, end):  # without a division, which costs as much as a row
        chains, top = FIELDS + g.lengths + 2 * o * g.chains, band * g.rows
        below = min(g.P, top + g.rows)
        more = 1 if channels > 1 and k + 1 < g.outputs else 0
        plane, x_start = (image * g.outputs + k) * g.O + o, image * planes_in + channel * g.x_channel
        starts = (x_start, x_start + (g.x_channel if more and turn + 1 == g.multiplier else 0))
        biases = (bias[k], bias[k + more])
        for a in range(top, min(top + g.A, below)):
            p, rows = a, below - a if g.A == 1 else (below - a + g.A - 1) // g.A
            while rows > 0:
                row = p * g.stride - g.before
                for q in range(0, g.Q, wide * columns):
                    column, cols, at = q * step - g.left, g.Q - q, (plane * g.P + p) * g.Q + q
                    ends = (at, at + more * g.P * g.Q)
                    if wide > 1 and cols > lanes:
                        _tile(form, form[1], g, numbers, chains, x, starts, zeros, row, column, weight, k * taps,
                              biases, y, ends, rows, cols)  # fmt: skip
                    else:
                        _tile(form, (0,), g, numbers, chains, x, starts, zeros, row, column, weight, k * taps,
                              biases, y, ends, rows, cols)  # fmt: skip
                p, rows = p + g.A * high, rows - high
        band += 1
        if band == g.bands:
            band, o = 0, o + 1
            if o == g.O:
                o, k = 0, k + channels
                turn += channels
                while turn >= g.multiplier:
                    turn, channel = turn - g.multiplier, channel + 1
                if k >= g.outputs:
                    k, channel, turn, image = 0, 0, 0, image + 1
