"""Implicit GEMM: patches packed straight into the micro-kernel's operand, a block at a time.

    y[n, k, p] = Σ_j w[k, j] · patch[j, p],   j = (c, r, s)

as im2col, but the patch matrix never exists: of a block of pixels, ``depth`` rows j at a time are packed, multiplied
with every filter panel by ``brgemm`` into accumulators, and forgotten (Chetlur et al. 2014, "cuDNN: Efficient
Primitives for Deep Learning", arXiv:1410.0759, §3). Memory: one packed block and its accumulators a thread, a few
hundred KB; ``workspace_limit`` shortens the block. Error: the direct sum's (``algorithm.direct_error``).
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from convbench.algorithm import Algorithm, Unsupported, phases, terms
from convbench.kernels.gemm import brgemm, panel_width
from convbench.kernels.jit import njit
from convbench.kernels.layout import carve, scratch_bytes
from convbench.kernels.packing import pack_panels
from convbench.kernels.panels import operand_or_empty, panel_count, scatter
from convbench.kernels.patches import copy_patch_row
from convbench.kernels.threads import parallel
from convbench.kernels.ticks import CALL, OFF, mark
from convbench.machine import Machine
from convbench.reductions import lift
from convbench.spec import ConvSpec

ROWS = (112, 56, 28, 14, 4, 1)  # pixels a block, the most that fits: every panel is read once a block
DEPTH = 512  # rows of the patch matrix packed at a time: 512 × 112 float32 stay in L2
PACK, MULTIPLY, WRITE = 1, 2, 3  # phases of a block
EFFICIENCY = 0.5  # of peak inside full tiles


class Plan(NamedTuple):
    spec: ConvSpec
    threads: int
    lifted: ConvSpec
    rows: int  # output pixels a block


def parts(plan):
    """Packed patches (depth, rows) and accumulators (panels, rows, NR), of each thread."""
    spec = plan.spec
    packed = (plan.threads, min(DEPTH, terms(spec)), plan.rows)
    return [
        (shape, spec.np_dtype)
        for shape in (packed, (plan.threads, panel_count(spec), plan.rows, panel_width(spec.np_dtype)))
    ]


def plan(spec: ConvSpec, threads: int, workspace_limit: int | None) -> Plan:
    lifted, pixels = lift(spec, 3), prod(spec.output_spatial)
    for rows in ROWS:
        chosen = Plan(spec, threads, lifted, min(pixels, rows))
        needed = scratch_bytes(parts(chosen))
        if workspace_limit is None or needed <= workspace_limit:
            return chosen
    raise Unsupported(f"implicit_gemm needs {needed} bytes at one pixel a block; the limit is {workspace_limit}")


def prepare(plan: Plan, weight: np.ndarray) -> np.ndarray:
    """(K, C/G, …taps) -> (G, panels, C/G·R·S, NR)."""
    return pack_panels(weight.reshape(plan.spec.groups, plan.spec.K // plan.spec.groups, -1), plan.threads)


@njit
def multiply_patches(
    begin, end, ticks, x, filter_size, stride, dilation, before, panels, bias, y, slice_, private
):  # fmt: skip
    """Tasks (n, g, pixel block): of each part of the depth, pack its patches, one brgemm a panel.

    private: packed (slice_, rows) and product (panels, rows, NR); ticks: see ``mark``.
    """
    mark(ticks, CALL)
    packed, product = private
    G, count_k, depth, width = panels.shape
    _, _, O, P, Q = y.shape
    taps = filter_size[0] * filter_size[1] * filter_size[2]
    channels, inputs = y.shape[1] // G, depth // taps
    _, rows, _ = product.shape
    pixels = O * P * Q
    blocks = -(-pixels // rows)
    a, b, c = packed.reshape(packed.size), panels.reshape(panels.size), product.reshape(product.size)
    for task in range(begin, end):
        rest, block = divmod(task, blocks)
        n, g = divmod(rest, G)
        first = block * rows
        count = min(rows, pixels - first)
        for start in range(0, depth, slice_):
            some = min(slice_, depth - start)
            for j in range(some):
                channel, tap = divmod(start + j, taps)
                rest, s = divmod(tap, filter_size[2])
                t, r = divmod(rest, filter_size[1])
                copy_patch_row(x, n, g * inputs + channel, (t, r, s), stride, dilation, before, (O, P, Q), first,
                               count, a, j * rows)  # fmt: skip
            mark(ticks, PACK)
            for panel in range(count_k):
                b_start = ((g * count_k + panel) * depth + start) * width
                brgemm(count, some, 1, a, 0, None, rows, b, b_start, None, c, panel * rows * width, width,
                       start > 0)  # fmt: skip
            mark(ticks, MULTIPLY)
        for panel in range(count_k):
            scatter(product[panel], first, count, P, Q, y, n, g * channels + panel * width, channels, bias)
        mark(ticks, WRITE)


def tasks(plan: Plan) -> int:
    spec = plan.spec
    return spec.N * spec.groups * -(-prod(spec.output_spatial) // plan.rows)


def run(plan, x, state, bias, y, work, ticks=OFF):
    private, spec = list(zip(*carve(work, parts(plan)), strict=True)), plan.lifted
    before = tuple(b for b, _ in spec.padding)
    parallel(multiply_patches, tasks(plan), plan.threads, ticks, x.reshape(spec.input_shape), spec.filter, spec.stride,
             spec.dilation, before, state, operand_or_empty(bias, y), y.reshape(spec.output_shape), DEPTH,
             private=private)  # fmt: skip


def executed_flop(plan: Plan) -> float:
    """Channels up to a whole panel included."""
    spec = plan.spec
    lanes = panel_count(spec) * panel_width(spec.np_dtype)
    return 2.0 * spec.N * spec.groups * prod(spec.output_spatial) * terms(spec) * lanes


def cost(plan: Plan, machine: Machine) -> float:
    spec = plan.spec
    compute = machine.flop_time(executed_flop(plan), spec, plan.threads, EFFICIENCY)
    patches = spec.N * spec.groups * terms(spec) * prod(spec.output_spatial) * spec.itemsize
    packing = 2 * patches / (machine.l2_bandwidth * plan.threads)
    return 7 * machine.call_overhead + compute + packing + machine.byte_time(spec.min_bytes, plan.threads)


implicit_gemm = Algorithm(
    name="implicit_gemm",
    run=phases(run, "pack", "multiply", "write"),
    plan=plan,
    prepare=prepare,
    workspace=lambda plan: scratch_bytes(parts(plan)),
    cost=cost,
    executed_flop=executed_flop,
    claim="patches packed straight into the micro-kernel's panel (Chetlur et al. 2014)",
)
