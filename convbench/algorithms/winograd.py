"""Winograd's minimal filtering: F(m × m, r × r) computes m² outputs with (m + r − 1)² products instead of r²·m².

    y = Aᵀ [ Σ_c (G w_kc Gᵀ) ⊙ (Bᵀ d_c B) ] A

for every tile of m × m outputs (Lavin & Gray, arXiv:1509.09308, §4.1; transforms from ``kernels/winograd.py``). With
ξ = one of the (m + r − 1)² elements of a transformed tile, the sums over c are matrix products tiles × C/G × K, one
a ξ. Filters of size r along one dimension only are F(m, r) along it, so 1-D is covered; a dilated filter is a dense one
on each of d_h·d_w phase images, which the gather addresses directly; a stride adds up phases of the image in tiles of
s·(m − 1) + r inputs (``kernels/winograd.py``); groups are independent problems.

Blocks of tiles pass through all three phases while they stay in cache (Gelashvili, Shavit & Zlateski 2019,
arXiv:1912.02165): V (ξ, C/G, tiles) ← Bᵀ d B, M (panel, ξ, tiles, NR) ← V · U by ``brgemm``,
y ← Aᵀ M A + bias. Prepared filters U are (m + r − 1)²/r² times the filter; the scratch is one block. Error:
:func:`error`.
"""

from __future__ import annotations

from functools import cache
from math import prod, sqrt
from typing import Any, NamedTuple

import numpy as np

from convbench.algorithm import Algorithm, Unsupported, default_prepare_cost, phases, unit_roundoff
from convbench.kernels.gemm import panel_width
from convbench.kernels.layout import ALIGNMENT, Part, aligned_empty, carve, round_up, scratch_bytes
from convbench.kernels.packing import pack_panels
from convbench.kernels.panels import operand_or_empty, panel_count
from convbench.kernels.threads import parallel
from convbench.kernels.ticks import OFF
from convbench.kernels.winograd import Transform, strided, transform_flop
from convbench.kernels.winograd_code import Size, sized
from convbench.kernels.winograd_grid import Grid
from convbench.kernels.winograd_tiles import convolve_tiles, transform_filters
from convbench.machine import Machine
from convbench.reductions import lift
from convbench.spec import ConvSpec

RESIDENT = 5 << 17  # bytes of V that stay in L2 beside a panel of U and M …
FEWEST, MOST = 28, 42  # … if as many tiles as pay for reading U once a block fit …
LARGEST = 3 << 18  # … into this. Otherwise V, M and U stream, each ξ for all panels at once, and blocks are larger:
STREAMED = 112
LARGEST_TILE = 8  # inputs of a tile along a dimension: longer ones gain less than their transforms take
MULTIPLY_EFFICIENCY, TRANSFORM_EFFICIENCY, FILTER_EFFICIENCY = 0.92, 0.22, 0.35  # of peak
READ_EFFICIENCY = 0.7  # of the bandwidth, for filters from beyond L2 that products wait for
LINE_SECONDS = 3e-8  # to split or write one row of a block in one channel, beyond its bytes


class Plan(NamedTuple):
    spec: ConvSpec
    threads: int
    lifted: ConvSpec  # the problem with two spatial dimensions
    rows: Transform
    columns: Transform
    grid: Grid
    sizes: tuple[Size, Size, np.ndarray]  # rows, columns and grid as the kernel takes them
    shares: int  # units of a block
    units: int
    shapes: tuple[tuple[int, ...], tuple[int, ...]]  # of the lifted input and output

    @property
    def products(self) -> int:
        """Values of ξ."""
        return self.rows.alpha * self.columns.alpha


def supported(m: int, r: int, spec: ConvSpec) -> str | None:
    if spec.ndim > 2:
        return f"it transforms one or two spatial dimensions, not {spec.ndim}"
    if max(spec.stride) > 1 and max(spec.dilation) > 1:
        return "it splits the image into phases for a stride or for a dilation, not for both"
    if not set(spec.filter) <= {1, r} or r not in spec.filter:
        return f"the transform is for filters of size {r} (or 1 along one dimension), not {spec.filter}"
    if any(taps > 1 and stride >= taps for taps, stride in zip(spec.filter, spec.stride, strict=True)):
        return f"neighbouring outputs share no input where stride {spec.stride} takes a whole filter {spec.filter}"
    if any(taps == 1 and stride > 2 for taps, stride in zip(spec.filter, spec.stride, strict=True)):
        return f"along one tap it has code for strides 1 and 2, not {spec.stride}"
    tile = max(transform_of(m, taps, stride).alpha for taps, stride in zip(spec.filter, spec.stride, strict=True))
    if tile > LARGEST_TILE:
        return f"at stride {max(spec.stride)} its tiles are {tile} inputs long; at most {LARGEST_TILE} pay"
    return None


