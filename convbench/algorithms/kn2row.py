"""kn2row: one accumulating matrix product a filter tap, no patch matrix.

    acc[p, k] += Σ_c x̂[c, p + offset(t)] · w[k, c, t]      for t = 1 … R·S

(Vasudevan, Anderson & Gregg 2017, arXiv:1704.04428, §4; the shifts are offsets into the polyphase padded image, so
strides and dilations need nothing more.) Memory: the padded image and one accumulator of P·Q × NR a thread.
Error: the direct sum's (``algorithm.direct_error``): every tap's partial sum is added in working precision.
"""

from __future__ import annotations

from convbench.algorithm import Algorithm, phases, terms
from convbench.kernels.gemm import brgemm, panel_width
from convbench.kernels.jit import njit
from convbench.kernels.layout import carve, scratch_bytes
from convbench.kernels.panels import (
    PanelPlan,
    image_part,
    operand_or_empty,
    pack_filters,
    pad,
    panel_count,
    plan_panels,
    scatter,
)  # fmt: skip
from convbench.kernels.threads import parallel
from convbench.kernels.ticks import CALL, OFF, mark, tick
from convbench.machine import Machine

PAD, MULTIPLY, WRITE = 1, 2, 3  # phases
EFFICIENCY = 0.5  # of peak; every tap reads and writes the accumulator


def parts(plan):
    spec = plan.spec
    accumulators = (plan.threads, plan.image.pixels, panel_width(spec.np_dtype))
    return [image_part(plan), (accumulators, spec.np_dtype)]


@njit
def accumulate(begin, end, ticks, a, image_step, group_step, a_step, taps, panels, b_off, bias, y, size_h, size_w, acc):
    """Tasks (n, g, panel): R·S products of all pixels into ``acc`` (pixels, NR), then ``scatter`` into y."""
    mark(ticks, CALL)
    G, count_k, batch, depth, width = panels.shape
    channels = y.shape[1] // G
    b = panels.reshape(panels.size)
    c = acc.reshape(acc.size)
    for task in range(begin, end):
        rest, panel = divmod(task, count_k)
        n, g = divmod(rest, G)
        b_start = (g * count_k + panel) * batch * depth * width
        for t in range(batch):
            brgemm(len(acc), depth, 1, a, n * image_step + g * group_step, taps[t:], a_step, b, b_start, b_off[t:], c,
                   0, width, t > 0)  # fmt: skip
        mark(ticks, MULTIPLY)
        scatter(acc, 0, len(acc), size_h, size_w, y, n, g * channels + panel * width, channels, bias)
        mark(ticks, WRITE)


def run(plan, x, state, bias, y, work, ticks=OFF):
    spec, image = plan.lifted, plan.image
    padded, acc = carve(work, parts(plan))
    a = pad(plan, x, padded)
    tick(ticks, PAD)
    parallel(accumulate, spec.N * spec.groups * panel_count(spec), plan.threads, ticks, a, spec.C * image.plane,
             spec.weight_shape[1] * image.plane, image.plane, image.taps, state, plan.b_off,
             operand_or_empty(bias, y), y.reshape(spec.output_shape), image.size[1], image.size[2],
             private=acc)  # fmt: skip


def executed_flop(plan: PanelPlan) -> float:
    """Counts what the lanes do: positions between output rows and channels up to a whole panel included."""
    spec = plan.spec
    lanes = panel_count(spec) * panel_width(spec.np_dtype)
    return 2.0 * spec.N * spec.groups * plan.image.pixels * terms(spec) * lanes


def cost(plan: PanelPlan, machine: Machine) -> float:
    spec = plan.spec
    compute = machine.flop_time(executed_flop(plan), spec, plan.threads, EFFICIENCY)
    acc = plan.image.pixels * panel_width(spec.np_dtype) * spec.itemsize
    traffic = 2.0 * spec.N * spec.groups * panel_count(spec) * len(plan.b_off) * acc
    moved = machine.byte_time(acc, 1) / acc * traffic / plan.threads
    return machine.call_overhead + compute + moved + machine.byte_time(spec.min_bytes, plan.threads)


kn2row = Algorithm(
    name="kn2row",
    run=phases(run, "pad", "multiply", "write"),
    plan=plan_panels,
    prepare=pack_filters,
    workspace=lambda plan: scratch_bytes(parts(plan)),
    cost=cost,
    executed_flop=executed_flop,
    claim="one accumulating matrix product a filter tap (Vasudevan et al. 2017)",
)
