"""Depthwise-separable convolution: filters that differ between outputs by scale only become depthwise + pointwise.

For each input channel c the K × R·S matrix of its filters is a sum of outer products (SVD):

    w[:, c] = Σ_i m_ci ⊗ d_ci        y[n] = bias + Σ_c Σ_i m_ci · (d_ci ⋆ x̂[n, c])

R·S + K multiply-adds a pixel, channel and term instead of R·S·K: right for any weights, fast at rank 1. For each
block of outputs, chunks of terms are filtered (``kernels/stencil.py``) into scratch that stays in cache and mixed
there by ``brgemm``, pixels by packed output channels. Groups are problems of their own. Any rank of space.

Numerical rank: singular values are dropped while what is dropped stays below √(R·S)·u·‖w[:, c]‖_F, the rounding
that the direct sum of R·S products may make itself. Error: the direct sum's (``algorithm.direct_error``), plus √(R·S)·u
for what was dropped. It is not local: factors mix the magnitudes of filters, so that an error is small beside the
largest output only, and infinity may turn to NaN in the outputs that read it.
Memory: a window, DEPTH filtered planes and the products of one block a thread.
Source: Guo et al., "Network Decoupling" (BMVC 2018, arXiv:1808.05517), §3: any convolution is a sum of
depthwise-separable ones.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np

from convbench.algorithm import Algorithm, direct_error, phases
from convbench.kernels.gemm import brgemm, panel_width
from convbench.kernels.jit import njit
from convbench.kernels.layout import Part, aligned_empty, carve, round_up, scratch_bytes
from convbench.kernels.low_rank import factorise, factorise_time, truncation
from convbench.kernels.packing import pack_panels
from convbench.kernels.panels import operand_or_empty, panel_count, scatter
from convbench.kernels.stencil import ROWS, WIDTH, Chains, stencil
from convbench.kernels.threads import parallel
from convbench.kernels.ticks import CALL, OFF, mark
from convbench.kernels.window import (
    Window,
    block_at,
    fill_time,
    packed,
    pad_window,
    share,
    tiling,
    unpacked,
    window_chains,
    window_of,
)  # fmt: skip
from convbench.machine import Machine
from convbench.reductions import lift
from convbench.spec import ConvSpec

DEPTHWISE, POINTWISE, WRITE = 1, 2, 3  # phases of a chunk; padding is part of the first
EFFICIENCY = 0.5  # of peak
PIXELS = 256  # outputs of a block, about: with DEPTH terms of them in L2
COLS = 64
DEPTH = 128  # terms filtered before they are mixed


class Plan(NamedTuple):
    spec: ConvSpec
    threads: int
    lifted: ConvSpec
    window: Window
    depth: int  # terms of a chunk


class State(NamedTuple):
    filters: np.ndarray  # (terms·taps,) in the order of the chains
    channel: np.ndarray  # int64 (terms,): the input channel a term filters
    first: np.ndarray  # int64 (G + 1,): where each group's terms begin
    mixers: np.ndarray  # panels of every group, flat: ⌈K/G / NR⌉ · terms of the group · NR
    chains: Chains
    window: np.ndarray  # the plan's, packed
    no_offset: np.ndarray  # int64 (1,): zero


def plan(spec: ConvSpec, threads: int, workspace_limit: int | None) -> Plan:
    lifted = lift(spec, 3)
    _, P, Q = lifted.output_spatial
    cols = share(Q, COLS if P > 1 else PIXELS, WIDTH * panel_width(spec.np_dtype) // 2)
    usual = Plan(spec, threads, lifted, window_of(lifted, share(P, max(PIXELS // cols, 1), ROWS), cols), DEPTH)
    if workspace_limit is not None and scratch_bytes(parts(usual)) > workspace_limit:
        return usual._replace(window=window_of(lifted, min(P, ROWS), min(Q, panel_width(spec.np_dtype))), depth=8)
    return usual


def prepare(plan: Plan, weight: np.ndarray) -> State:
    """(K, C/G, R, S) -> every term's depthwise filter, and every group's mixers as brgemm's panels."""
    G, channels = plan.spec.G, weight.shape[1]
    taps = weight[0, 0].size
    matrices = weight.reshape(G, -1, channels, taps).transpose(0, 2, 1, 3).reshape(G * channels, -1, taps)
    factors = factorise(matrices, truncation(taps, plan.spec.dtype))
    ordered = window_chains(plan.lifted, plan.window)
    first = factors.first[::channels].copy()
    mixers = np.concatenate([pack_panels(factors.left[a:b].T).ravel() for a, b in pairwise(first)])
    aligned = aligned_empty(mixers.shape, weight.dtype)
    aligned[:] = mixers
    return State(
        factors.right[:, ordered.order].ravel(), np.repeat(np.arange(G * channels), np.diff(factors.first)), first,
        aligned, ordered, packed(plan.window), np.zeros(1, np.int64),
    )  # fmt: skip


