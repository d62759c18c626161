"""Winograd's minimal filtering along rows only: F(1 × 4, r × 3) computes 4 outputs with 6·r products instead of 12·r.

    y[n, k, p, 4t + i] = Σ_ξ Aᵀ[i, ξ] · Σ_c Σ_r (G w_kcr)_ξ · (Bᵀ d_{c, p + r, t})_ξ

with F(4, 3) (Lavin & Gray, arXiv:1509.09308, §4.1; ``kernels/winograd.py``) along the last dimension and the direct
sum over the filter's rows. Half the products of the direct sum, against a quarter for F(4 × 4, 3 × 3), but a transform
of 6 values for 4 pixels instead of 36 for 16, and one dimension of it: with few channels a group transforms decide.
Tiles lie in the lanes, output channels are the rows of register tiles, so that any number of channels a group is
served alike, and sums go straight to rows of NCHW planes (``kernels/row_tiles.py``, ``kernels/row_products.py``).
Filters of three columns and any number of rows, stride 1. Memory: 6/4 of a strip's inputs a thread; prepared filters
are twice the filter. Error: :func:`error`.
"""

from __future__ import annotations

from math import prod, sqrt

import numpy as np

from convbench.algorithm import Algorithm, Unsupported, phases, unit_roundoff
from convbench.kernels.packing import pack
from convbench.kernels.row_products import WIDEST, RowPlan, convolve, plan_rows
from convbench.kernels.row_tiles import F
from convbench.kernels.simd import VECTOR_BYTES
from convbench.machine import Machine
from convbench.reductions import lift
from convbench.spec import ConvSpec

MOST_PIXELS = 1 << 18  # of a plane: its tables hold a byte for each four of float32
EFFICIENCY = 0.8  # of peak inside tiles
READ_EFFICIENCY = 0.7  # of the bandwidth, for filters from beyond L2 that products wait for
PRODUCT_SECONDS = 3e-8  # what a product of a tile costs beside its terms
VECTOR_SECONDS = 1.6e-8  # to transform or to invert a vector of tiles
FILTER_SECONDS, TRANSFORM_SECONDS = 2.5e-7, 1e-9  # NumPy's, for the filters: of each output channel, of each product
PREPARE_CALLS = 3  # overheads of a call that preparing takes


def supports(spec: ConvSpec) -> str | None:
    if spec.ndim > 2:
        return f"it transforms the rows of one or two spatial dimensions, not of {spec.ndim}"
    if spec.filter[-1] != F.r:
        return f"the transform is for rows of {F.r} taps, not {spec.filter[-1]}"
    if max(spec.stride) > 1 or spec.dilation[-1] > 1:
        return "it has code for stride 1 and rows that are not dilated"
    left, columns = spec.padding[-1][0], spec.spatial[-1]
    if left < 1 or columns > F.m * -(-spec.output_spatial[-1] // F.m) + 1 - left:
        return "the first and the last tile of a row must find zeros beyond it: padding on both sides"
    if prod(spec.output_spatial) > MOST_PIXELS:
        return f"it keeps tables of a plane, which pay up to {MOST_PIXELS} outputs"
    return None


def plan(spec: ConvSpec, threads: int, workspace_limit: int | None) -> RowPlan:
    planned = plan_rows(spec, lift(spec, 2), threads, workspace_limit)
    if planned is None:
        raise Unsupported(f"it needs more than {workspace_limit} bytes for the shortest strips of rows")
    return planned


def prepare(plan: RowPlan, weight: np.ndarray) -> np.ndarray:
    """(K, C/G, …, 3) -> (G, tiles · α · C/G · R · M): G w packed by tiles of output channels, products outermost."""
    spec, channels = plan.spec, plan.spec.K // plan.spec.groups
    transform = np.array([[float(g) for g in row] for row in F.G], spec.np_dtype)
    products = transform @ weight.reshape(spec.K, -1, F.r).swapaxes(1, 2)
    u = pack(products.reshape(spec.groups, channels, -1), plan.starts, products[0].size, plan.threads)
    return u.reshape(spec.groups, -1)


def workspace(plan: RowPlan) -> int:
    return plan.scratch * plan.threads


def error(plan: RowPlan) -> float:
    """Bound 3 · u · κ · (√(R·C/G) + r + 1): as ``winograd.error``, with κ of one dimension and sums over taps, too."""
    return unit_roundoff(plan.spec.dtype) * F.amplification * 3 * (sqrt(len(plan.offsets)) + F.r + 1)


def executed_flop(plan: RowPlan) -> float:
    """Flop of the products: whole vectors of tiles and whole tiles of channels."""
    spec = plan.spec
    lanes = VECTOR_BYTES // spec.itemsize
    return 2.0 * spec.N * spec.groups * F.alpha * plan.vectors * lanes * plan.outputs * len(plan.offsets)


def prepare_cost(plan: RowPlan, machine: Machine) -> float:
    """Filters read and transformed, what they became written, read and packed."""
    spec = plan.spec
    products = F.alpha // F.r * prod(spec.weight_shape)
    moved = machine.byte_time((3 * products + prod(spec.weight_shape)) * spec.itemsize)
    return PREPARE_CALLS * machine.call_overhead + spec.K * FILTER_SECONDS + products * TRANSFORM_SECONDS + moved


def cost(plan: RowPlan, machine: Machine) -> float:
    """Products and their filters' bytes, for each tile of vectors where L2 does not keep them; transforms; images."""
    spec = plan.spec
    images = spec.N * spec.groups / plan.threads
    tiles = -(-plan.vectors // WIDEST)
    filters = F.alpha / F.r * prod(spec.weight_shape) * spec.itemsize
    times = 1 if filters / spec.groups <= machine.l2_bytes / 2 else tiles
    compute = machine.flop_time(executed_flop(plan), spec, plan.threads, EFFICIENCY)
    read = machine.byte_time(filters, plan.threads) * times / (READ_EFFICIENCY if filters > machine.l2_bytes else 1)
    strips = -(-plan.vectors // plan.strip)
    inputs = strips * plan.pitch * spec.itemsize / VECTOR_BYTES * spec.weight_shape[1]
    transformed = inputs + plan.vectors * plan.outputs
    beside = F.alpha * tiles * (len(plan.starts) - 1) * PRODUCT_SECONDS + transformed * VECTOR_SECONDS
    moved = machine.byte_time(spec.min_bytes - prod(spec.weight_shape) * spec.itemsize, plan.threads)
    return machine.call_overhead + max(compute, read) + min(compute, read) / 3 + images * beside + moved / 2


winograd_1x4_3x3 = Algorithm(
    name="winograd_1x4_3x3",
    run=phases(convolve, "transform", "multiply"),
    supports=supports,
    plan=plan,
    prepare=prepare,
    workspace=workspace,
    error=error,
    cost=cost,
    prepare_cost=prepare_cost,
    executed_flop=executed_flop,
    local=False,
    exact=False,
    claim="F(1×4, r×3): half the products of the direct sum for a transform along rows only (Lavin & Gray 2015)",
)
