"""How a problem is cut for ``segment_products``: whole images in a panel, output rows in segments; what that costs."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from convbench.kernels.expansion import EXPANDS, expansion
from convbench.kernels.layout import ALIGNMENT, round_up
from convbench.kernels.segment_tiles import SEGMENTS, STEPS
from convbench.kernels.simd import VECTOR_BYTES
from convbench.kernels.strips import Strip, strip_of, strip_offsets
from convbench.reductions import lift
from convbench.spec import ConvSpec

BLOCK_BYTES = 24 * 1024  # of a block's pixels, and of its filters: a part of L1
PANEL_BYTES = 1 << 20  # a part of L2
LOADED_WORK = 1.12  # for each multiply-add, which loads its pixel
# multiply-adds of a vector that go by while a tile of segments begins and ends, …
SEGMENT_WORK = 400
TURN_WORK = 200  # … while a square of sums is turned round, …
LINE_WORK = 8  # … while a line is packed


class SegmentPlan(NamedTuple):
    spec: ConvSpec
    threads: int
    strip: Strip  # the padded image, every output of stride 1 along its rows and columns
    height: int  # output channels of a tile: the lanes
    block_c: int  # input channels of a block
    block_k: int  # tiles of output channels of a task
    length: int  # pixels of a segment
    offsets: np.ndarray  # int64 (block_c · taps,)
    segments: np.ndarray  # int64 (2, segments): see :func:`segments_of`
    table: np.ndarray  # ``expansion`` of one channel
    sizes: np.ndarray  # int64: what the kernel is told
    tasks: int
    scratch: int  # bytes of one thread

    @property
    def tiles_k(self) -> int:
        """Tiles of output channels of one group."""
        return -(-(self.spec.K // self.spec.groups) // self.height)


def plan_segments(spec: ConvSpec, threads: int, workspace_limit: int | None) -> SegmentPlan | None:
    """None where the kernel has no code, or no room."""
    lifted = lift(spec, 3)
    (D, H, W), (T, _, _), (_, P, Q) = lifted.spatial, lifted.filter, lifted.output_spatial
    fitting = [length for length in SEGMENTS if length <= Q and shared(P * -(-Q // length), SEGMENTS[length])]
    if not (EXPANDS and fitting and D == T == 1 and lifted.padding[0] == (0, 0) and lifted.stride[2] in STEPS):
        return None
    dense = lifted.replace(stride=1)
    if prod(dense.output_spatial) * spec.weight_shape[1] * spec.itemsize > PANEL_BYTES:
        return None
    strip = strip_of(dense, *dense.output_spatial[1:])
    if strip.panel * spec.itemsize > PANEL_BYTES:
        return None
    lanes = VECTOR_BYTES // spec.itemsize
    table = expansion(strip.sources(), lanes)
    if table is None:
        return None
    length = min(fitting, key=lambda length: -(-Q // length) * length)
    groups, channels, taps = spec.groups, spec.weight_shape[1], prod(spec.filter)
    tiles = -(-(spec.K // groups) // lanes)
    filter_rows = strip.height - strip.rows + 1
    rows = (-(-length * SEGMENTS[length][0] // Q) - 1) * lifted.stride[1] + filter_rows
    touched = min(rows * strip.pitch, strip.plane) * spec.itemsize  # of a channel, by a tile
    most = max(1, BLOCK_BYTES // max(touched, taps * VECTOR_BYTES))
    block_c = channels if Q % length else -(-channels // -(-channels // most))  # overlapping segments are summed once
    parts = min(tiles, -(-4 * threads // (spec.N * groups))) if threads > 1 else 1
    block_k = -(-tiles // parts)
    scratch = round_up((strip.panel + P * Q * block_k * lanes) * spec.itemsize, ALIGNMENT)
    if workspace_limit is not None and scratch * threads > workspace_limit:
        return None
    own = [channels, spec.K // groups, H * W, strip.plane, P * Q, block_c, block_k, length, SEGMENTS[length][0]]
    return SegmentPlan(
        spec, threads, strip, lanes, block_c, block_k, length, strip_offsets(dense, strip, block_c),
        segments_of(lifted, strip.pitch, length), table, np.array([*own, lifted.stride[2]], np.int64),
        tasks=spec.N * groups * -(-tiles // block_k), scratch=scratch,
    )  # fmt: skip


def shared(segments: int, counts: tuple[int, ...]) -> bool:
    """Whether equal shares for as few tiles as can be are all among ``counts``."""
    return segments // -(-segments // counts[0]) >= counts[-1]


def segments_of(lifted: ConvSpec, pitch: int, length: int) -> np.ndarray:
    """int64 (2, segments): where in the panel's first plane each segment starts, and its first pixel of the output.

    Row by row; the last segment of a row overlaps the one before where Q is no multiple.
    """
    (_, P, Q), (_, down, over) = lifted.output_spatial, lifted.stride
    across = np.minimum(np.arange(0, Q, length), Q - length)
    rows = np.arange(P)[:, None]
    return np.stack([(rows * down * pitch + across * over).reshape(-1), (rows * Q + across).reshape(-1)])


def work(plan: SegmentPlan) -> float:
    """What a group takes, in multiply-adds of a vector: as ``strip_plans.work`` has it."""
    segments = plan.segments.shape[1]
    products = prod(plan.spec.weight_shape[1:]) * segments * plan.length * LOADED_WORK
    tiles = -(-segments // SEGMENTS[plan.length][0]) * -(-plan.strip.channels // plan.block_c)
    turned = -(-prod(plan.spec.output_spatial) // plan.height)
    packed = plan.strip.panel // plan.height
    return plan.tiles_k * (products + tiles * SEGMENT_WORK + turned * TURN_WORK) + packed * LINE_WORK


def executed_flop(plan: SegmentPlan) -> float:
    """Counts what the lanes do: whole segments and whole vectors of channels."""
    spec = plan.spec
    outputs = plan.segments.shape[1] * plan.length * plan.tiles_k * plan.height
    return 2.0 * spec.N * spec.groups * outputs * prod(spec.weight_shape[1:])


def packed_bytes(plan: SegmentPlan) -> float:
    """Bytes of all the panels that one call fills."""
    return float(plan.spec.N * plan.spec.groups * plan.strip.panel * plan.spec.itemsize)


def tile_count(plan: SegmentPlan) -> float:
    """Tiles that one call computes, partial sums of a block counted each."""
    tiles = -(-plan.segments.shape[1] // SEGMENTS[plan.length][0]) * -(-plan.strip.channels // plan.block_c)
    return float(plan.spec.N * plan.spec.groups * tiles * plan.tiles_k)
