"""Direct convolution: taps and channels accumulate in registers, no patch matrix.

    y[n, k, p] = Σ_c Σ_t x̂[n, c, p + offset(t)] · w[k, c, t]

x̂ is the zero-padded image split by stride phase, packed a strip of output rows at a time (``kernels/strips.py``), so
that every tap is a unit-stride shift whatever the stride and dilation. Pixels lie in the lanes and output channels in
the rows of each register tile (``kernels/pixel_tiles.py``), so that sums go straight to NCHW planes and any number of
channels a group is served alike (Zhang, Franchetti & Low 2018, arXiv:1809.10170). One input channel and few output
channels a group are left to the stencil of ``depthwise``.
Memory: one strip and its partial sums a thread; ``workspace_limit`` shortens the strip. Error: the direct sum's
(``algorithm.direct_error``).
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from convbench.algorithm import Algorithm, default_prepare_cost, phases
from convbench.algorithms import depthwise as stencils
from convbench.algorithms.depthwise import Plan as StencilPlan
from convbench.algorithms.depthwise import depthwise
from convbench.kernels import strip_plans, strip_products
from convbench.kernels.pixel_tiles import TILES
from convbench.kernels.strip_plans import StripPlan, plan_strips
from convbench.kernels.strip_products import pack_weights
from convbench.kernels.ticks import OFF
from convbench.machine import Machine
from convbench.spec import ConvSpec

EFFICIENCY = 0.9  # of peak inside tiles
TILE_SECONDS = 8e-8  # what a tile costs beside its products: its first and its last lines
PACKED = 9  # times that L2 takes a panel: it is written in short rows, pushes others out and is read again by the tiles
SHOWN = 0.3  # of the time of the image and the output: the rest is hidden behind the products

Plan = StripPlan | StencilPlan


def plan(spec: ConvSpec, threads: int, workspace_limit: int | None) -> Plan:
    """Strips; the stencil where one input channel feeds fewer output channels than the highest tile has."""
    few = spec.K // spec.groups < max(TILES)
    chosen = depthwise.plan if few and depthwise.supports(spec) is None else plan_strips
    return chosen(spec, threads, workspace_limit)


def prepare(plan: Plan, weight: np.ndarray) -> Any:
    return pack_weights(plan, weight) if isinstance(plan, StripPlan) else depthwise.prepare(plan, weight)


def workspace(plan: Plan) -> int:
    return plan.scratch * plan.threads if isinstance(plan, StripPlan) else depthwise.workspace(plan)


def run(plan, x, state, bias, y, work, ticks=OFF):
    convolve = strip_products.convolve if isinstance(plan, StripPlan) else stencils.run
    convolve(plan, x, state, bias, y, work, ticks)


def executed_flop(plan: Plan) -> float:
    if isinstance(plan, StripPlan):
        return strip_plans.executed_flop(plan)
    return depthwise.executed_flop(plan)


def prepare_cost(plan: Plan, machine: Machine) -> float:
    return (default_prepare_cost if isinstance(plan, StripPlan) else depthwise.prepare_cost)(plan, machine)


def cost(plan: Plan, machine: Machine) -> float:
    if not isinstance(plan, StripPlan):
        return depthwise.cost(plan, machine)
    spec = plan.spec
    compute = machine.flop_time(executed_flop(plan), spec, plan.threads, EFFICIENCY)
    filters = machine.byte_time(prod(spec.weight_shape) * spec.itemsize, plan.threads)  # read while others are used
    packing = PACKED * strip_plans.packed_bytes(plan) / (machine.l2_bandwidth * plan.threads)
    moved = SHOWN * (machine.byte_time(spec.min_bytes, plan.threads) - filters)
    tiles = strip_plans.tile_count(plan) * TILE_SECONDS / plan.threads
    products = max(compute, filters) + min(compute, filters) / 2
    return 1.5 * machine.call_overhead + products + packing + tiles + moved


direct = Algorithm(
    name="direct",
    run=phases(run, "pad", "multiply"),
    plan=plan,
    prepare=prepare,
    workspace=workspace,
    cost=cost,
    prepare_cost=prepare_cost,
    executed_flop=executed_flop,
    claim="register-blocked direct sum over taps and channels, no im2col (Zhang, Franchetti & Low 2018)",
)
