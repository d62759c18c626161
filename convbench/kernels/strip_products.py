"""Convolution strip by strip: pack the strip's pixels, then tiles of pixels × output channels over all its terms.

Loops, outermost first: strips; blocks of ``block_k`` output channels; blocks of ``block_c`` input channels, whose sums
rest in scratch between blocks; tiles of pixels; tiles of channels. The tile's pixels stay in L1 for all channels of the
block, the block's filters in L2 for all pixels of the strip.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from convbench.kernels.jit import njit
from convbench.kernels.layout import ALIGNMENT, Part, carve, round_up, scratch_bytes
from convbench.kernels.packing import pack, tile_starts
from convbench.kernels.pixel_tiles import TILES, tile
from convbench.kernels.simd import VECTOR_BYTES
from convbench.kernels.stencil import MULTIPLY, PAD
from convbench.kernels.strips import Strip, numbers, pack_strip, strip_lines, strip_of, strip_offsets, unpacked
from convbench.kernels.threads import parallel
from convbench.kernels.ticks import CALL, mark
from convbench.reductions import lift
from convbench.spec import ConvSpec

PANEL_BYTES = 768 * 1024  # of a strip's panel, unless one row of outputs takes more: a part of L2
TILE_BYTES = 24 * 1024  # of the pixels that a tile reads of a block of input channels: a part of L1
LEAST_TERMS = 128  # of a block of input channels: what pays for loading and storing its sums
BLOCK_BYTES = 256 * 1024  # of a block's filters
COLS = 512  # outputs of a row that a strip takes at most
SLACK = max(width for widths in TILES.values() for width in widths)  # vectors that the last tile reads beyond the panel


class StripPlan(NamedTuple):
    spec: ConvSpec
    threads: int
    lifted: ConvSpec
    strip: Strip
    height: int  # output channels of a tile
    block_c: int  # input channels of a block
    block_k: int  # tiles of output channels of a block
    offsets: np.ndarray  # int64 (block_c · taps,)
    sizes: np.ndarray  # int64: the strip and the rest of what the kernel is told

    @property
    def tiles_k(self) -> int:
        """Tiles of output channels of one group."""
        return -(-(self.spec.K // self.spec.groups) // self.height)

    @property
    def parts(self) -> tuple[int, int, int]:
        """Elements of one thread's panel, partial sums and initial values."""
        strip, lanes = self.strip, VECTOR_BYTES // self.spec.itemsize
        vectors = -(-strip.pixels // lanes)
        sums = vectors * self.block_k * self.height * lanes if self.block_c < strip.channels else 0
        return strip.channels * strip.plane + SLACK * lanes, sums, self.block_k * self.height


def tile_height(channels: int) -> int:
    """The tile for so many output channels: whole tiles of them, each the slower the lower it is."""
    return min(TILES, key=lambda height: -(-channels // height) * (height + 1))


def plan_strips(spec: ConvSpec, threads: int, workspace_limit: int | None) -> StripPlan:
    """Strips that fill ``PANEL_BYTES``, and enough tasks for the threads; smaller ones under a workspace limit."""
    lifted = lift(spec, 3)
    _, P, Q = lifted.output_spatial
    held = PANEL_BYTES
    while True:
        cols = share(Q, COLS)
        row = strip_of(lifted, 1, cols).plane * spec.itemsize * lifted.weight_shape[1]
        while row > 2 * held and cols > 64:
            cols = share(Q, cols // 2)
            row = strip_of(lifted, 1, cols).plane * spec.itemsize * lifted.weight_shape[1]
        growth = (strip_of(lifted, 9, cols).plane * spec.itemsize * lifted.weight_shape[1] - row) // 8
        rows = share(P, max(1, 1 + (held - row) // max(growth, 1)))
        chosen = _planned(spec, threads, lifted, strip_of(lifted, rows, cols), held)
        needed = scratch_bytes(scratch_parts(chosen))
        if workspace_limit is None or needed <= workspace_limit or held < 1024:
            return chosen
        held //= 2


def _planned(spec: ConvSpec, threads: int, lifted: ConvSpec, strip: Strip, held: int) -> StripPlan:
    taps, height = prod(spec.filter), tile_height(spec.K // spec.groups)
    tiles = -(-(spec.K // spec.groups) // height)
    rows = len(set(strip_offsets(lifted, strip, 1) // strip.pitch))  # that a tile reads of a channel
    touched = rows * (TILES[height][0] * VECTOR_BYTES + 2 * ALIGNMENT)
    least = max(-(-LEAST_TERMS // taps), TILE_BYTES // touched) if tiles > 1 else strip.channels
    block_c = share(strip.channels, max(1, least))
    fitting = max(1, BLOCK_BYTES // (block_c * taps * height * spec.itemsize))
    strips = spec.N * spec.groups * strip.total
    parts = min(tiles, -(-4 * threads // strips)) if threads > 1 else 1  # output channels shared out among the threads
    block_k = share(tiles, min(fitting, -(-tiles // parts)))
    sizes = np.concatenate([numbers(strip), [height, block_c, block_k, TILES[height][0]]])
    return StripPlan(spec, threads, lifted, strip, height, block_c, block_k, strip_offsets(lifted, strip, block_c),
                     sizes)  # fmt: skip


def share(extent: int, most: int) -> int:
    """Length of the equal parts that ``extent`` is cut into, none longer than ``most``."""
    return -(-extent // -(-extent // most))


def pack_weights(plan: StripPlan, weight: np.ndarray) -> np.ndarray:
    """(K, C/G, …taps) -> (G, C/G · taps · tiles · M), in the order in which ``multiply_strips`` reads it.

    Of a group: blocks of ``block_c`` input channels; of a block: tiles of M output channels, the last padded with
    zeros; of a tile: M weights beside each other for every term.
    """
    by_group = weight.reshape(plan.spec.groups, plan.spec.K // plan.spec.groups, -1)
    starts = tile_starts(by_group.shape[1], plan.height)
    return pack(by_group, starts, plan.block_c * prod(plan.spec.filter), plan.threads).reshape(plan.spec.groups, -1)


def scratch_parts(plan: StripPlan) -> list[Part]:
    """Panel, sums and initial values of each thread; where its pixels go."""
    floats = (plan.threads, round_up(sum(plan.parts), ALIGNMENT // plan.spec.itemsize)), plan.spec.np_dtype
    return [floats, ((plan.threads, 3, plan.strip.most_lines), np.dtype(np.int64))]


@njit
def multiply_strips(begin, end, ticks, x, sizes, offsets, w, bias, y, private):
    """Tasks (n, g, strip, part of the output channels), the last fastest; see the module's head.

    x and y flat but for y's shape (N, K, O, P, Q); w as ``pack_weights`` makes it; bias (K,) or empty; ``private`` is
    the thread's scratch, of floats and of integers; ticks: see ``mark``.
    """
    mark(ticks, CALL)
    scratch, integers = private
    strip = unpacked(sizes)
    M, block_c, block_k = sizes[22], sizes[23], sizes[24]
    groups, taps = len(w), len(offsets) // block_c
    _, K, O, P, Q = y.shape
    channels = K // groups
    tiles_k = (channels + M - 1) // M
    filters = w.size // groups
    lanes = VECTOR_BYTES // x.itemsize
    widest = sizes[25]
    strips_p, strips_q = (P + strip.rows - 1) // strip.rows, (Q + strip.cols - 1) // strip.cols
    parts = (tiles_k + block_k - 1) // block_k
    panel = scratch[: strip.channels * strip.plane + SLACK * lanes]
    initial = scratch[panel.size :]
    lines, masks, places = integers[0], integers[1], integers[2]
    vectors = 0
    packed = -1
    for task in range(begin, end):
        where, part = divmod(task, parts)
        rest, sq = divmod(where, strips_q)
        rest, sp = divmod(rest, strips_p)
        rest, o = divmod(rest, O)
        n, g = divmod(rest, groups)
        p, q = sp * strip.rows, sq * strip.cols
        rows, cols = min(strip.rows, P - p), min(strip.cols, Q - q)
        if where != packed:
            pack_strip(x, (n * groups + g) * strip.channels, o, p, q, rows, strip, panel)
            vectors = strip_lines(rows, cols, strip, Q, lanes, lines, masks, places)
            packed = where
            mark(ticks, PAD)
        first_k, last_k = part * block_k, min(tiles_k, (part + 1) * block_k)
        for k in range(first_k * M, last_k * M):
            known = k < channels and bias.size > 0
            initial[k - first_k * M] = bias[g * channels + k] if known else 0
        sums = block_k * M
        y_first = (((n * K + g * channels) * O + o) * P + p) * Q + q
        for c in range(0, strip.channels, block_c):
            some = min(block_c, strip.channels - c)
            v = 0
            while v < vectors:
                left = vectors - v
                width = widest if left >= widest else 2 if left >= 2 else 1
                if left == 4 and widest == 3:
                    width = 2
                for kt in range(first_k, last_k):
                    tile(M, width, some * taps, panel, c * strip.plane + v * lanes, offsets, w,
                         g * filters + (c * tiles_k + kt * some) * taps * M, initial, (kt - first_k) * M, initial,
                         sums + (v * block_k + (kt - first_k) * width) * M * lanes, c > 0, c + some == strip.channels,
                         y, y_first + kt * M * O * P * Q, O * P * Q, min(M, channels - kt * M), v, lines, masks,
                         places)  # fmt: skip
                v += width
        mark(ticks, MULTIPLY)


def tasks(plan: StripPlan) -> int:
    return plan.spec.N * plan.spec.groups * plan.strip.total * shares(plan)


def shares(plan: StripPlan) -> int:
    """Tasks that read the same panel."""
    return -(-plan.tiles_k // plan.block_k)


def operands(plan: StripPlan, x: np.ndarray, packed: np.ndarray, bias: Any, y: np.ndarray) -> tuple[Any, ...]:
    """What ``multiply_strips`` takes between ``ticks`` and ``private``."""
    flat = y.reshape(-1)
    return (
        x.reshape(-1),
        plan.sizes,
        plan.offsets,
        packed,
        flat[:0] if bias is None else bias,
        y.reshape(plan.lifted.output_shape),
    )


def convolve(
    plan: StripPlan, x: np.ndarray, packed: np.ndarray, bias: Any, y: np.ndarray, work: np.ndarray, ticks: Any
) -> None:
    """y = x convolved with the ``packed`` weights, plus bias."""
    scratch, integers = carve(work, scratch_parts(plan))
    private = list(zip(scratch, integers, strict=True))
    parallel(multiply_strips, tasks(plan), plan.threads, ticks, *operands(plan, x, packed, bias, y),
             private=private)  # fmt: skip


def executed_flop(plan: StripPlan) -> float:
    """Counts what the lanes do: positions between output rows, whole vectors and whole tiles of channels."""
    spec, strip = plan.spec, plan.strip
    lanes = VECTOR_BYTES // spec.itemsize
    pixels = strip.total * round_up(strip.pixels, lanes)
    return 2.0 * spec.N * spec.groups * pixels * plan.tiles_k * plan.height * prod(spec.weight_shape[1:])


def packed_bytes(plan: StripPlan) -> float:
    """Bytes of all the panels that one call fills."""
    spec, strip = plan.spec, plan.strip
    return float(spec.N * spec.groups * strip.total * strip.channels * strip.plane * spec.itemsize)


def tile_count(plan: StripPlan) -> float:
    """Tiles that one call computes, partial sums of a block counted each."""
    spec, strip = plan.spec, plan.strip
    vectors = -(-strip.pixels // (VECTOR_BYTES // spec.itemsize))
    across = -(-vectors // TILES[plan.height][0])
    blocks = -(-strip.channels // plan.block_c)
    return float(spec.N * spec.groups * strip.total * across * blocks * plan.tiles_k)
