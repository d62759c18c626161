"""Depthwise convolution: every input channel has filters of its own.

    y[n, k, p, q] = Σ_{r,s} w[k, r, s] · x̂[n, ⌊k·C/K⌋, p·stride + r·dilation, q·stride + s·dilation]

x̂ is x zero-padded. C = G with any multiplier K/C; one channel (image filtering) and 1-D signals are the same problem.
Images of column stride 1 or 2 are read in place (``kernels/image_stencil.py``): rows outside the image are a row of
zeros, columns outside are masked lanes, a vector of pixels serves up to four output rows. Signals and larger strides
copy the padded window of each block to scratch, where stencils run over it (``kernels/stencil.py``); so does a
workspace too small for the row of zeros. Memory: that row, or a window of about 32 KiB, a thread. Error: the direct
sum's (``algorithm.direct_error``).
Source: Zhang, Franchetti & Low 2018 (arXiv:1809.10170) for direct convolution without memory overhead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

import numpy as np

from convbench.algorithm import Algorithm, phases, terms
from convbench.kernels.image_bands import Blocks, Geometry, bands, blocks
from convbench.kernels.image_stencil import correlate_bands
from convbench.kernels.jit import njit
from convbench.kernels.layout import round_up, scratch_bytes
from convbench.kernels.packing import pack_taps
from convbench.kernels.stencil import ROWS, Chains, lanes_of, stencil
from convbench.kernels.threads import parallel
from convbench.kernels.window import (
    Window,
    block_at,
    fill_time,
    packed,
    pad_window,
    tiling,
    unpacked,
    window,
    window_chains,
)
from convbench.machine import Machine
from convbench.reductions import lift
from convbench.spec import ConvSpec

PAD, MULTIPLY = 1, 2  # phases of a window
EFFICIENCY = 0.45  # of peak inside full tiles
LONGEST_ROW = 1 << 30  # columns are compared as int32 where an image is read in place
TAP_SECONDS = 3e-10  # to move one tap to its place
BAND_SECONDS = 5e-8  # what a tile of rows costs beside its products


class Shape(NamedTuple):
    """What ``run`` needs to know of a plan."""

    taps: Chains | Blocks
    no_bias: np.ndarray  # zeros (K,)
    numbers: np.ndarray  # the plan's window or geometry, packed
    bands: np.ndarray | None  # of the image read in place
    apart: int | None  # None at column stride 1, as the kernel takes it
    tasks: int
    blocks: int  # windows of one channel


class State(NamedTuple):
    weight: np.ndarray  # (K·taps,) in the order of the chains or blocks
    shape: Shape


@dataclass(frozen=True, eq=False)
class Plan:
    spec: ConvSpec
    threads: int
    lifted: ConvSpec
    window: Window | None  # None: read in place
    geometry: Geometry

    @cached_property
    def shape(self) -> Shape:
        spec, lifted, g = self.spec, self.lifted, self.geometry
        no_bias = np.zeros(spec.K, spec.np_dtype)
        if self.window is None:
            return Shape(blocks(lifted), no_bias, np.array(g, np.int64), bands(lifted), None if g.stride == 1 else 2,
                         spec.N * spec.K * g.bands, 0)  # fmt: skip
        windows = self.window.blocks
        return Shape(window_chains(lifted, self.window), no_bias, packed(self.window), None, None,
                     spec.N * spec.C * windows, windows)  # fmt: skip


def supports(spec: ConvSpec) -> str | None:
    if spec.C != spec.G:
        return f"it takes one input channel a group, this problem has {spec.C // spec.G}"
    return None


def plan(spec: ConvSpec, threads: int, workspace_limit: int | None) -> Plan:
    lifted = lift(spec, 3)
    geometry = Geometry.of(lifted)
    in_place = Plan(spec, threads, lifted, None, geometry)
    suited = spec.ndim > 1 and spec.stride[-1] <= 2 and spec.spatial[-1] < LONGEST_ROW
    if suited and (workspace_limit is None or workspace(in_place) <= workspace_limit):
        return in_place
    return replace(in_place, window=window(lifted, None if workspace_limit is None else workspace_limit // threads))


def prepare(plan: Plan, weight: np.ndarray) -> State:
    """(K, 1, R, S) -> each filter's taps in the order of the chains or blocks."""
    return State(pack_taps(weight.reshape(len(weight), -1), plan.shape.taps.order), plan.shape)


def scratch(plan: Plan) -> int:
    """Bytes a thread: a window, or a row of zeros and a table of rows."""
    dtype = plan.spec.np_dtype
    if plan.window is not None:
        return scratch_bytes([((plan.window.size,), dtype)])
    g = plan.geometry
    return scratch_bytes([((g.zeros,), dtype), ((g.slices * g.table + 8,), np.dtype(np.int64))])


