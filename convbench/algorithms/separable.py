"""Separable convolution: each (k, c) filter as a sum of outer products, each a column pass and a row pass.

    w[k, c] = Σ_i a_i ⊗ b_i  (SVD)        y[n, k] = bias[k] + Σ_c Σ_i b_i ⋆_row (a_i ⋆_column x̂[n, c])

R + S multiply-adds a pixel and outer product instead of R·S: right for any weights, fast at rank 1 (Gaussian, box,
Sobel). Both passes are stencils over blocks that stay in cache (``kernels/stencil.py``): the column pass writes a
block's rows, halo columns included, the row pass writes them to y or adds them.

Numerical rank: singular values are dropped while what is dropped stays below √(R·S)·u·‖w[k, c]‖_F, the rounding that
the direct sum of R·S products may make itself; a filter stored as a rounded outer product is off by at most u.
Error: the direct sum's (``algorithm.direct_error``; both passes together sum fewer terms, and the factors' rounding is
one more unit in its constant) plus √(R·S)·u for what was dropped. It is not local: factors mix the magnitudes of a
filter's taps, so that an error is small beside the largest output only, and infinity may turn to NaN in the outputs
that read it.
Memory: two blocks a thread. Source: Rigamonti et al., "Learning Separable Filters" (CVPR 2013), §3; Eckart & Young
(1936) for the least number of terms.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from convbench.algorithm import Algorithm, direct_error, phases
from convbench.kernels.jit import njit
from convbench.kernels.layout import Part, carve, round_up, scratch_bytes
from convbench.kernels.low_rank import factorise, factorise_time, truncation
from convbench.kernels.stencil import ROWS, Chains, chains, stencil, stencil_add
from convbench.kernels.threads import parallel
from convbench.kernels.ticks import CALL, OFF, mark
from convbench.kernels.window import Window, block_at, fill_time, packed, pad_window, unpacked, window
from convbench.machine import Machine
from convbench.reductions import lift
from convbench.spec import ConvSpec

PAD, FILTER = 1, 2  # phases of a block
EFFICIENCY = 0.15  # of peak: the row pass loads a vector for every product
WINDOW_BYTES = 128 * 1024  # larger than L1: at R + S products a pixel, halos cost more than L2


class Plan(NamedTuple):
    spec: ConvSpec
    threads: int
    lifted: ConvSpec
    window: Window


class State(NamedTuple):
    columns: np.ndarray  # (terms·R,) in the order of the chains
    rows: np.ndarray  # (terms·S,)
    first: np.ndarray  # int64 (K·C/G + 1,): where each filter's terms begin
    column_chains: Chains
    row_chains: Chains
    no_bias: np.ndarray  # zeros (K,)
    window: np.ndarray  # the plan's, packed


def supports(spec: ConvSpec) -> str | None:
    if spec.ndim != 2:
        return f"it splits filters into a column and a row, which takes 2 dimensions; this problem has {spec.ndim}"
    if max(spec.filter) == 1:
        return "a filter of one tap is no column and row"
    return None


def plan(spec: ConvSpec, threads: int, workspace_limit: int | None) -> Plan:
    lifted = lift(spec, 3)
    limit = None if workspace_limit is None else workspace_limit // (2 * threads)
    return Plan(spec, threads, lifted, window(lifted, limit, WINDOW_BYTES, fold=False))


def prepare(plan: Plan, weight: np.ndarray) -> State:
    """(K, C/G, R, S) -> the columns and rows of every filter's terms."""
    (_, R, S), (_, dh, dw), sw = plan.lifted.filter, plan.lifted.dilation, plan.lifted.stride[2]
    factors = factorise(weight.reshape(-1, R, S), truncation(R * S, plan.spec.dtype))
    width = plan.window.width
    columns = chains([r * dh * width for r in range(R)], plan.window.step)
    rows = chains([s * dw % sw * (width // sw) + s * dw // sw for s in range(S)], width)
    return State(
        factors.left[:, columns.order].ravel(), factors.right[:, rows.order].ravel(), factors.first, columns, rows,
        np.zeros(len(weight), weight.dtype), packed(plan.window),
    )  # fmt: skip


def parts(plan: Plan) -> list[Part]:
    """A thread's window and its filtered columns."""
    window, dtype = plan.window, plan.spec.np_dtype
    filtered = (round_up(window.rows, ROWS) * window.width + window.lanes,)
    return [((plan.threads, round_up(size, window.lanes)), dtype) for size in (window.size, *filtered)]


def run(plan: Plan, x: Any, state: State, bias: Any, y: Any, work: Any, ticks: Any = OFF) -> None:
    spec, private = plan.spec, list(zip(*carve(work, parts(plan)), strict=True))
    parallel(convolve_blocks, spec.N * spec.G * plan.window.blocks, plan.threads, ticks, x.reshape(-1),
             spec.C // spec.G, spec.G, state.columns, state.column_chains.offsets, state.column_chains.counts,
             state.rows, state.row_chains.offsets, state.row_chains.counts, state.first,
             state.no_bias if bias is None else bias, y.reshape(-1), plan.window.blocks, state.window,
             private=private)  # fmt: skip


def error(plan: Plan) -> float:
    return direct_error(plan) + truncation(prod(plan.spec.filter), plan.spec.dtype)


def executed_flop(plan: Plan) -> float:
    """At full rank: a rank-1 filter takes 1 / min(R, S) of it."""
    spec = plan.spec
    R, S = spec.filter
    return 2.0 * prod(spec.output_shape) * spec.weight_shape[1] * min(R, S) * (R + S)


def cost(plan: Plan, machine: Machine) -> float:
    """At full rank: what any weights take."""
    spec, threads = plan.spec, plan.threads
    compute = machine.flop_time(executed_flop(plan), spec, threads, EFFICIENCY)
    copies = fill_time(plan.window, spec.N * spec.C * plan.window.blocks, spec, threads, machine)
    return 8 * machine.call_overhead + compute + copies + machine.byte_time(spec.min_bytes, threads)


def prepare_cost(plan: Plan, machine: Machine) -> float:
    K, channels, R, S = plan.spec.weight_shape
    return machine.call_overhead + factorise_time(K * channels, R, S)


separable = Algorithm(
    name="separable",
    run=phases(run, "pad", "filter"),
    supports=supports,
    plan=plan,
    prepare=prepare,
    workspace=lambda plan: scratch_bytes(parts(plan)),
    error=error,
    cost=cost,
    prepare_cost=prepare_cost,
    executed_flop=executed_flop,
    local=False,
    exact=False,
    claim="each filter's SVD as column and row passes: right for any weights, fast at rank 1",
)


@njit
def convolve_blocks(
    begin, end, ticks, x, depth, G, columns, column_offsets, column_counts, rows, row_offsets, row_counts,
    first, bias, y, blocks, numbers, private,
):  # fmt: skip
    """Tasks (n, g, block), the last fastest; all arrays flat.

    private: a window and its filtered columns; ticks: see ``mark``.
    """
    mark(ticks, CALL)
    padded, filtered = private
    window = unpacked(numbers)
    _, P, Q = window.output
    lanes, width, K = window.lanes, window.width, bias.size
    terms = first[first.size - 1]
    R, S = columns.size // terms, rows.size // terms
    for task in range(begin, end):
        group = task // blocks
        n, g = group // G, group % G
        _, p, q, height, cols = block_at(window, task % blocks)
        tiles = (height + ROWS - 1) // ROWS * ROWS
        for c in range(depth):
            pad_window(x, group * depth + c, 0, p, q, height, window, padded)
            mark(ticks, PAD)
            for k in range(g * (K // G), (g + 1) * (K // G)):
                y_start = ((n * K + k) * P + p) * Q + q
                begin_term = first[k * depth + c]
                for term in range(begin_term, first[k * depth + c + 1]):
                    stencil(padded, 0, window.step, columns, term * R, column_offsets, column_counts, y.dtype.type(0),
                            filtered, 0, width, tiles, width, width, lanes)  # fmt: skip
                    if c == 0 and term == begin_term:
                        stencil(filtered, 0, width, rows, term * S, row_offsets, row_counts, bias[k], y, y_start, Q,
                                height, cols, cols, lanes)  # fmt: skip
                    else:
                        stencil_add(filtered, 0, width, rows, term * S, row_offsets, row_counts, y, y_start, Q, height,
                                    cols, lanes)  # fmt: skip
            mark(ticks, FILTER)
