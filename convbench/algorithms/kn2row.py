"""kn2row: one accumulating matrix product a filter tap, no patch matrix.

    acc[p, k] += Σ_c x̂[c, p + offset(t)] · w[k, c, t]      for t = 1 … R·S

(Vasudevan, Anderson & Gregg 2017, arXiv:1704.04428, §4; the shifts are offsets into the polyphase padded image, so
strides and dilations need nothing more.) Pixels are taken a block at a time, whose sums stay in L2 over all taps.
Memory: the padded image and a block's sums × NR a thread; ``workspace_limit`` shortens the block.
Error: the direct sum's (``algorithm.direct_error``): every tap's partial sum is added in working precision.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from convbench.algorithm import Algorithm, Unsupported, phases, terms
from convbench.kernels.gemm import brgemm, panel_width
from convbench.kernels.jit import njit
from convbench.kernels.layout import Part, Polyphase, carve, polyphase_pad, scratch_bytes
from convbench.kernels.packing import pack_panels
from convbench.kernels.panels import operand_or_empty, panel_count, scatter
from convbench.kernels.threads import parallel
from convbench.kernels.ticks import CALL, OFF, mark, tick
from convbench.machine import Machine
from convbench.reductions import lift
from convbench.spec import ConvSpec

PIXELS = (1792, 896, 448, 112, 28, 4, 1)  # of a block, the most that fit: its sums stay in L2
PAD, MULTIPLY, WRITE = 1, 2, 3  # phases
EFFICIENCY = 0.5  # of peak; every tap reads and writes the sums


class Plan(NamedTuple):
    spec: ConvSpec
    threads: int
    lifted: ConvSpec  # the problem with three spatial dimensions
    image: Polyphase
    pixels: int  # a block
    b_off: np.ndarray  # int64 (taps,): each tap's filter in its panel


def plan(spec: ConvSpec, threads: int, workspace_limit: int | None) -> Plan:
    lifted = lift(spec, 3)
    image = Polyphase.of(lifted)
    b_off = np.arange(len(image.taps), dtype=np.int64) * spec.weight_shape[1] * panel_width(spec.np_dtype)
    for pixels in PIXELS:
        chosen = Plan(spec, threads, lifted, image, min(pixels, image.pixels), b_off)
        needed = scratch_bytes(parts(chosen))
        if workspace_limit is None or needed <= workspace_limit:
            return chosen
    raise Unsupported(f"kn2row needs {needed} bytes at one pixel a block; the limit is {workspace_limit}")


def parts(plan: Plan) -> list[Part]:
    """The padded image, none where x itself is one, and the sums of a block, of each thread."""
    spec = plan.spec
    padded = 0 if plan.image.in_place else spec.N * spec.C * plan.image.plane
    return [((padded,), spec.np_dtype), ((plan.threads, plan.pixels, panel_width(spec.np_dtype)), spec.np_dtype)]


def prepare(plan: Plan, weight: np.ndarray) -> np.ndarray:
    """(K, C/G, …taps) -> (G, ⌈K/G / NR⌉, taps, C/G, NR): what brgemm reads as B, one tap a batch step."""
    groups, (K, channels) = plan.spec.groups, weight.shape[:2]
    by_tap = np.moveaxis(weight.reshape(K, channels, -1), 1, 2).reshape(groups, K // groups, -1)
    packed = pack_panels(by_tap, plan.threads)
    return packed.reshape(*packed.shape[:2], -1, channels, packed.shape[-1])


def pad(plan: Plan, x: np.ndarray, padded: np.ndarray) -> np.ndarray:
    """Fill ``padded`` with the polyphase image of x and return it; x itself, flat, where that is the image."""
    spec, image = plan.lifted, plan.image
    if image.in_place:
        return x.reshape(-1)
    before = tuple(before for before, _ in spec.padding)
    channels = x.reshape(-1, *spec.spatial)
    parallel(polyphase_pad, len(channels), plan.threads, channels, padded, image.plane, image.phases, image.size,
             spec.stride, before)  # fmt: skip
    return padded


@njit
def accumulate(
    begin, end, ticks, a, image_step, group_step, a_step, taps, pixels, panels, b_off, bias, y, size_h, size_w, sums
):  # fmt: skip
    """Tasks (n, g, panel, block of the ``pixels``): R·S products into ``sums`` (block, NR), then ``scatter`` into y."""
    mark(ticks, CALL)
    G, count_k, batch, depth, width = panels.shape
    channels = y.shape[1] // G
    b = panels.reshape(panels.size)
    c = sums.reshape(sums.size)
    blocks = -(-pixels // len(sums))
    for task in range(begin, end):
        rest, block = divmod(task, blocks)
        rest, panel = divmod(rest, count_k)
        n, g = divmod(rest, G)
        first = block * len(sums)
        count = min(len(sums), pixels - first)
        a_start = n * image_step + g * group_step + first
        b_start = (g * count_k + panel) * batch * depth * width
        for t in range(batch):
            brgemm(count, depth, 1, a, a_start, taps[t:], a_step, b, b_start, b_off[t:], c, 0, width, t > 0)
        mark(ticks, MULTIPLY)
        scatter(sums, first, count, size_h, size_w, y, n, g * channels + panel * width, channels, bias)
        mark(ticks, WRITE)


def tasks(plan: Plan) -> int:
    return plan.spec.N * plan.spec.groups * panel_count(plan.spec) * -(-plan.image.pixels // plan.pixels)


def run(plan, x, state, bias, y, work, ticks=OFF):
    spec, image = plan.lifted, plan.image
    padded, sums = carve(work, parts(plan))
    a = pad(plan, x, padded)
    tick(ticks, PAD)
    parallel(accumulate, tasks(plan), plan.threads, ticks, a, spec.C * image.plane, spec.weight_shape[1] * image.plane,
             image.plane, image.taps, image.pixels, state, plan.b_off, operand_or_empty(bias, y),
             y.reshape(spec.output_shape), image.size[1], image.size[2], private=sums)  # fmt: skip


def executed_flop(plan: Plan) -> float:
    """Counts what the lanes do: positions between output rows and channels up to a whole panel included."""
    spec = plan.spec
    lanes = panel_count(spec) * panel_width(spec.np_dtype)
    return 2.0 * spec.N * spec.groups * plan.image.pixels * terms(spec) * lanes


def cost(plan: Plan, machine: Machine) -> float:
    """The products, and the sums that every tap reads from L2 and writes there."""
    spec = plan.spec
    compute = machine.flop_time(executed_flop(plan), spec, plan.threads, EFFICIENCY)
    sums = plan.image.pixels * panel_width(spec.np_dtype) * spec.itemsize
    traffic = 2.0 * spec.N * spec.groups * panel_count(spec) * len(plan.b_off) * sums
    moved = traffic / (machine.l2_bandwidth * plan.threads)
    return 5 * machine.call_overhead + compute + moved + machine.byte_time(spec.min_bytes, plan.threads)


kn2row = Algorithm(
    name="kn2row",
    run=phases(run, "pad", "multiply", "write"),
    plan=plan,
    prepare=prepare,
    workspace=lambda plan: scratch_bytes(parts(plan)),
    cost=cost,
    executed_flop=executed_flop,
    claim="one accumulating matrix product a filter tap (Vasudevan et al. 2017)",
)
