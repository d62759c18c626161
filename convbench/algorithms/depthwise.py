"""Depthwise convolution: every input channel has filters of its own.

    y[n, k, p, q] = Σ_{r,s} w[k, r, s] · x̂[n, ⌊k·C/K⌋, p·stride + r·dilation, q·stride + s·dilation]

x̂ is x zero-padded. C = G with any multiplier K/C; one channel (image filtering) and 1-D signals are the same problem.
Images of column stride 1 or 2 are read where they lie, tile by tile (``kernels/plane_stencil.py``): masks leave out
what lies beyond a row, a vector of pixels serves up to seven output rows, and where a row fills half of a vector two
channels share it. Filters of many taps, and planes that fill their vectors badly, are transposed to pixels of a vector
of channels (``kernels/plane_channels.py``), which leaves out what lies in the padding. Signals and larger strides copy
windows, padded and split by column phase (``kernels/stencil.py``), as does a workspace too small for a row of zeros.
Memory: such a row, a vector of channels' planes (at most ``KEPT_BYTES``), or a window of about 32 KiB, a thread.
Error: the direct sum's (``algorithm.direct_error``).
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
from convbench.kernels import plane_channels, plane_forms
from convbench.kernels.jit import njit
from convbench.kernels.layout import scratch_bytes
from convbench.kernels.packing import pack_taps
from convbench.kernels.plane_channels import correlate_channels
from convbench.kernels.plane_forms import FIELDS, Geometry
from convbench.kernels.plane_stencil import correlate_planes
from convbench.kernels.simd import viewed
from convbench.kernels.stencil import MULTIPLY, PAD, ROWS, lanes_of, stencil
from convbench.kernels.threads import parallel
from convbench.kernels.ticks import CALL, OFF, mark, tick
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
from convbench.machine import SHIPPED, Machine
from convbench.reductions import lift
from convbench.scratch import short_call
from convbench.spec import ConvSpec

EFFICIENCY, CHAINED, LOOPED = 0.75, 0.65, 0.7  # of peak in the taps of tiles: unrolled rows, chains, channels
FARTHEST = 1 << 30  # columns are compared as int32 where an image is read in place
SHORT_CALL = 0.4  # of the overhead of a call: one kernel, and what ``quick`` saves
EARLY = 0.4  # of the time a copy takes: what lines fetched well before their use take to move
TAP_SECONDS = 3e-10  # to move one tap to its place
TURN_SECONDS = 1.6e-10  # to transpose one element, either way
KEPT_BYTES = 1 << 20  # of a thread's pixels of channels: they stay in L2
TILE_SECONDS = 2e-8  # what a tile costs beside its taps; in place, for each pixel that outputs are apart


class Shape(NamedTuple):
    """What ``run`` needs to know of a plan."""

    order: np.ndarray  # of one filter's taps
    taps: tuple[Any, ...]  # what a tile is compiled for, or a window's chains: offsets, counts
    no_bias: np.ndarray  # zeros (K,)
    numbers: np.ndarray  # the plan's, packed
    tasks: int


class State(NamedTuple):
    weight: np.ndarray  # (K·taps,) in that order
    shape: Shape


@dataclass(frozen=True, eq=False)
class Plan:
    spec: ConvSpec
    threads: int
    lifted: ConvSpec
    window: Window | None = None  # None: images are read where they lie
    channels: bool = False  # in the lanes

    @cached_property
    def shape(self) -> Shape:
        spec, lifted = self.spec, self.lifted
        no_bias = np.zeros(spec.K, spec.np_dtype)
        if self.channels:
            order, tasks = np.arange(prod(spec.filter)), spec.N * len(plane_channels.firsts(lifted))
            return Shape(order, (tuple(plane_channels.form(lifted)),), no_bias, plane_channels.numbers(lifted), tasks)
        if self.window is None:
            form, numbers = tuple(plane_forms.form(lifted)), plane_forms.numbers(lifted, self.threads)
            bands, groups = Geometry(*numbers[:FIELDS].tolist()).bands, -(-spec.K // plane_forms.channels(lifted))
            tasks = spec.N * groups * lifted.output_spatial[0] * bands
            return Shape(plane_forms.order(lifted), (form,), no_bias, numbers, tasks)
        order, *taps = window_chains(lifted, self.window)
        return Shape(order, tuple(taps), no_bias, packed(self.window), spec.N * spec.C * self.window.blocks)


def supports(spec: ConvSpec) -> str | None:
    if spec.C != spec.G:
        return f"it takes one input channel a group, this problem has {spec.C // spec.G}"
    return None


def plan(spec: ConvSpec, threads: int, workspace_limit: int | None) -> Plan:
    """In place, or with channels in the lanes, whichever is predicted to be faster; by windows where neither can be."""
    in_place = Plan(spec, threads, lift(spec, 3))
    farthest = spec.spatial[-1] + sum(spec.padding[-1]) + (spec.filter[-1] - 1) * spec.dilation[-1]
    suited = [in_place] if spec.ndim > 1 and spec.stride[-1] <= 2 and farthest < FARTHEST else []
    if suited and plane_channels.suited(in_place.lifted):
        by_channels = replace(in_place, channels=True)
        suited += [by_channels] if workspace(by_channels) <= threads * KEPT_BYTES else []
    suited = [some for some in suited if workspace_limit is None or workspace(some) <= workspace_limit]
    if suited:
        return min(suited, key=lambda some: cost(some, SHIPPED))
    return replace(
        in_place, window=window(in_place.lifted, None if workspace_limit is None else workspace_limit // threads)
    )


def prepare(plan: Plan, weight: np.ndarray) -> State:
    """(K, 1, R, S) -> each filter's taps in the plan's order."""
    weight, together = weight.reshape(len(weight), -1), 1
    if plan.channels:
        together = plane_channels.lanes_of(plan.lifted)
        weight = weight[(plane_channels.firsts(plan.lifted)[:, None] + np.arange(together)).reshape(-1)]
    elif plan.window is None:
        together = plane_forms.channels(plan.lifted)
    return State(pack_taps(weight, plan.shape.order, together), plan.shape)


def workspace(plan: Plan) -> int:
    """Each thread's own: a window, pixels of channels, or a row of zeros where taps go by chains."""
    if plan.channels:
        length = sum(plane_channels.elements(plan.lifted))
    elif plan.window is not None:
        length = plan.window.size
    else:
        length = 0 if plane_forms.by_rows(plan.lifted) else plan.spec.spatial[-1]
    return plan.threads * scratch_bytes([((length,), plan.spec.np_dtype)])