def workspace(plan: Plan) -> int:
    return plan.threads * scratch(plan)


def run(plan: Plan, x: Any, state: State, bias: Any, y: Any, work: Any) -> None:
    own = len(work) // plan.threads
    private = [work[t * own : (t + 1) * own] for t in range(plan.threads)]
    kernel, operands = arguments(plan, PAD + MULTIPLY, x, state, bias, y)
    parallel(kernel, state.shape.tasks, plan.threads, *operands, private=private)


def arguments(plan: Plan, which: int, x: Any, state: State, bias: Any, y: Any) -> tuple[Any, tuple[Any, ...]]:
    """The kernel, and what it takes between its tasks and its scratch."""
    shape, taps, x, y = state.shape, state.shape.taps, x.reshape(-1), y.reshape(-1)
    bias = shape.no_bias if bias is None else bias
    if isinstance(taps, Blocks):
        return correlate_bands, (x, state.weight, taps.rows, taps.shifts, taps.counts, bias, y, shape.bands,
                                 shape.numbers, shape.apart)  # fmt: skip
    return convolve_blocks, (which, x, plan.spec.C, state.weight, taps.offsets, taps.counts, bias, y, shape.blocks,
                             shape.numbers)  # fmt: skip


def phase(which: int) -> Callable[..., None]:
    """One phase of one window, to be timed apart from the other; an image read in place has no padding to do."""

    def step(plan: Plan, x: Any, state: State, bias: Any, y: Any, work: Any, task: int) -> None:
        kernel, operands = arguments(plan, which, x, state, bias, y)
        if plan.window is not None:
            kernel(task, task + 1, *operands, work)
        elif which == MULTIPLY:
            kernel(0, state.shape.tasks, *operands, work)

    return step


def windows(plan: Plan) -> int:
    """Blocks whose phases are timed one after the other."""
    return 1 if plan.window is None else plan.spec.N * plan.spec.C * plan.window.blocks


def executed_flop(plan: Plan) -> float:
    """Counts what the lanes do: rows of tiles and vectors beyond the outputs included."""
    O, P, Q = plan.lifted.output_spatial
    lanes = lanes_of(plan.spec.np_dtype)
    outputs = O * round_up(P, ROWS) * round_up(Q, lanes) if P > 1 else O * round_up(Q, ROWS * lanes)
    return 2.0 * plan.spec.N * plan.spec.K * outputs * terms(plan.spec)


def prepare_cost(plan: Plan, machine: Machine) -> float:
    return machine.call_overhead / 2 + prod(plan.spec.weight_shape) * TAP_SECONDS


def cost(plan: Plan, machine: Machine) -> float:
    spec, threads = plan.spec, plan.threads
    compute = machine.flop_time(executed_flop(plan), spec, threads, EFFICIENCY)
    if plan.window is None:
        tiles = spec.N * spec.K * plan.geometry.bands * BAND_SECONDS / threads
        return machine.call_overhead + compute + tiles + machine.byte_time(spec.min_bytes, threads)
    copies = fill_time(plan.window, spec.N * spec.C * plan.window.blocks, spec, threads, machine)
    return machine.call_overhead + compute + copies + machine.byte_time(spec.min_bytes, threads)


depthwise = Algorithm(
    name="depthwise",
    run=phases(pad=phase(PAD), multiply=phase(MULTIPLY), blocks=windows, fused=run),
    supports=supports,
    plan=plan,
    prepare=prepare,
    workspace=workspace,
    cost=cost,
    prepare_cost=prepare_cost,
    executed_flop=executed_flop,
    claim="one channel at a time, lanes along the row, images read in place; single-channel images and 1-D signals too",
)


@njit
def convolve_blocks(begin, end, which, x, C, weight, offsets, counts, bias, y, blocks, numbers, scratch):
    """Tasks (n, c, block), the last fastest; x, weight, y flat; scratch (private, uint8): the window.

    which: sum of the phases to run; without PAD the window is the one that the scratch holds.
    """
    window, padded = unpacked(numbers), scratch.view(x.dtype)
    O, P, Q = window.output
    K = bias.size
    taps = weight.size // K
    for task in range(begin, end):
        channel = task // blocks
        n, c = channel // C, channel % C
        o, p, q, rows, cols = block_at(window, task % blocks)
        if which & PAD:
            pad_window(x, channel, o, p, q, rows, window, padded)
        if not which & MULTIPLY:
            continue
        tile_rows, tile_cols, last, y_step = tiling(window, rows, cols, Q)
        for k in range(c * (K // C), (c + 1) * (K // C)):
            y_start = (((n * K + k) * O + o) * P + p) * Q + q
            stencil(padded, 0, window.step, weight, k * taps, offsets, counts, bias[k], y, y_start, y_step, tile_rows,
                    tile_cols, last, window.lanes)  # fmt: skip
