"""im2col + GEMM: an explicit patch matrix, then NumPy's BLAS.

    y[n, g] (K/G × PQ) = W[g] (K/G × C/G·R·S) · patches[n, g] (C/G·R·S × PQ)

(Chellapilla, Puri & Simard 2006, "High Performance Convolutional Neural Networks for Document Processing", §3.)
Works on one image and group at a time. Memory: one patch matrix, C/G · R · S · P · Q elements. Error: the direct
sum's (``algorithm.direct_error``). BLAS packs its operands in memory of its own, a few MB kept for the process.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from convbench.algorithm import Algorithm, Unsupported, phases, terms
from convbench.kernels.blas import blas_threads
from convbench.kernels.layout import carve, scratch_bytes
from convbench.kernels.patches import copy_patches
from convbench.kernels.threads import parallel
from convbench.machine import Machine
from convbench.reductions import lift
from convbench.spec import ConvSpec


class Plan(NamedTuple):
    spec: ConvSpec
    threads: int
    lifted: ConvSpec
    columns: int  # output pixels a block


def plan(spec: ConvSpec, threads: int, workspace_limit: int | None) -> Plan:
    """All output pixels at once, or as many as ``workspace_limit`` allows."""
    pixels, column = prod(spec.output_spatial), terms(spec) * spec.itemsize
    columns = pixels if workspace_limit is None else min(pixels, workspace_limit // column)
    if columns < 1:
        raise Unsupported(f"im2col needs {column} bytes for one column of patches; the limit is {workspace_limit}")
    return Plan(spec, threads, lift(spec, 3), columns)


def parts(plan):
    return [((terms(plan.spec) * plan.columns,), plan.spec.np_dtype)]


def blocks(plan):
    spec = plan.spec
    return spec.N * spec.groups * -(-prod(spec.output_spatial) // plan.columns)


def block_of(plan, block):
    """(image, group, first output pixel, output pixels)."""
    spec, pixels = plan.spec, prod(plan.spec.output_spatial)
    rest, part = divmod(block, -(-pixels // plan.columns))
    first = part * plan.columns
    return *divmod(rest, spec.groups), first, min(plan.columns, pixels - first)


def patches_of(plan, work, count):
    (flat,) = carve(work, parts(plan))
    return flat[: terms(plan.spec) * count].reshape(-1, count)


def transform(plan, x, state, bias, y, work, block):
    spec = plan.lifted
    image, group, first, count = block_of(plan, block)
    rows = patches_of(plan, work, count)
    before = tuple(b for b, _ in spec.padding)
    parallel(copy_patches, len(rows), plan.threads, x.reshape(spec.input_shape), image,
             group * spec.weight_shape[1], spec.filter, spec.stride, spec.dilation, before, spec.output_spatial,
             first, count, rows.reshape(-1))  # fmt: skip


def multiply(plan, x, state, bias, y, work, block):
    image, group, first, count = block_of(plan, block)
    channels = len(state) // plan.spec.groups
    chosen = slice(group * channels, (group + 1) * channels)
    target = y[image].reshape(len(state), -1)[chosen, first : first + count]
    with blas_threads(plan.threads):
        np.matmul(state[chosen], patches_of(plan, work, count), out=target)
    if bias is not None:
        target += bias[chosen, None]


def cost(plan: Plan, machine: Machine) -> float:
    spec = plan.spec
    product = machine.flop_time(spec.flop, spec, plan.threads, machine.blas_fraction)
    patches = 2 * spec.N * spec.groups * terms(spec) * prod(spec.output_spatial) * spec.itemsize
    calls = blocks(plan) * machine.call_overhead
    return calls + product + machine.byte_time(patches + spec.min_bytes, plan.threads)


im2col = Algorithm(
    name="im2col",
    run=phases(blocks=blocks, transform=transform, multiply=multiply),
    plan=plan,
    prepare=lambda plan, weight: weight.reshape(len(weight), -1),
    workspace=lambda plan: scratch_bytes(parts(plan)),
    cost=cost,
    claim="explicit patch matrix and BLAS (Chellapilla et al. 2006)",
)
