"""Direct convolution: taps and channels accumulate in registers, no patch matrix.

    y[n, k, p] = Σ_c Σ_t x̂[n, c, p + offset(t)] · w[k, c, t]

x̂ is the zero-padded image split by stride phase, packed a strip of output rows at a time (``kernels/strips.py``), so
that every tap is a unit-stride shift whatever the stride and dilation. Pixels lie in the lanes and output channels in
the rows of each register tile (``kernels/pixel_tiles.py``), so that sums go straight to NCHW planes and any number of
channels a group is served alike (Zhang, Franchetti & Low 2018, arXiv:1809.10170). Where vectors of pixels would lose
lanes between short rows, or a stride would cost a strip's phases, output channels lie in the lanes and pixels are
broadcast from the padded image as it is (``kernels/segment_products.py``). One input channel and few output channels a
group are left to the stencil of ``depthwise``.
Memory: one strip, or a group's image, and its partial sums a thread; ``workspace_limit`` shortens the strip. Error: the
direct sum's (``algorithm.direct_error``).
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from convbench.algorithm import Algorithm, default_prepare_cost, phases
from convbench.algorithms import depthwise as stencils
from convbench.algorithms.depthwise import Plan as StencilPlan
from convbench.algorithms.depthwise import depthwise
from convbench.kernels import segment_plans, segment_products, strip_plans, strip_products
from convbench.kernels.pixel_tiles import TILES
from convbench.kernels.segment_plans import SegmentPlan, plan_segments
from convbench.kernels.strip_plans import StripPlan, plan_strips
from convbench.kernels.strip_products import pack_weights
from convbench.kernels.ticks import OFF
from convbench.machine import Machine
from convbench.spec import ConvSpec

EFFICIENCY = 0.9  # of peak inside tiles
TILE_SECONDS = 8e-8  # what a tile costs beside its products: its first and its last lines
SEGMENT_SECONDS = 2e-7  # one of segments: its sums are turned round, too
PACKED = 9  # times that L2 takes a panel: it is written in short rows, pushes others out and is read again by the tiles
CALL = 0.75  # of the overhead of a call
EXPANDED = 5  # one that is written in whole lines
SHOWN = 0.3  # of the time of the image and the output: the rest is hidden behind the products

Plan = StripPlan | SegmentPlan | StencilPlan


def plan(spec: ConvSpec, threads: int, workspace_limit: int | None) -> Plan:
    """Strips, or segments of small images; the stencil where one input channel feeds fewer outputs than a tile has."""
    few = spec.K // spec.groups < max(TILES)
    if few and depthwise.supports(spec) is None:
        return depthwise.plan(spec, threads, workspace_limit)
    strips = plan_strips(spec, threads, workspace_limit)
    segments = plan_segments(spec, threads, workspace_limit)
    if segments is None or segment_plans.work(segments) > strip_plans.work(spec, strips.strip):
        return strips
    return segments


def prepare(plan: Plan, weight: np.ndarray) -> Any:
    return depthwise.prepare(plan, weight) if isinstance(plan, StencilPlan) else pack_weights(plan, weight)


def workspace(plan: Plan) -> int:
    return depthwise.workspace(plan) if isinstance(plan, StencilPlan) else plan.scratch * plan.threads


def quick(plan: Plan, state: Any, bias: Any) -> Callable[[Any, Any], bool] | None:
    return depthwise.quick(plan, state, bias) if isinstance(plan, StencilPlan) else None


def run(plan, x, state, bias, y, work, ticks=OFF):
    if isinstance(plan, StripPlan):
        strip_products.convolve(plan, x, state, bias, y, work, ticks)
    elif isinstance(plan, SegmentPlan):
        segment_products.convolve(plan, x, state, bias, y, work, ticks)
    else:
        stencils.run(plan, x, state, bias, y, work, ticks)


def executed_flop(plan: Plan) -> float:
    if isinstance(plan, StripPlan):
        return strip_plans.executed_flop(plan)
    return (segment_plans if isinstance(plan, SegmentPlan) else depthwise).executed_flop(plan)


def prepare_cost(plan: Plan, machine: Machine) -> float:
    return (depthwise.prepare_cost if isinstance(plan, StencilPlan) else default_prepare_cost)(plan, machine)


def cost(plan: Plan, machine: Machine) -> float:
    if isinstance(plan, StencilPlan):
        return depthwise.cost(plan, machine)
    spec = plan.spec
    compute = machine.flop_time(executed_flop(plan), spec, plan.threads, EFFICIENCY)
    filters = machine.byte_time(prod(spec.weight_shape) * spec.itemsize, plan.threads)  # read while others are used
    moved = SHOWN * (machine.byte_time(spec.min_bytes, plan.threads) - filters)
    part = strip_plans if isinstance(plan, StripPlan) else segment_plans
    seconds = TILE_SECONDS if isinstance(plan, StripPlan) else SEGMENT_SECONDS
    packing = (EXPANDED if plan.table.size else PACKED) * part.packed_bytes(plan)
    packing /= machine.l2_bandwidth * plan.threads
    tiles = part.tile_count(plan) * seconds / plan.threads
    products = max(compute, filters) + min(compute, filters) / 2
    return CALL * machine.call_overhead + products + packing + tiles + moved


direct = Algorithm(
    name="direct",
    run=phases(run, "pad", "multiply"),
    plan=plan,
    prepare=prepare,
    workspace=workspace,
    quick=quick,
    cost=cost,
    prepare_cost=prepare_cost,
    executed_flop=executed_flop,
    claim="register-blocked direct sum over taps and channels, no im2col (Zhang, Franchetti & Low 2018)",
)
