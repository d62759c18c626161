"""Direct convolution: taps and channels accumulate in registers, no patch matrix.

    y[n, k, p] = Σ_t Σ_c x̂[n, c, p + offset(t)] · w[k, c, t]

x̂ is the zero-padded image split by stride phase (``kernels/layout.py: Polyphase``), so that every tap is a
unit-stride shift whatever the stride and dilation; each tile of pixels × NR output channels is one ``brgemm`` whose
batch runs over the taps and whose depth is C/G (Georganas et al., SC'18, arXiv:1808.05567, §II).
Memory: one padded copy of the input, none without padding and stride. Error: the direct sum's
(``algorithm.direct_error``).
"""

from __future__ import annotations

from convbench.algorithm import Algorithm, phases, terms
from convbench.kernels.gemm import panel_width
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
)  # fmt: skip
from convbench.machine import Machine

EFFICIENCY = 0.75  # of peak inside full tiles


def parts(plan):
    return [image_part(plan), tiles_part(plan)]


def pad_image(plan, x, state, bias, y, work):
    pad(plan, x, carve(work, parts(plan))[0])


def multiply_tiles(plan, x, state, bias, y, work):
    padded, tiles = carve(work, parts(plan))
    multiply(plan, x.reshape(-1) if plan.image.in_place else padded, state, bias, y, tiles)


def executed_flop(plan: PanelPlan) -> float:
    """Counts what the lanes do: positions between output rows and channels up to a whole panel included."""
    spec = plan.spec
    return 2.0 * spec.N * spec.groups * plan.image.pixels * panel_count(spec) * terms(spec) * panel_width(spec.np_dtype)


def cost(plan: PanelPlan, machine: Machine) -> float:
    spec = plan.spec
    compute = machine.flop_time(executed_flop(plan), spec, plan.threads, EFFICIENCY)
    copied = 0 if plan.image.in_place else 2 * spec.N * spec.C * plan.image.plane * spec.itemsize
    return machine.call_overhead + compute + machine.byte_time(copied + spec.min_bytes, plan.threads)


direct = Algorithm(
    name="direct",
    run=phases(pad=pad_image, multiply=multiply_tiles),
    plan=plan_panels,
    prepare=pack_filters,
    workspace=lambda plan: scratch_bytes(parts(plan)),
    cost=cost,
    executed_flop=executed_flop,
    claim="register-blocked direct sum over taps and channels, no im2col (Georganas et al. 2018)",
)