def parts(plan: Plan) -> list[Part]:
    """A thread's window, filtered planes and products."""
    dtype = plan.spec.np_dtype
    pixels = round_up(plan.window.rows * plan.window.cols, plan.window.lanes)
    width = panel_width(dtype)
    return [
        ((plan.threads, round_up(plan.window.size, plan.window.lanes)), dtype),
        ((plan.threads, plan.depth, pixels), dtype),
        ((plan.threads, panel_count(plan.spec), pixels, width), dtype),
    ]


def run(plan: Plan, x: Any, state: State, bias: Any, y: Any, work: Any, ticks: Any = OFF) -> None:
    spec, private = plan.spec, list(zip(*carve(work, parts(plan)), strict=True))
    parallel(convolve_blocks, spec.N * spec.G * plan.window.blocks, plan.threads, ticks, x.reshape(-1),
             spec.C // spec.G, state.filters, state.chains.offsets, state.chains.counts, state.channel, state.first,
             state.mixers, state.no_offset, operand_or_empty(bias, y), y.reshape(plan.lifted.output_shape),
             plan.window.blocks, state.window, private=private)  # fmt: skip


def executed_flop(plan: Plan) -> float:
    """At full rank, channels up to a whole panel included: rank-1 filters take 1 / min(K/G, R·S) of it."""
    spec = plan.spec
    K, taps = spec.K // spec.G, prod(spec.filter)
    lanes = round_up(K, panel_width(spec.np_dtype))
    return 2.0 * spec.N * spec.C * prod(spec.output_spatial) * min(K, taps) * (taps + lanes)


def cost(plan: Plan, machine: Machine) -> float:
    """At full rank: what any weights take."""
    spec, threads = plan.spec, plan.threads
    compute = machine.flop_time(executed_flop(plan), spec, threads, EFFICIENCY)
    copies = fill_time(plan.window, spec.N * spec.C * plan.window.blocks, spec, threads, machine)
    return 4 * machine.call_overhead + compute + copies + machine.byte_time(spec.min_bytes, threads)


def prepare_cost(plan: Plan, machine: Machine) -> float:
    spec = plan.spec
    return machine.call_overhead + factorise_time(spec.C, spec.K // spec.G, prod(spec.filter))


depthwise_separable = Algorithm(
    name="depthwise_separable",
    run=phases(run, "depthwise", "pointwise", "write"),
    plan=plan,
    prepare=prepare,
    workspace=lambda plan: scratch_bytes(parts(plan)),
    error=lambda plan: direct_error(plan) + truncation(prod(plan.spec.filter), plan.spec.dtype),
    cost=cost,
    prepare_cost=prepare_cost,
    executed_flop=executed_flop,
    local=False,
    exact=False,
    claim="per channel the SVD of its filters as depthwise + pointwise, fused: right for any weights, fast at rank 1",
)


@njit
def convolve_blocks(
    begin, end, ticks, x, depth, filters, offsets, counts, channel, first, mixers, no_offset, bias, y, blocks, numbers,
    private,
):  # fmt: skip
    """Tasks (n, g, block), the last fastest.

    private: the padded window (flat), filtered planes (terms, pixels), products (panels, pixels, NR). ticks: see
    ``mark``.
    """
    mark(ticks, CALL)
    padded, filtered, products = private
    window = unpacked(numbers)
    _, K, _, P, Q = y.shape
    G, (chunk, plane), (panels, _, width) = first.size - 1, filtered.shape, products.shape
    taps = filters.size // channel.size
    zero = y.dtype.type(0)
    planes, product = filtered.reshape(filtered.size), products.reshape(products.size)
    for task in range(begin, end):
        group = task // blocks
        n, g = group // G, group % G
        o, p, q, rows, cols = block_at(window, task % blocks)
        tile_rows, tile_cols, last, step = tiling(window, rows, cols, cols)
        terms = first[g + 1] - first[g]
        for start in range(0, terms, chunk):
            count = min(chunk, terms - start)
            loaded = -1
            for i in range(count):
                term = first[g] + start + i
                if channel[term] != loaded:
                    loaded = channel[term]
                    pad_window(x, n * G * depth + loaded, o, p, q, rows, window, padded)
                stencil(padded, 0, window.step, filters, term * taps, offsets, counts, zero, planes, i * plane, step,
                        tile_rows, tile_cols, last, window.lanes)  # fmt: skip
            mark(ticks, DEPTHWISE)
            for panel in range(panels):
                at = (first[g] * panels + panel * terms + start) * width
                brgemm(rows * cols, count, 1, planes, 0, no_offset, plane, mixers, at, no_offset, product,
                       panel * plane * width, width, start > 0)  # fmt: skip
            mark(ticks, POINTWISE)
        for panel in range(panels):
            k = g * (K // G) + panel * width
            if cols == Q:
                scatter(products[panel], (o * P + p) * Q, rows * cols, P, Q, y, n, k, K // G, bias)
            else:
                for i in range(rows):
                    scatter(products[panel, i * cols :], (o * P + p + i) * Q + q, cols, P, Q, y, n, k, K // G,
                            bias)  # fmt: skip
        mark(ticks, WRITE)
