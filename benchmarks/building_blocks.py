"""The building blocks with operands in L1, against the multiply-add peaks of ``peak``; run by microkernel.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from peak import Loop, loading, registers

from convbench.bench.stats import Interval, median_interval
from convbench.kernels.gemm import TILE_ROWS, brgemm, panel_width
from convbench.kernels.jit import njit
from convbench.kernels.layout import aligned_empty
from convbench.kernels.stencil import chains, lanes_of, stencil


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
    """One kind of call in a loop; floor: of the peak with loads, None where only friendly sizes have one."""

    title: str
    loop: Loop
    floor: float | None = None


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
        Loop(
            2.0 * rows * depth * batch * width,
            lambda times: _products(times, rows, depth, batch, a, a_off, step, b, b_off, c, width),
        ),
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
        Loop(
            2.0 * rows * cols * side * side,
            lambda times: _stencils(times, x, step, w, found.offsets, found.counts, y, rows, cols, lanes_of(kind)),
        ),
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


@dataclass(frozen=True)
class Share:
    """A block's flop/s over those of the two loops beside it, and what these reached."""

    block: Block
    of_loading: Interval
    of_registers: Interval
    loading: float
    registers: float


def measured(dtype: str, floor: float, rounds: int) -> Iterator[Share]:
    """Every block against both peaks, round by round: the means of what they reach before it and after it."""
    peaks = loading(dtype), registers(dtype)
    for block in blocks(dtype, floor):
        loops = *peaks, block.loop, *peaks
        for loop in loops:
            loop.rate()
        rates = np.array([[loop.rate() for loop in loops] for _ in range(rounds)])
        beside = (rates[:, :2] + rates[:, 3:]) / 2
        of_loading, of_registers = (median_interval(list(rates[:, 2] / beside[:, i])) for i in range(2))
        yield Share(block, of_loading, of_registers, *map(float, np.median(beside, axis=0)))
