"""Strips: the padded input under a block of output rows, packed so that every tap is a constant offset.

    panel[c, t, f_h, f_w, h, w] = x̂[c, o·s_d + t·d_d, (p + h)·s_h + f_h, (q + w)·s_w + f_w]

for the strip of output positions (o, p …, q …); x̂ is the zero-padded input. Rows and columns are split by stride
phase (f_h, f_w), so that output pixel i = ρ·pitch + column finds tap (t, r, s) of channel c at offset(c, t, r, s) + i
whatever stride and dilation: unit stride in the lanes of ``kernels/pixel_tiles.py``. The panel stays in cache; padding
is settled here once, and no inner loop branches on it. Rows lie as close as they can: where a row ends in padding and
the next begins with it, the same zeros serve both (3×3 with padding 1: pitch = columns + 1).
"""

from __future__ import annotations

from itertools import chain
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convbench.kernels.cache_sets import spread
from convbench.kernels.jit import njit
from convbench.kernels.layout import ALIGNMENT, round_up
from convbench.kernels.simd import INDEX, Vectors, index, pointer
from convbench.kernels.strip_lines import vector_count
from convbench.spec import ConvSpec

FAR = 1 << 30  # columns: those of a strip are compared as int32


class Strip(NamedTuple):
    """A lifted (3-D) problem's strips; lengths in elements."""

    image: tuple[int, ...]  # D, H, W
    output: tuple[int, ...]  # O, P, Q
    stride: tuple[int, ...]
    before: tuple[int, ...]  # padding before the image
    channels: int  # C/G
    depth_step: int  # dilation along D
    slices: int  # the filter's depth T
    phases_h: int  # row phases that some tap reads
    phases_w: int
    rows: int  # output rows of a strip
    cols: int  # output columns of a strip
    height: int  # rows of one phase
    pitch: int  # elements from one row of a phase to the next
    phase: int  # elements from one phase to the next: whole lines, so that taps without a shift are read aligned
    plane: int  # elements from one channel to the next

    @property
    def most_lines(self) -> int:
        """Bound of the lines in which a strip's vectors are stored: each ends with its row or with its vector."""
        return (self.rows * self.pitch) // 2 + self.rows + 3  # vectors have two lanes or more

    @property
    def panel(self) -> int:
        """Elements of a whole panel."""
        return self.channels * self.plane

    @property
    def total(self) -> int:
        """Strips that cover the output of one image and group."""
        O, P, Q = self.output
        return O * -(-P // self.rows) * -(-Q // self.cols)

    def sources(self) -> np.ndarray:
        """(plane,): at stride 1, the element of the image that each of the first strip's first channel is; −1: zero."""
        D, H, W = self.image
        t, rest = np.divmod(np.arange(self.plane), self.phase)
        row, column = np.divmod(rest, self.pitch)
        d, h, w = t * self.depth_step - self.before[0], row - self.before[1], column - self.before[2]
        inside = (t < self.slices) & (d >= 0) & (d < D) & (h >= 0) & (h < H) & (w >= 0) & (w < W)
        return np.where(inside, (d * H + h) * W + w, -1)

    def sizes(self, lanes: int) -> list[tuple[int, int]]:
        """(vectors of pixels, how many) of them: the last row and column of strips may be smaller."""
        (O, P, Q), pitch = self.output, self.pitch
        rows, cols = ([(size, n // size), (n % size, n % size > 0)] for n, size in ((P, self.rows), (Q, self.cols)))
        count = vector_count.py_func
        return [(count(r, c, pitch, lanes), O * i * j) for r, i in rows for c, j in cols if i and j]


def strip_of(spec: ConvSpec, rows: int, cols: int) -> Strip:
    """Strips of rows × cols outputs of a lifted problem."""
    (_, sh, sw), (dd, dh, dw), (slices, R, S) = spec.stride, spec.dilation, spec.filter
    phases_h, phases_w = (max(k * d % s for k in range(n)) + 1 for n, d, s in ((R, dh, sh), (S, dw, sw)))
    height, (pitch, longest) = rows + (R - 1) * dh // sh, _row(spec, cols)
    line = ALIGNMENT // spec.itemsize
    phase = round_up(height * pitch + longest - pitch, line)
    lines = slices * phases_h * phases_w * phase // line
    return Strip(
        image=spec.spatial, output=spec.output_spatial, stride=spec.stride,
        before=tuple(before for before, _ in spec.padding), channels=spec.weight_shape[1], depth_step=dd,
        slices=slices, phases_h=phases_h, phases_w=phases_w, rows=rows, cols=cols, height=height, pitch=pitch,
        phase=phase, plane=spread(lines) * line,
    )  # fmt: skip


def _row(spec: ConvSpec, cols: int) -> tuple[int, int]:
    """The pitch of rows that ``cols`` outputs read, and the elements of the longest phase's row: pitch or more.

    Element i of phase f is column i·s_w + f, padding included. The last ``shared`` elements of a row that reach into
    the next are zeros behind the image, and the next row's first ones are zeros before it.
    """
    stride, (before, _), W = spec.stride[2], spec.padding[2], spec.spatial[2]
    pitch = longest = cols
    last = {s * spec.dilation[2] % stride: s * spec.dilation[2] // stride for s in range(spec.filter[2])}
    for f, tap in last.items():
        length = cols + tap
        ahead, behind = max(0, -((f - before) // stride)), length + (f - before - W) // stride
        shared = max(0, min(ahead, behind)) if cols == spec.output_spatial[2] else 0
        pitch, longest = max(pitch, length - shared), max(longest, length)
    return pitch, longest


def strip_offsets(spec: ConvSpec, strip: Strip, channels: int) -> np.ndarray:
    """int64 (channels · T·R·S,): where the strip's first output finds each term, taps fastest."""
    (_, sh, sw), (_, dh, dw), (T, R, S) = spec.stride, spec.dilation, spec.filter
    taps = [
        ((t * strip.phases_h + r * dh % sh) * strip.phases_w + s * dw % sw) * strip.phase + r * dh // sh * strip.pitch
        + s * dw // sw
        for t in range(T) for r in range(R) for s in range(S)
    ]  # fmt: skip
    return (np.arange(channels)[:, None] * strip.plane + np.array(taps)).reshape(-1).astype(np.int64)


def numbers(strip: Strip) -> np.ndarray:
    """The strip as one int64 array, in which a call of a kernel takes it fastest."""
    return np.array([*chain(*strip[:4]), *strip[4:]], np.int64)


@njit
def unpacked(n):
    """The Strip that :func:`numbers` packed."""
    return Strip((n[0], n[1], n[2]), (n[3], n[4], n[5]), (n[6], n[7], n[8]), (n[9], n[10], n[11]), n[12], n[13], n[14],
                 n[15], n[16], n[17], n[18], n[19], n[20], n[21], n[22])  # fmt: skip


def _columns(builder, lanes, source, target, rows, width, x_step, stride, out_step, x_plane, plane, channels):
    """Emit the loops over channels, rows and vectors of columns, the order in which both sides lie in memory.

    Gives, once, where the body reads and writes, and its first column.
    """
    with cgutils.for_range(builder, channels) as channel:
        x_first = builder.gep(source, [builder.mul(channel.index, x_plane)])
        out_first = builder.gep(target, [builder.mul(channel.index, plane)])
        with cgutils.for_range(builder, rows) as row:
            x_row = builder.gep(x_first, [builder.mul(row.index, x_step)])
            out_row = builder.gep(out_first, [builder.mul(row.index, out_step)])
            with cgutils.for_range_slice(builder, index(0), width, index(lanes), INDEX) as (j, _):
                yield builder.gep(x_row, [builder.mul(j, stride)]), builder.gep(out_row, [j]), j


@intrinsic(prefer_literal=True)
def _split_rows(
    typingctx, stride, x, start, x_step, low, high, out, at, out_step, phase, phases, rows, x_plane, plane, channels,
):  # fmt: skip
    """out[at + c·plane + h·out_step + f·phase + i] = x[start + c·x_plane + h·x_step + i·stride + f].

    For c < channels, h < rows, f < phases, i < out_step; ``stride`` is a literal: 1, 2 or 4. Elements of x outside
    low ≤ i·stride + f < high are zero and not read; both within ±FAR.
    """
    many = stride.literal_value

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)
        lanes = vectors.lanes
        x_step_, low_, high_, out_step_, phase_, phases_ = args[3], args[4], args[5], args[8], args[9], args[10]
        source = pointer(context, builder, sig.args[1], args[1], args[2])
        target = pointer(context, builder, sig.args[6], args[6], args[7])
        extent = builder.sub(high_, low_)

        def by_phase(run):
            if len(run) == 1:
                return run
            pairs = list(zip(run[::2], run[1::2], strict=True))
            halves = [by_phase([vectors.pick(a, b, range(f, 2 * lanes, 2)) for a, b in pairs]) for f in (0, 1)]
            return list(chain(*zip(*halves, strict=True)))

        for row, to, j in _columns(builder, lanes, source, target, args[11], out_step_, x_step_, index(many), out_step_,
                                   *args[12:]):  # fmt: skip
            first = builder.sub(builder.mul(j, index(many)), low_)
            run = [
                vectors.load(row, index(v * lanes), vectors.inside(builder.add(first, index(v * lanes)), extent))
                for v in range(many)
            ]
            stored = vectors.inside(j, out_step_)
            for f, value in enumerate(by_phase(run)):
                with builder.if_then(builder.icmp_signed(">", phases_, index(f)), likely=True):
                    vectors.store(value, to, builder.mul(phase_, index(f)), stored)
        return context.get_dummy_value()

    signature = types.void(stride, x, start, x_step, low, high, out, at, out_step, phase, phases, rows, x_plane, plane,
                           channels)  # fmt: skip
    return signature, codegen


@intrinsic
def _gather_rows(typingctx, x, start, x_step, stride, low, high, out, at, out_step, rows, x_plane, plane, channels):
    """out[at + c·plane + h·out_step + i] = x[start + c·x_plane + h·x_step + i·stride].

    For c < channels, h < rows, i < out_step; elements outside low ≤ i < high are zero and not read; both within ±FAR.
    """

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)
        source = pointer(context, builder, sig.args[0], args[0], args[1])
        target = pointer(context, builder, sig.args[6], args[6], args[7])
        extent = builder.sub(args[5], args[4])
        for row, to, j in _columns(builder, vectors.lanes, source, target, args[9], args[8], args[2], args[3], args[8],
                                   *args[10:]):  # fmt: skip
            known = vectors.inside(builder.sub(j, args[4]), extent)
            vectors.store(vectors.gather(row, args[3], known), to, index(0), vectors.inside(j, args[8]))
        return context.get_dummy_value()

    signature = types.void(x, start, x_step, stride, low, high, out, at, out_step, rows, x_plane, plane, channels)
    return signature, codegen


@intrinsic
def _clear(typingctx, out, at, count, plane, channels):
    """out[at + c·plane + i] = 0 for c < channels, i < count."""

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, out.dtype)
        target = pointer(context, builder, sig.args[0], args[0], args[1])
        zero = ir.Constant(vectors.type, [0.0] * vectors.lanes)
        with cgutils.for_range_slice(builder, index(0), args[2], index(vectors.lanes), INDEX) as (i, _):
            inside = vectors.mask(index(0), builder.sub(args[2], i))
            with cgutils.for_range(builder, args[4]) as loop:
                vectors.store(zero, target, builder.add(i, builder.mul(loop.index, args[3])), inside)
        return context.get_dummy_value()

    return types.void(out, at, count, plane, channels), codegen


@njit
def pack_strip(x, channel, o, p, q, rows, strip, panel):
    """Fill ``panel`` for the strip of ``rows`` output rows from (o, p, q) on; x flat, ``channel`` = n·C + first c.

    What no tap of an output reads but a whole vector may is zero too: stale denormals would slow the products down.
    """
    D, H, W = strip.image
    _, sh, sw = strip.stride
    width = strip.pitch
    height = rows + strip.height - strip.rows
    phase = strip.phase
    left = q * sw - strip.before[2]
    low, high = max(-FAR, -left), min(FAR, W - left)
    used = strip.slices * strip.phases_h * strip.phases_w * phase
    plane, x_plane, x_step, some = strip.plane, D * H * W, sh * W, strip.channels
    _clear(panel, some * plane, panel.size - some * plane, 0, 1)
    _clear(panel, used, plane - used, plane, some)
    for t in range(strip.slices):
        d = o * strip.stride[0] + t * strip.depth_step - strip.before[0]
        for fh in range(strip.phases_h):
            at = (t * strip.phases_h + fh) * strip.phases_w * phase
            top = p * sh + fh - strip.before[1]  # the input row of h = 0
            begin = min(height, max(0, -(top // sh)))
            end = max(begin, min(height, (H - 1 - top) // sh + 1))
            if d < 0 or d >= D:
                begin = end = height
            for f in range(strip.phases_w):
                _clear(panel, at + f * phase, begin * width, plane, some)
                _clear(panel, at + f * phase + end * width, phase - (strip.height - height + end) * width, plane, some)
            x_at, to, inside = ((channel * D + d) * H + top + begin * sh) * W + left, at + begin * width, end - begin
            if sw == 1:
                _split_rows(1, x, x_at, x_step, low, high, panel, to, width, phase, strip.phases_w, inside, x_plane,
                            plane, some)  # fmt: skip
            elif sw == 2:
                _split_rows(2, x, x_at, x_step, low, high, panel, to, width, phase, strip.phases_w, inside, x_plane,
                            plane, some)  # fmt: skip
            elif sw == 4:
                _split_rows(4, x, x_at, x_step, low, high, panel, to, width, phase, strip.phases_w, inside, x_plane,
                            plane, some)  # fmt: skip
            else:
                for f in range(strip.phases_w):
                    _gather_rows(x, x_at + f, x_step, sw, (sw - 1 + low - f) // sw, (sw - 1 + high - f) // sw, panel,
                                 to + f * phase, width, inside, x_plane, plane, some)  # fmt: skip


@njit
def rows_read(strip, where):
    """What strip number ``where`` of all images and groups reads of its first channel: where in x, and how much.

    Whole rows of the image, in the last of its slices; neither need lie in x.
    """
    D, H, W = strip.image
    O, P, Q = strip.output
    strips_p, strips_q = (P + strip.rows - 1) // strip.rows, (Q + strip.cols - 1) // strip.cols
    above, sp = divmod(where // strips_q, strips_p)
    image, o = divmod(above, O)
    d = o * strip.stride[0] + (strip.slices - 1) * strip.depth_step - strip.before[0]
    top = max(0, sp * strip.rows * strip.stride[1] - strip.before[1])
    rows = max(0, min(H - top, strip.height * strip.stride[1]))
    return ((image * strip.channels * D + min(max(d, 0), D - 1)) * H + top) * W, rows * W