def transform_of(m: int, taps: int, stride: int) -> Transform:
    """Of one dimension: outputs are tiled where there is more than one tap."""
    return strided(m if taps > 1 else 1, taps, stride)


def work_part(plan: Plan) -> Part:
    return (plan.threads, round_up(plan.grid.scratch, ALIGNMENT)), plan.spec.np_dtype


def workspace(plan: Plan) -> int:
    return scratch_bytes([work_part(plan)])


def planned(m: int, spec: ConvSpec, threads: int, workspace_limit: int | None) -> Plan:
    """Blocks of FEWEST to MOST tiles; smaller ones where the workspace allows no more."""
    lifted = lift(spec, 2)
    rows, columns = (transform_of(m, *of) for of in zip(lifted.filter, lifted.stride, strict=True))
    tile_bytes = rows.alpha * columns.alpha * lifted.weight_shape[1] * spec.itemsize
    tiles, panels = max(FEWEST, min(MOST, RESIDENT // tile_bytes)), 1
    streamed = Grid.of(lifted, rows, columns, STREAMED, 1)
    if min(FEWEST, streamed.strips * streamed.columns) * tile_bytes > LARGEST:
        blocks = spec.groups * streamed.blocks
        tiles, panels = STREAMED, -(-panel_count(spec) // -(-threads // blocks))
    while True:
        grid = Grid.of(lifted, rows, columns, tiles, panels)
        down, over = (sized(f.m, f.r, f.stride) for f in (rows, columns))
        shares = -(-panel_count(spec) // grid.panels)
        shapes = lifted.input_shape, lifted.output_shape
        units = spec.groups * grid.blocks * shares
        plan = Plan(spec, threads, lifted, rows, columns, grid, (down, over, grid.record()), shares, units, shapes)
        if workspace_limit is None or workspace(plan) <= workspace_limit:
            return plan
        if tiles == panels == 1:
            raise Unsupported(
                f"winograd needs {workspace(plan)} bytes at one tile a block; the limit is {workspace_limit}"
            )
        tiles, panels = max(1, tiles // 2), 1


@cache
def nested(rows: Transform, columns: Transform, dtype: np.dtype) -> np.ndarray:
    """(G_h ⊗ G_w)ᵀ, flat."""
    products = [[a * b for a in g_h for b in g_w] for g_h in rows.G for g_w in columns.G]
    return np.ascontiguousarray(np.array(products, dtype).T).reshape(-1)


def prepare(plan: Plan, weight: np.ndarray) -> np.ndarray:
    """(K, C/G, R, S) -> U (G, panels, ξ, C/G, NR), U_ξ = (G w Gᵀ)_ξ."""
    spec, channels = plan.spec, plan.grid.channels
    by_tap = nested(plan.rows, plan.columns, spec.np_dtype)
    filters = pack_panels(weight.reshape(spec.groups, spec.K // spec.groups, -1), plan.threads)
    u = aligned_empty((spec.groups, filters.shape[1], plan.products, channels, filters.shape[-1]), weight.dtype)
    parallel(transform_filters, spec.groups * len(u[0]), plan.threads, by_tap, filters, u)
    return u


def arguments(plan, x, state, bias, y):
    inputs, outputs = plan.shapes
    return *plan.sizes, x.reshape(inputs), state, operand_or_empty(bias, y), y.reshape(outputs)


def scratch(plan: Plan, work: np.ndarray) -> Any:
    """(threads, elements)"""
    return carve(work, [work_part(plan)])[0]


def run(plan, x, state, bias, y, work, ticks=OFF):
    """All units, each thread with its own scratch."""
    parallel(convolve_tiles, plan.units, plan.threads, ticks, *arguments(plan, x, state, bias, y),
             private=scratch(plan, work))  # fmt: skip


def error(plan: Plan) -> float:
    """Bound 3 · u · κ · (√(C/G) + r + 1), with κ = κ_h·κ_w the growth of the transforms (``Transform.amplification``).

    Product ξ sums C/G terms, so rounding leaves 0.41·√(C/G)·u of its size (``algorithm.direct_error``); the
    transforms of d, of w (r terms a dimension) and of the sums add a few u. The inverse takes relative errors ε of
    independent products to κ·ε of √(x² ⋆ w²) in the worst output of a tile; κ is 1.7, 7.1 and 46 for F(2), F(4) and
    F(6) of r = 3. Seven standard deviations of the sum cover millions of outputs.
    """
    growth = plan.rows.amplification * plan.columns.amplification
    r = max(plan.rows.r, plan.columns.r)
    return unit_roundoff(plan.spec.dtype) * growth * 3 * (sqrt(plan.grid.channels) + r + 1)


def flop_by_phase(plan: Plan) -> tuple[float, float, float]:
    """Flop of transform, multiply and inverse, padding of tiles and panels included."""
    spec, grid = plan.spec, plan.grid
    into, out_of = transform_flop(plan.rows, plan.columns)
    tiles = grid.strips * grid.columns
    outputs = spec.groups * panel_count(spec) * panel_width(spec.np_dtype)
    return (
        float(into * tiles * spec.C),
        2.0 * plan.products * grid.multiplied * grid.channels * outputs,
        float(out_of * tiles * outputs),
    )


def cost(plan: Plan, machine: Machine) -> float:
    """Products and their filters' bytes, overlapping but for a fifth; transforms; V and M of a block twice; images.

    A block that L2 does not hold goes through the cache behind it, three quarters of it.
    """
    spec, grid = plan.spec, plan.grid
    into, product, out_of = flop_by_phase(plan)
    outputs = spec.groups * panel_count(spec) * panel_width(spec.np_dtype)
    filters = plan.products * grid.channels * outputs * spec.itemsize
    multiply = machine.flop_time(product, spec, plan.threads, MULTIPLY_EFFICIENCY)
    streams = filters > machine.l2_bytes * plan.threads
    read = machine.byte_time(filters, plan.threads) * grid.blocks / (READ_EFFICIENCY if streams else 1)
    transformed = plan.products * grid.strips * grid.columns * (spec.C + outputs) * spec.itemsize
    block = plan.products * grid.block_strips * grid.block_columns * spec.itemsize
    held = block * (grid.channels + grid.panels * panel_width(spec.np_dtype)) <= machine.l2_bytes
    near, far = (2.0, 0.0) if held else (0.5, 1.5)
    twice = transformed * (near / machine.l2_bandwidth + far / machine.bandwidth)
    overlap = (plan.rows.r - plan.rows.stride) / grid.block_strips
    across = grid.columns / min(grid.tile_columns, grid.block_columns)
    lines = grid.strips * (plan.rows.step + overlap) * spec.C * across
    return (
        2.5 * machine.call_overhead
        + max(multiply, read)
        + min(multiply, read) / 5
        + machine.flop_time(into + out_of, spec, plan.threads, TRANSFORM_EFFICIENCY)
        + (twice + lines * LINE_SECONDS) / plan.threads
        + machine.byte_time(spec.min_bytes - prod(spec.weight_shape) * spec.itemsize, plan.threads)
    )


def prepare_cost(plan: Plan, machine: Machine) -> float:
    """Filters packed, and U written once: its lines are read before they are overwritten, while others are computed."""
    spec = plan.spec
    filters = panel_count(spec) * panel_width(spec.np_dtype) * spec.C
    transform = 2.0 * plan.products * plan.rows.r * plan.columns.r * filters
    return default_prepare_cost(plan, machine) + max(
        machine.flop_time(transform, spec, plan.threads, FILTER_EFFICIENCY),
        machine.byte_time(2 * plan.products * filters * spec.itemsize, plan.threads),
    )


def winograd(m: int, r: int) -> Algorithm:
    """F(m × m, r × r) as an algorithm."""
    return Algorithm(
        name=f"winograd_{m}x{m}_{r}x{r}",
        run=phases(run, "transform", "multiply", "inverse"),
        supports=lambda spec: supported(m, r, spec),
        plan=lambda spec, threads, workspace_limit: planned(m, spec, threads, workspace_limit),
        prepare=prepare,
        workspace=workspace,
        error=error,
        cost=cost,
        prepare_cost=prepare_cost,
        executed_flop=lambda plan: sum(flop_by_phase(plan)),
        local=False,
        exact=False,
        claim=f"F({m}×{m}, {r}×{r}): {(m * r) ** 2} multiplications become {(m + r - 1) ** 2} (Lavin & Gray 2015)",
    )


winograd_2x2_3x3 = winograd(2, 3)
winograd_3x3_3x3 = winograd(3, 3)
winograd_4x4_3x3 = winograd(4, 3)
winograd_6x6_3x3 = winograd(6, 3)
winograd_4x4_5x5 = winograd(4, 5)
winograd_2x2_7x7 = winograd(2, 7)
