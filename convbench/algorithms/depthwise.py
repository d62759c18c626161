"""Depthwise convolution: every input channel has filters of its own.

    y[n, k, p, q] = Σ_{r,s} w[k, r, s] · x̂[n, ⌊k·C/K⌋, p·stride + r·dilation, q·stride + s·dilation]

x̂ is x zero-padded. C = G with any multiplier K/C; one channel (image filtering) and 1-D signals are the same problem.
For each block of outputs the padded window of one channel is copied to scratch, then K/C stencils run over it with
lanes along the row (``kernels/stencil.py``): a vector of pixels serves up to three output rows, weights stay in
registers, sums are stored once. Memory: one window a thread, about 32 KiB. Error: the direct sum's
(``algorithm.direct_error``).
Source: Zhang, Franchetti & Low 2018 (arXiv:1809.10170) for direct convolution without memory overhead.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from convbench.algorithm import Algorithm, terms
from convbench.kernels.jit import njit
from convbench.kernels.layout import carve, round_up, scratch_bytes
from convbench.kernels.stencil import ROWS, Chains, stencil
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

EFFICIENCY = 0.5  # of peak inside full tiles


class Plan(NamedTuple):
    spec: ConvSpec
    threads: int
    lifted: ConvSpec
    window: Window


class State(NamedTuple):
    weight: np.ndarray  # (K·taps,) in the order of the chains
    chains: Chains
    no_bias: np.ndarray  # zeros (K,)
    window: np.ndarray  # the plan's, packed


def supports(spec: ConvSpec) -> str | None:
    if spec.C != spec.G:
        return f"it takes one input channel a group, this problem has {spec.C // spec.G}"
    return None


def plan(spec: ConvSpec, threads: int, workspace_limit: int | None) -> Plan:
    lifted = lift(spec, 3)
    return Plan(spec, threads, lifted, window(lifted, None if workspace_limit is None else workspace_limit // threads))


def prepare(plan: Plan, weight: np.ndarray) -> State:
    """(K, 1, R, S) -> each filter's taps in the order of the chains."""
    K = len(weight)
    taps = window_chains(plan.lifted, plan.window)
    return State(weight.reshape(K, -1)[:, taps.order].ravel(), taps, np.zeros(K, weight.dtype), packed(plan.window))


def parts(plan: Plan) -> list[Any]:
    return [((plan.threads, round_up(plan.window.size, plan.window.lanes)), plan.spec.np_dtype)]


def run(plan: Plan, x: Any, state: State, bias: Any, y: Any, work: Any) -> None:
    parallel(
        convolve_blocks, plan.spec.N * plan.spec.C * plan.window.blocks, plan.threads, x.reshape(-1), plan.spec.C,
        state.weight, state.chains.offsets, state.chains.counts, state.no_bias if bias is None else bias, y.reshape(-1),
        plan.window.blocks, state.window, private=list(carve(work, parts(plan))[0]),
    )  # fmt: skip


def executed_flop(plan: Plan) -> float:
    """Counts what the lanes do: rows of tiles and vectors beyond the outputs included."""
    O, P, Q = plan.window.output
    lanes = plan.window.lanes
    outputs = O * round_up(P, ROWS) * round_up(Q, lanes) if P > 1 else O * round_up(Q, ROWS * lanes)
    return 2.0 * plan.spec.N * plan.spec.K * outputs * terms(plan.spec)


def cost(plan: Plan, machine: Machine) -> float:
    spec, threads = plan.spec, plan.threads
    compute = machine.flop_time(executed_flop(plan), spec, threads, EFFICIENCY)
    copies = fill_time(plan.window, spec.N * spec.C * plan.window.blocks, spec, threads, machine)
    return machine.call_overhead + compute + copies + machine.byte_time(spec.min_bytes, threads)


depthwise = Algorithm(
    name="depthwise",
    run=run,
    supports=supports,
    plan=plan,
    prepare=prepare,
    workspace=lambda plan: scratch_bytes(parts(plan)),
    cost=cost,
    executed_flop=executed_flop,
    claim="one channel at a time, lanes along the row, windows in L1; single-channel images and 1-D signals too",
)


@njit
def convolve_blocks(begin, end, x, C, weight, offsets, counts, bias, y, blocks, numbers, padded):
    """Tasks (n, c, block), the last fastest; x, weight, y flat; padded is private scratch."""
    window = unpacked(numbers)
    O, P, Q = window.output
    K = bias.size
    taps = weight.size // K
    for task in range(begin, end):
        channel = task // blocks
        n, c = channel // C, channel % C
        o, p, q, rows, cols = block_at(window, task % blocks)
        pad_window(x, channel, o, p, q, rows, window, padded)
        tile_rows, tile_cols, last, y_step = tiling(window, rows, cols, Q)
        for k in range(c * (K // C), (c + 1) * (K // C)):
            y_start = (((n * K + k) * O + o) * P + p) * Q + q
            stencil(padded, 0, window.step, weight, k * taps, offsets, counts, bias[k], y, y_start, y_step, tile_rows,
                    tile_cols, last, window.lanes)  # fmt: skip
