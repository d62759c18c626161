"""im2col + GEMM: an explicit patch matrix, then NumPy's BLAS.

    y[n, g] (K/G × PQ) = W[g] (K/G × C/G·R·S) · patches[n, g] (C/G·R·S × PQ)

(Chellapilla, Puri & Simard 2006, "High Performance Convolutional Neural Networks for Document Processing", §3.)
A block of output pixels of one image and group at a time: threads take blocks, and BLAS keeps to the thread that
calls it, for its own idle threads would spin on the cores that the next patches are copied on.
Memory: a patch matrix a thread, C/G · R · S · P · Q elements together for one image, 256 MiB at most. Error: the
direct sum's (``algorithm.direct_error``). BLAS packs its operands in memory of its own, a few MB kept for the process.
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
from convbench.kernels.ticks import CALL, OFF, tick
from convbench.machine import Machine
from convbench.reductions import lift
from convbench.spec import ConvSpec

TRANSFORM, MULTIPLY = 1, 2  # phases of a block
BLOCK_SECONDS = 5e-5  # until BLAS begins: views, and its own threads counted and capped
BLAS_SHARE = 0.75  # of its rate on large matrices
LARGEST_BYTES = 1 << 28  # of patches at a time where no limit is given: a 31×31 filter on a 4k image would need 30 GB


class Plan(NamedTuple):
    spec: ConvSpec
    threads: int
    lifted: ConvSpec
    columns: int  # output pixels a block


def plan(spec: ConvSpec, threads: int, workspace_limit: int | None) -> Plan:
    """All output pixels of an image, or fewer: where threads would idle, and where the patches would be too large."""
    pixels, column = prod(spec.output_spatial), terms(spec) * spec.itemsize
    limit = max(LARGEST_BYTES, column) if workspace_limit is None else workspace_limit
    threads = min(threads, limit // column)
    if threads < 1:
        raise Unsupported(f"im2col needs {column} bytes for one column of patches; the limit is {workspace_limit}")
    columns = min(-(-pixels // -(-threads // (spec.N * spec.groups))), limit // threads // column)
    return Plan(spec, threads, lift(spec, 3), columns)


def parts(plan):
    return [((plan.threads, terms(plan.spec) * plan.columns), plan.spec.np_dtype)]


def blocks(plan):
    spec = plan.spec
    return spec.N * spec.groups * -(-prod(spec.output_spatial) // plan.columns)


def block_of(plan, block):
    """(image, group, first output pixel, output pixels)."""
    spec, pixels = plan.spec, prod(plan.spec.output_spatial)
    rest, part = divmod(block, -(-pixels // plan.columns))
    first = part * plan.columns
    return *divmod(rest, spec.groups), first, min(plan.columns, pixels - first)


def copy(plan, x, patches, block):
    """Fill ``patches`` with one block's matrix (C/G·R·S, pixels) and return it."""
    spec = plan.lifted
    image, group, first, count = block_of(plan, block)
    matrix = patches[: terms(spec) * count]
    before = tuple(b for b, _ in spec.padding)
    copy_patches(0, terms(spec), x.reshape(spec.input_shape), image, group * spec.weight_shape[1], spec.filter,
                 spec.stride, spec.dilation, before, spec.output_spatial, first, count, matrix)  # fmt: skip
    return matrix.reshape(-1, count)


def product(plan, matrix, state, bias, y, block):
    image, group, first, count = block_of(plan, block)
    channels = len(state) // plan.spec.groups
    chosen = slice(group * channels, (group + 1) * channels)
    target = y[image].reshape(len(state), -1)[chosen, first : first + count]
    np.matmul(state[chosen], matrix, out=target)
    if bias is not None:
        target += bias[chosen, None]


def solve(begin, end, ticks, plan, x, state, bias, y, patches):
    for block in range(begin, end):
        matrix = copy(plan, x, patches, block)
        tick(ticks, TRANSFORM)
        product(plan, matrix, state, bias, y, block)
        tick(ticks, MULTIPLY)


def run(plan, x, state, bias, y, work, ticks=OFF):
    with blas_threads(1):
        tick(ticks, CALL)
        parallel(solve, blocks(plan), plan.threads, ticks, plan, x, state, bias, y,
                 private=carve(work, parts(plan))[0])  # fmt: skip


def cost(plan: Plan, machine: Machine) -> float:
    spec = plan.spec
    product = machine.flop_time(spec.flop, spec, plan.threads, BLAS_SHARE * machine.blas_fraction)
    patches = 2 * spec.N * spec.groups * terms(spec) * prod(spec.output_spatial) * spec.itemsize
    calls = blocks(plan) * BLOCK_SECONDS / plan.threads
    return calls + product + machine.byte_time(patches + spec.min_bytes, plan.threads)


im2col = Algorithm(
    name="im2col",
    run=phases(run, "transform", "multiply"),
    plan=plan,
    prepare=lambda plan, weight: weight.reshape(len(weight), -1),
    workspace=lambda plan: scratch_bytes(parts(plan)),
    cost=cost,
    claim="explicit patch matrix and BLAS (Chellapilla et al. 2006)",
)
