"""Windows: the padded input under a block of output, in scratch that stays in cache, for ``kernels/stencil.py``.

Rows are split by column phase, so that the taps of a strided problem read with unit stride too; padding, stride and
dilation are settled here once, and no inner loop branches on them.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import intrinsic

from convbench.kernels.jit import njit
from convbench.kernels.layout import round_up
from convbench.kernels.lines import clear_line
from convbench.kernels.simd import Vectors, index, pointer
from convbench.kernels.stencil import ROWS, WIDTH, Chains, chains, lanes_of
from convbench.machine import Machine
from convbench.spec import ConvSpec

WINDOW_BYTES = 32 * 1024  # a window about fills L1
BLOCK_SECONDS = 1e-7  # what a block costs beside its copy and its products
COLS = 512  # outputs of a row that a block takes at most, unless the filter is wider


class Window(NamedTuple):
    """Where a lifted (3-D) problem's blocks of output find their pixels; lengths in elements.

    A block is rows × cols outputs of one output plane. Its window holds ``slices`` input planes of ``height`` rows of
    ``width`` elements; column j of a row lies at (j mod s)·(width / s) + ⌊j / s⌋ for column stride s.
    """

    image: tuple[int, ...]  # D, H, W
    output: tuple[int, ...]  # O, P, Q
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]  # padding before the image
    rows: int
    cols: int
    slices: int  # the filter's depth T
    reach: int  # input rows below an output row's own: (R − 1)·dilation
    height: int
    width: int
    step: int  # from one row of a tile to the next: an output row's stride, or one vector if folded: P = 1
    lanes: int

    @property
    def size(self) -> int:
        """Elements of scratch that hold the window, and the vectors that the last tile reads beyond it."""
        return self.slices * self.height * self.width + (ROWS + 1) * self.lanes

    @property
    def blocks(self) -> int:
        """Blocks that cover the output of one channel."""
        O, P, Q = self.output
        return O * -(-P // self.rows) * -(-Q // self.cols)


def fill_time(window: Window, blocks: int, spec: ConvSpec, threads: int, machine: Machine) -> float:
    """Seconds to fill the windows of so many blocks, each written and read in cache, and to begin with each."""
    copied = 2 * window.size * spec.itemsize / machine.l2_bandwidth
    return blocks * (copied + BLOCK_SECONDS) / threads


def window_of(spec: ConvSpec, rows: int, cols: int, fold: bool = True) -> Window:
    """The window under blocks of rows × cols outputs of a lifted problem; ``fold``: see ``Window.step``."""
    lanes = lanes_of(spec.np_dtype)
    (slices, R, S), (_, dh, dw), (_, sh, sw) = spec.filter, spec.dilation, spec.stride
    folded = fold and spec.output_spatial[1] == 1
    reach = (R - 1) * dh
    width = sw * round_up(cols + (S - 1) * dw // sw, lanes)
    if sh * width * spec.itemsize % 4096 == 0:  # rows of a tile would fall on the same cache set
        width += sw * lanes
    return Window(
        image=spec.spatial, output=spec.output_spatial, stride=spec.stride, dilation=spec.dilation,
        before=tuple(before for before, _ in spec.padding), rows=rows, cols=cols, slices=slices, reach=reach,
        height=((1 if folded else round_up(rows, ROWS)) - 1) * sh + reach + 1, width=width,
        step=lanes if folded else sh * width, lanes=lanes,
    )  # fmt: skip


@lru_cache(maxsize=256)
def packed(window: Window) -> np.ndarray:
    """The window's numbers as one int64 array, in which a call of a kernel takes them fastest."""
    return np.array([*chain(*window[:5]), *window[5:]], np.int64)


@njit
def unpacked(numbers):
    """The Window that :func:`packed` packed."""
    image, output = (numbers[0], numbers[1], numbers[2]), (numbers[3], numbers[4], numbers[5])
    stride, dilation = (numbers[6], numbers[7], numbers[8]), (numbers[9], numbers[10], numbers[11])
    before = (numbers[12], numbers[13], numbers[14])
    return Window(
        image, output, stride, dilation, before, numbers[15], numbers[16], numbers[17], numbers[18], numbers[19],
        numbers[20], numbers[21], numbers[22],
    )  # fmt: skip


@njit
def block_at(window, number):
    """(o, p, q) where block ``number`` of a channel's output begins, and its (rows, cols)."""
    _, P, Q = window.output
    blocks_p, blocks_q = (P + window.rows - 1) // window.rows, (Q + window.cols - 1) // window.cols
    p, q = number // blocks_q % blocks_p * window.rows, number % blocks_q * window.cols
    return number // (blocks_p * blocks_q), p, q, min(window.rows, P - p), min(window.cols, Q - q)


@njit
def tiling(window, rows, cols, step):
    """(rows, cols, last, y_step) with which ``stencil`` fills a block whose rows lie ``step`` apart."""
    if window.output[1] > 1:
        return rows, cols, cols, step
    lanes = window.lanes
    return (cols + lanes - 1) // lanes, lanes, (cols - 1) % lanes + 1, lanes