def run(plan: Plan, x: Any, state: State, bias: Any, y: Any, work: Any, ticks: Any = OFF) -> None:
    """An image read in place is one phase, marked from here: its kernels are many, and none is compiled twice."""
    own = len(work) // plan.threads
    private = [work[t * own : (t + 1) * own] for t in range(plan.threads)]
    shape, x, y = state.shape, x.reshape(-1), y.reshape(-1)
    operands = *shape.taps, shape.no_bias if bias is None else bias, y, shape.numbers
    if plan.window is not None:
        parallel(convolve_blocks, shape.tasks, plan.threads, ticks, x, plan.spec.C, state.weight, *operands,
                 private=private)  # fmt: skip
        return
    kernel = correlate_channels if plan.channels else correlate_planes
    parallel(kernel, shape.tasks, plan.threads, x, state.weight, *operands, private=private)
    tick(ticks, MULTIPLY)


def quick(plan: Plan, state: State, bias: Any) -> Callable[[Any, Any], bool] | None:
    """One kernel, where images are read in place or by channels, on one thread."""
    if plan.window is not None or plan.threads > 1:
        return None
    shape, spec = state.shape, plan.spec
    tasks, weight, (form,), numbers = shape.tasks, state.weight, shape.taps, shape.numbers
    bias = shape.no_bias if bias is None else bias
    kernel = correlate_channels if plan.channels else correlate_planes

    def correlate(x: np.ndarray, y: np.ndarray, work: np.ndarray) -> None:
        kernel(0, tasks, x, weight, form, bias, y, numbers, work)

    return short_call(spec.input_shape, spec.output_shape, workspace(plan), correlate)


