"""The building blocks with operands in L1, against the multiply-add peak of registers alone; run by microkernel.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic
from pairs import sample

from convbench.bench.stats import Interval, median_interval
from convbench.kernels.gemm import TILE_ROWS, VECTOR_BYTES, brgemm, panel_width
from convbench.kernels.jit import njit
from convbench.kernels.layout import aligned_empty
from convbench.kernels.stencil import chains, lanes_of, stencil

CHAINS = 12  # independent sums: more than latency × ports of any core we know, and all fit 16 registers
SECONDS = 5e-4
RATE = 1e11  # flop/s, roughly: sizes the samples


@intrinsic
def _sums(typingctx, times, value):
    """``CHAINS`` vectors of sums s += value · value, ``times`` times over: no load, no store."""

    def codegen(context, builder, sig, args):
        element = context.get_value_type(value)
        lanes = VECTOR_BYTES // (value.bitwidth // 8)
        vector = ir.VectorType(element, lanes)
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{lanes}f{value.bitwidth}"
        )
        undefined, lane = ir.Constant(vector, ir.Undefined), ir.IntType(32)
        first = builder.insert_element(undefined, args[1], ir.Constant(lane, 0))
        factor = builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(lane, lanes), [0] * lanes))
        entry, body, done = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.branch(body)
        builder.position_at_end(body)
        count = builder.phi(args[0].type)
        sums = [builder.phi(vector) for _ in range(CHAINS)]
        after = [builder.call(fma, [factor, factor, total]) for total in sums]
        count_after = builder.add(count, ir.Constant(args[0].type, 1))
        count.add_incoming(ir.Constant(args[0].type, 0), entry)
        count.add_incoming(count_after, body)
        for i, (total, value_after) in enumerate(zip(sums, after, strict=True)):
            total.add_incoming(ir.Constant(vector, [float(i)] * lanes), entry)
            total.add_incoming(value_after, body)
        builder.cbranch(builder.icmp_signed("<", count_after, args[0]), body, done)
        builder.position_at_end(done)
        total = after[0]
        for value_after in after[1:]:
            total = builder.fadd(total, value_after)
        return builder.extract_element(total, ir.Constant(lane, 0))

    return value(times, value), codegen


@njit
def _registers(times, out):
    out[0] = _sums(times, out[0])


@njit
def _products(times, rows, depth, batch, a, a_off, a_step, b, b_off, c, width):
    for _ in range(times):
        brgemm(rows, depth, batch, a, 0, a_off, a_step, b, 0, b_off, c, 0, width, False)


@njit
def _stencils(times, x, x_step, w, offsets, counts, y, rows, cols, lanes):
    for _ in range(times):
        stencil(x, 0, x_step, w, 0, offsets, counts, y.dtype.type(0), y, 0, cols, rows, cols, cols, lanes)


@dataclass(frozen=True)
class Block:
    """``call(times)`` does ``flop`` that often; floor: of the register peak, None where the issue names none."""

    title: str
    dtype: str
    flop: float
    call: Callable[[int], None]
    floor: float | None = None

    def times(self) -> int:
        return max(1, round(SECONDS * RATE / self.flop))


def registers(dtype: str) -> Block:
    out = np.full(1, 1e-3, dtype)
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    return Block("registers only", dtype, 2.0 * CHAINS * lanes, lambda times: _registers(times, out))


def product(dtype: str, rows: int, depth: int, batch: int = 1, floor: float | None = None) -> Block:
    """One call of brgemm; taps of a filter lie beside each other, as in an image."""
    width, kind = panel_width(np.dtype(dtype)), np.dtype(dtype)
    step = rows + batch - 1
    a, b, c = (aligned_empty((n,), kind) for n in (depth * step, batch * depth * width, rows * width))
    a[:], b[:] = 0.5, 0.25
    a_off, b_off = np.arange(batch), np.arange(batch) * depth * width
    nbytes = a.nbytes + b.nbytes + c.nbytes
    return Block(
        f"brgemm {rows} rows × {width}, depth {depth}, batch {batch}, {nbytes / 1024:.0f} KB",
        dtype,
        2.0 * rows * depth * batch * width,
        lambda times: _products(times, rows, depth, batch, a, a_off, step, b, b_off, c, width),
        floor,
    )


def shifted_rows(dtype: str, side: int, rows: int, cols: int) -> Block:
    """One call of the stencil that carries depthwise and single-channel layers."""
    kind = np.dtype(dtype)
    step = cols + side + lanes_of(kind)
    found = chains([r * step + s for r in range(side) for s in range(side)], step)
    x, y = aligned_empty(((rows + side + 8) * step,), kind), aligned_empty((rows * cols,), kind)
    w = aligned_empty((side * side,), kind)
    x[:], w[:] = 0.5, 0.25
    nbytes = x.nbytes + y.nbytes
    return Block(
        f"stencil {side}×{side}, {rows} rows of {cols}, {nbytes / 1024:.0f} KB",
        dtype,
        2.0 * rows * cols * side * side,
        lambda times: _stencils(times, x, step, w, found.offsets, found.counts, y, rows, cols, lanes_of(kind)),
    )


def blocks(dtype: str, floor: float) -> Iterator[Block]:
    tile = TILE_ROWS
    yield product(dtype, tile, 64, floor=floor)
    yield product(dtype, 2 * tile, 64, floor=floor)
    yield product(dtype, 2 * tile, 16, batch=9, floor=floor)
    yield product(dtype, tile + tile // 2, 64)
    yield product(dtype, 2 * tile - 1, 37)
    yield product(dtype, 7, 64)
    yield product(dtype, 1, 64)
    for side in (3, 5, 11):
        yield shifted_rows(dtype, side, 14, 96)


def measured(dtype: str, floor: float, rounds: int) -> Iterator[tuple[Block, float, Interval]]:
    """Each block, the flop/s of the registers beside it, and its share of them by round."""
    peak = registers(dtype)
    for block in blocks(dtype, floor):
        rates: tuple[list[float], list[float]] = ([], [])
        for round_ in range(rounds + 1):
            for rate, contender in zip(rates, (peak, block), strict=True):
                times = contender.times()
                seconds = sample(lambda c=contender, n=times: c.call(n), 1)  # type: ignore[misc]
                if round_:
                    rate.append(contender.flop * times / seconds)
        yield block, float(np.median(rates[0])), median_interval([b / a for a, b in zip(*rates, strict=True)])