def window(spec: ConvSpec, limit: int | None = None, size: int = WINDOW_BYTES, fold: bool = True) -> Window:
    """Blocks of a lifted problem: windows of about ``size`` bytes, halos no larger than the block, blocks balanced.

    Beyond ``limit`` bytes the smallest block is taken instead, whatever its halo costs.
    """
    (slices, R, S), (_, dh, dw), (_, sh, sw) = spec.filter, spec.dilation, spec.stride
    (_, P, Q), lanes = spec.output_spatial, lanes_of(spec.np_dtype)
    cols = share(Q, max(COLS if P > 1 else size // spec.itemsize, 2 * (S - 1) * dw // sw), WIDTH * lanes)
    held = size // spec.itemsize // (slices * window_of(spec, 1, cols, fold).width)
    rows = share(P, max((held - (R - 1) * dh - 1) // sh + 1, (R - 1) * dh // sh, 1), ROWS)
    chosen = window_of(spec, rows, cols, fold)
    if limit is not None and chosen.size * spec.itemsize > limit:
        return window_of(spec, min(P, ROWS), min(Q, lanes), fold)
    return chosen


def share(extent: int, most: int, unit: int) -> int:
    """Length of the equal parts, whole units each, that ``extent`` is cut into: about ``most`` each."""
    parts = -(-extent // round_up(most, unit))
    return min(extent, round_up(-(-extent // parts), unit))


@lru_cache(maxsize=256)
def window_chains(spec: ConvSpec, window: Window) -> Chains:
    """The taps of a lifted problem's whole filter, in row-major order, as chains in its window."""
    (T, R, S), (_, dh, dw), sw = spec.filter, spec.dilation, spec.stride[2]
    phase = window.width // sw
    offsets = [
        (t * window.height + r * dh) * window.width + s * dw % sw * phase + s * dw // sw
        for t in range(T) for r in range(R) for s in range(S)
    ]  # fmt: skip
    return chains(offsets, window.step)


@intrinsic
def _copy_vector(typingctx, x, start, low, high, out, at):
    """out[at + i] = x[start + i] where low ≤ i < high, else 0, for one vector's lanes i."""

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)
        source = pointer(context, builder, sig.args[0], args[0], args[1])
        target = pointer(context, builder, sig.args[4], args[4], args[5])
        whole = builder.and_(
            builder.icmp_signed("<=", args[2], index(0)), builder.icmp_signed(">=", args[3], index(vectors.lanes))
        )
        with builder.if_else(whole, likely=True) as (unmasked, masked):
            with unmasked:
                vectors.store(vectors.load(source, index(0)), target, index(0))
            with masked:
                vectors.store(vectors.load(source, index(0), vectors.mask(args[2], args[3])), target, index(0))
        return context.get_dummy_value()

    return types.void(x, start, low, high, out, at), codegen


@intrinsic
def _split_vectors(typingctx, x, start, low, high, out, even, odd):
    """The same for two vectors' lanes, those of even i stored at out[even …], of odd i at out[odd …]."""

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)
        source = pointer(context, builder, sig.args[0], args[0], args[1])

        def load(begin):
            low_, high_ = (builder.sub(bound, index(begin)) for bound in args[2:4])
            return vectors.load(source, index(begin), vectors.mask(low_, high_))

        first, second = load(0), load(vectors.lanes)
        for parity, at in enumerate(args[5:7]):
            target = pointer(context, builder, sig.args[4], args[4], at)
            vectors.store(vectors.pick(first, second, range(parity, 2 * vectors.lanes, 2)), target, index(0))
        return context.get_dummy_value()

    return types.void(x, start, low, high, out, even, odd), codegen


@intrinsic
def _gather_vector(typingctx, x, start, stride, low, high, out, at):
    """out[at + i] = x[start + i·stride] where low ≤ i < high, else 0, for one vector's lanes i."""

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)
        source = pointer(context, builder, sig.args[0], args[0], args[1])
        target = pointer(context, builder, sig.args[5], args[5], args[6])
        vectors.store(vectors.gather(source, args[2], vectors.mask(args[3], args[4])), target, index(0))
        return context.get_dummy_value()

    return types.void(x, start, stride, low, high, out, at), codegen


@njit
def pad_window(x, channel, o, p, q, rows, window, out):
    """Fill ``out`` with the window of ``rows`` output rows from (o, p, q) on, zero outside the image.

    x flat, ``channel`` = n·C + c; ``rows`` ≤ window.rows is rounded up to whole tiles.
    """
    D, H, W = window.image
    stride, lanes = window.stride[2], window.lanes
    first = q * stride - window.before[2]
    height = min(window.height, ((rows + ROWS - 1) // ROWS * ROWS - 1) * window.stride[1] + window.reach + 1)
    phase = window.width // stride
    for t in range(window.slices):
        d = o * window.stride[0] + t * window.dilation[0] - window.before[0]
        for i in range(height):
            h = p * window.stride[1] + i - window.before[1]
            at = (t * window.height + i) * window.width
            start = ((channel * D + d) * H + h) * W + first
            if d < 0 or d >= D or h < 0 or h >= H:
                clear_line(out, at, window.width)
            elif stride == 1:
                j = 0
                while j < phase:
                    _copy_vector(x, start + j, -first - j, W - first - j, out, at + j)
                    j += lanes
            elif stride == 2:
                j = 0
                while j < phase:
                    _split_vectors(x, start + 2 * j, -first - 2 * j, W - first - 2 * j, out, at + j, at + phase + j)
                    j += lanes
            else:
                for f in range(stride):
                    low, high = (stride - 1 - first - f) // stride, (stride - 1 + W - first - f) // stride
                    j = 0
                    while j < phase:
                        _gather_vector(x, start + f + j * stride, stride, low - j, high - j, out, at + f * phase + j)
                        j += lanes
    end = window.slices * window.height * window.width
    clear_line(out, end, (ROWS + 1) * lanes)
