"""Direct convolution: taps and channels accumulate in registers, no patch matrix.

    y[n, k, p] = Σ_t Σ_c x̂[n, c, p + offset(t)] · w[k, c, t]

x̂ is the zero-padded image split by stride phase (``kernels/layout.py: Polyphase``), so that every tap is a
unit-stride shift whatever the stride and dilation; each tile of pixels × NR output channels is one ``brgemm`` whose
batch runs over the taps and whose depth is C/G (Georganas et al., SC'18, arXiv:1808.05567, §II).
One input channel and few output channels a group would leave those lanes empty: there the lanes are pixels, as in
``depthwise``.
Memory: one padded copy of the input, none without padding and stride. Error: the direct sum's
(``algorithm.direct_error``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convbench.algorithm import Algorithm, phases, terms
from convbench.algorithms.depthwise import Plan as StencilPlan
from convbench.algorithms.depthwise import depthwise
from convbench.kernels.gemm import VECTORS, panel_width
from convbench.kernels.layout import carve, scratch_bytes
from convbench.kernels.panels import (
    PanelPlan,
    image_part,
    multiply,
    pack_filters,
    pad,
    panel_count,
    plan_panels,
    tiles_part,
)
from convbench.machine import Machine
from convbench.spec import ConvSpec

EFFICIENCY = 0.75  # of peak inside full tiles

Plan = PanelPlan | StencilPlan


def plan(spec: ConvSpec, threads: int, workspace_limit: int | None) -> Plan:
    """Lanes are output channels; pixels where one input channel feeds less than a vector of them."""
    few = spec.K // spec.groups < panel_width(spec.np_dtype) // VECTORS
    chosen = depthwise.plan if few and depthwise.supports(spec) is None else plan_panels
    return chosen(spec, threads, workspace_limit)


def prepare(plan: Plan, weight: np.ndarray) -> Any:
    return pack_filters(plan, weight) if isinstance(plan, PanelPlan) else depthwise.prepare(plan, weight)


def parts(plan):
    return [image_part(plan), tiles_part(plan)]


def workspace(plan: Plan) -> int:
    return scratch_bytes(parts(plan)) if isinstance(plan, PanelPlan) else depthwise.workspace(plan)


def pad_image(plan, x, state, bias, y, work):
    if isinstance(plan, PanelPlan):
        pad(plan, x, carve(work, parts(plan))[0])


def multiply_tiles(plan, x, state, bias, y, work):
    if isinstance(plan, PanelPlan):
        padded, tiles = carve(work, parts(plan))
        multiply(plan, x.reshape(-1) if plan.image.in_place else padded, state, bias, y, tiles)
    else:
        depthwise.run(plan, x, state, bias, y, work)


def executed_flop(plan: Plan) -> float:
    """Counts what the lanes do: positions between output rows and channels up to a whole panel included."""
    if not isinstance(plan, PanelPlan):
        return depthwise.executed_flop(plan)
    spec = plan.spec
    lanes = panel_count(spec) * panel_width(spec.np_dtype)
    return 2.0 * spec.N * spec.groups * plan.image.pixels * terms(spec) * lanes


def cost(plan: Plan, machine: Machine) -> float:
    if not isinstance(plan, PanelPlan):
        return depthwise.cost(plan, machine)
    spec = plan.spec
    compute = machine.flop_time(executed_flop(plan), spec, plan.threads, EFFICIENCY)
    copied = 0 if plan.image.in_place else 2 * spec.N * spec.C * plan.image.plane * spec.itemsize
    return machine.call_overhead + compute + machine.byte_time(copied + spec.min_bytes, plan.threads)


direct = Algorithm(
    name="direct",
    run=phases(pad=pad_image, multiply=multiply_tiles),
    plan=plan,
    prepare=prepare,
    workspace=workspace,
    cost=cost,
    executed_flop=executed_flop,
    claim="register-blocked direct sum over taps and channels, no im2col (Georganas et al. 2018)",
)