def tiles(plan: Plan) -> tuple[int, float]:
    """Tiles of rows of one output channel, and vectors in each: what a last row or vector leaves empty included.

    A vector that two channels share counts half.
    """
    (O, P, Q), lanes = plan.lifted.output_spatial, lanes_of(plan.spec.np_dtype)
    if plan.window is not None:
        return (O * -(-P // ROWS) * -(-Q // lanes) if P > 1 else O * -(-Q // (ROWS * lanes))), ROWS
    form = plane_forms.form(plan.lifted)
    high, wide, vectors = len(form.height), len(form.width), -(-Q // lanes)
    A = min(P, plane_forms.apart(plan.lifted)[0])
    return O * A * -(-P // (A * high)) * -(-vectors // wide), high * min(wide, vectors) / len(form.channels)


def executed_flop(plan: Plan) -> float:
    """Counts what the lanes do: rows of tiles and vectors beyond the outputs included, taps that are left out not."""
    spec, lanes = plan.spec, lanes_of(plan.spec.np_dtype)
    if plan.channels:
        rows, columns = plane_channels.taps(plan.lifted)
        outputs = len(plane_channels.form(plan.lifted).width)
        blocks = len(plane_channels.firsts(plan.lifted))
        return 2.0 * spec.N * blocks * lanes * outputs * int(rows[:, 2:4].sum()) * int(columns[:, 1].sum())
    count, vectors = tiles(plan)
    return 2.0 * spec.N * spec.K * count * vectors * lanes * terms(spec)


def prepare_cost(plan: Plan, machine: Machine) -> float:
    return machine.call_overhead / 2 + prod(plan.spec.weight_shape) * TAP_SECONDS


def cost(plan: Plan, machine: Machine) -> float:
    spec, threads = plan.spec, plan.threads
    moved = machine.byte_time(spec.min_bytes, threads)
    if plan.channels:
        compute = machine.flop_time(executed_flop(plan), spec, threads, LOOPED)
        turned = prod(spec.input_shape) + prod(spec.output_shape)
        return SHORT_CALL * machine.call_overhead + compute + turned * TURN_SECONDS / threads + EARLY * moved
    share = EFFICIENCY if max(spec.filter) <= plane_forms.LARGEST else CHAINED
    compute = machine.flop_time(executed_flop(plan), spec, threads, share)
    begun = spec.N * spec.K * tiles(plan)[0] * TILE_SECONDS / threads
    if plan.window is None:
        return SHORT_CALL * machine.call_overhead + max(compute, EARLY * moved) + begun * spec.stride[-1] ** 2
    filled = fill_time(plan.window, spec.N * spec.C * plan.window.blocks, spec, threads, machine)
    return machine.call_overhead + compute + moved + begun + filled


depthwise = Algorithm(
    name="depthwise",
    run=phases(run, "pad", "multiply"),
    supports=supports,
    plan=plan,
    prepare=prepare,
    workspace=workspace,
    quick=quick,
    cost=cost,
    prepare_cost=prepare_cost,
    executed_flop=executed_flop,
    claim="one channel at a time, lanes along the row, images read in place; single-channel images and 1-D signals too",
)


@njit
def convolve_blocks(begin, end, ticks, x, C, weight, offsets, counts, bias, y, numbers, scratch):
    """Tasks (n, c, block), the last fastest; x, weight, y flat; scratch (private, uint8): the window."""
    mark(ticks, CALL)
    window, padded = unpacked(numbers), viewed(scratch, x)
    O, P, Q = window.output
    K = bias.size
    taps = weight.size // K
    blocks = O * -(-P // window.rows) * -(-Q // window.cols)
    for task in range(begin, end):
        channel = task // blocks
        n, c = channel // C, channel % C
        o, p, q, rows, cols = block_at(window, task % blocks)
        pad_window(x, channel, o, p, q, rows, window, padded)
        mark(ticks, PAD)
        tile_rows, tile_cols, last, y_step = tiling(window, rows, cols, Q)
        for k in range(c * (K // C), (c + 1) * (K // C)):
            y_start = (((n * K + k) * O + o) * P + p) * Q + q
            stencil(padded, 0, window.step, weight, k * taps, offsets, counts, bias[k], y, y_start, y_step, tile_rows,
                    tile_cols, last, window.lanes)  # fmt: skip
        mark(ticks, MULTIPLY)
