"""Overlap-save FFT tiles, channels multiplied as a complex GEMM: large filters at the price of small transforms.

    y = Σ_c irfft(rfft(tile_c) · conj rfft(w_kc))     the first T − R + 1 rows and columns of each T × T tile

A direct sum costs R·S multiply-adds a pixel and channel pair, a tile 4·T²/2 / (T − R + 1)² : 4 against 121 for 11 × 11
and T = 32. Tiles are transformed in pairs as complex numbers, so that no real-input pass is needed
(``kernels/overlap_save.py``); stride and dilation become phases of a dense problem (``kernels/lattice.py``). Three
forms:

* lanes (``kernels/fft_lanes.py``): tiles in the lanes, one brgemm for each frequency: many channels, T ≤ 64;
* planes (``kernels/fft_planes.py``): pixels in the lanes: few channels, tiles up to 512 × 512, 1-D lines up to 2²⁰;
* columns (``kernels/fft_columns.py``): one channel, transformed along the columns alone and summed along the row.

``plan`` takes the form and the tile with the least predicted time. Scratch is bounded by a block of tiles, which
``workspace_limit`` shrinks. 1-D and 2-D. Zlateski, Jia, Li, Durand, "FFT Convolutions are Faster than Winograd on
Modern CPUs, Here is Why" (arXiv:1809.07851, §3); NNPACK (github.com/Maratyszcza/NNPACK) takes 16 × 16 tiles likewise.

Error: ``fft.transform_error`` at T² (columns: at T, and summed over S taps as over channels); the mean there is taken
over the cyclic outputs of a pair of tiles, of which the wrapped ones are kept outputs of their neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log2
from typing import Any, NamedTuple

import numpy as np

from convbench.algorithm import Algorithm, Unsupported, phases
from convbench.algorithms.fft import INVERT, LARGEST_BYTES, MULTIPLY, TRANSFORM, transform_error
from convbench.kernels import fft_columns, fft_lanes, fft_planes
from convbench.kernels.fft import lanes
from convbench.kernels.lattice import Lattice
from convbench.kernels.layout import carve, scratch_bytes
from convbench.kernels.overlap_save import Tiling
from convbench.kernels.panels import operand_or_empty
from convbench.kernels.ticks import OFF, tick
from convbench.machine import SHIPPED, Machine
from convbench.reductions import lift
from convbench.spec import ConvSpec

FORMS = {"lanes": fft_lanes, "planes": fft_planes, "columns": fft_columns}
SIZES = (8, 16, 32, 64, 128, 256, 512)
LARGEST = {"lanes": 64, "planes": 512}  # rows or columns of a tile
LONGEST = {"lanes": 4096, "planes": 1 << 20}  # 1-D tile
BLOCK_BYTES = {"lanes": 1 << 24, "planes": 1 << 20}  # scratch of one block: the last-level cache's share, half of L2
FFT_EFFICIENCY = {"lanes": 0.2, "planes": 0.5, "columns": 0.33}  # of peak at 5·n·log₂ n flop a complex transform
ROW_SECONDS = {"lanes": 5e-9, "planes": 1e-8}  # to read or write one row of a tile, beyond its bytes
SUM_EFFICIENCY = 0.95  # of peak, of sums along a row
EARLY = 0.3  # of the time a copy takes: what lines asked for while rows are summed take to move
ROW_EFFICIENCY = ((14, 0.75), (4, 0.45), (1, 0.2))  # brgemm's register tiles: rows, share of peak


class Plan(NamedTuple):
    spec: ConvSpec
    threads: int
    form: str  # of FORMS
    tiling: Tiling
    block: int  # units (pairs of tiles, but in "lanes" × groups) that scratch holds at once


def tiles(spec: ConvSpec) -> Iterator[tuple[str, Tiling]]:
    """Every form and tile that holds the filter."""
    lifted, width = lift(spec, 3), lanes(spec.dtype)
    _, R, S = Lattice.of(lifted).taps
    yield from (("columns", tiling) for tiling in fft_columns.tilings(lifted, width))
    for form in ("lanes", "planes"):
        if R == 1:  # lines
            length = max(width, 8) if form == "lanes" else max(width * width, 64)
            while length <= LONGEST[form]:
                half = 1 << (length.bit_length() - 1) // 2
                rows, cols = (1, length) if form == "lanes" else (length // half, half)
                if length >= S:
                    yield form, Tiling.of(lifted, rows, cols, form == "planes")
                length *= 2
        for rows in SIZES:
            for cols in SIZES:
                least = width if form == "planes" else 8
                if R <= rows <= LARGEST[form] and S <= cols <= LARGEST[form] and min(rows, cols) >= least:
                    yield form, Tiling.of(lifted, rows, cols, False)


def candidates(spec: ConvSpec) -> Iterator[tuple[str, Tiling]]:
    """Those tiles whose filter spectra are of a reasonable size."""
    return (pair for pair in tiles(spec) if filter_bytes(spec, *pair) <= LARGEST_BYTES)


def filter_bytes(spec: ConvSpec, form: str, tiling: Tiling) -> int:
    """Of the filters' spectra: half the frequencies in two panels for lanes, all frequencies once for planes."""
    width = lanes(spec.dtype)
    if form == "columns":
        return tiling.rows * fft_columns.taps(tiling) * tiling.K * 2 * spec.itemsize
    outputs = tiling.G * fft_lanes.panels(tiling, width) * width if form == "lanes" else tiling.K
    return tiling.rows * tiling.cols * outputs * tiling.channels * 2 * spec.itemsize


def supports(spec: ConvSpec) -> str | None:
    if spec.ndim == 3:
        return "tiles are 1-D or 2-D; fft transforms whole volumes"
    least = min((filter_bytes(spec, *pair) for pair in tiles(spec)), default=None)
    if least is None:
        largest = LONGEST["planes"] if spec.ndim == 1 else LARGEST["planes"]
        return f"the filter's {spec.filter} taps exceed the largest tile, {largest} a dimension"
    if least > LARGEST_BYTES:
        allowed = f"{LARGEST_BYTES / 2**30:.1f} GiB"
        return f"the filters' spectra would take {least / 2**30:.1f} GiB at the smallest tile; allowed: {allowed}"
    return None


def plan(spec: ConvSpec, threads: int, workspace_limit: int | None) -> Plan:
    """The form and tile with the least predicted time whose scratch, for one unit at least, is within the limit."""
    best, least, smallest = None, float("inf"), float("inf")
    for form, tiling in candidates(spec):
        chosen = Plan(spec, threads, form, tiling, _block(spec, threads, form, tiling, workspace_limit))
        smallest = min(smallest, workspace(chosen))
        if workspace_limit is None or workspace(chosen) <= workspace_limit:
            seconds = cost(chosen, SHIPPED)
            if seconds < least:
                best, least = chosen, seconds
    if best is None:
        raise Unsupported(f"fft_tiled needs {smallest} bytes of workspace for {spec}; the limit is {workspace_limit}")
    return best


def _block(spec: ConvSpec, threads: int, form: str, tiling: Tiling, limit: int | None) -> int:
    """Units a block: all, or as many as BLOCK_BYTES and the limit allow, evenly spread over the blocks."""
    if form == "columns":
        return threads
    units = max(1, FORMS[form].units(tiling))
    one, two = (scratch_bytes(FORMS[form].parts(tiling, n, threads, spec.np_dtype)) for n in (1, 2))
    room = max(BLOCK_BYTES[form], one) if limit is None else min(max(BLOCK_BYTES[form], one), limit)
    most = max(1, min(units, 1 + (room - one) // (two - one)), 1)
    if form == "planes" and fft_planes.apart(tiling, threads, threads) and (limit is None or threads <= most):
        return threads
    return -(-units // -(-units // most))


def parts(plan: Plan) -> list[Any]:
    return FORMS[plan.form].parts(plan.tiling, plan.block, plan.threads, plan.spec.np_dtype)


def workspace(plan: Plan) -> int:
    return scratch_bytes(parts(plan))


def apart(plan: Plan) -> bool:
    """Whether each thread takes units through all phases by itself."""
    if plan.form == "columns":
        return True
    return plan.form == "planes" and fft_planes.apart(plan.tiling, plan.block, plan.threads)


def blocks(plan: Plan) -> int:
    return -(-FORMS[plan.form].units(plan.tiling) // plan.block)


def prepare(plan: Plan, weight: np.ndarray) -> Any:
    taps = plan.tiling.lattice.dense_taps(weight.reshape(lift(plan.spec, 3).weight_shape))
    return FORMS[plan.form].prepare(plan.tiling, plan.block, plan.threads, taps[:, :, 0])


def run(plan, x, state, bias, y, work, ticks=OFF):
    form, tiling, threads = FORMS[plan.form], plan.tiling, plan.threads
    buffers, added = carve(work, parts(plan)), operand_or_empty(bias, y)
    if apart(plan):
        form.convolve(tiling, threads, ticks, x, state, buffers, added, y)
        return
    units = form.units(tiling)
    for first in range(0, units, plan.block):
        count = min(plan.block, units - first)
        form.transform(tiling, first, count, threads, x, state, buffers)
        tick(ticks, TRANSFORM)
        form.multiply(tiling, first, count, threads, state, buffers)
        tick(ticks, MULTIPLY)
        form.invert(tiling, first, count, threads, state, buffers, added, y)
        tick(ticks, INVERT)


def _flop(plan: Plan) -> tuple[float, float]:
    """(transforms at 5·n·log₂ n each, complex products at 8) of the form's whole vectors."""
    tiling, width = plan.tiling, lanes(plan.spec.dtype)
    n = tiling.rows * tiling.cols
    if plan.form == "columns":
        read, summed = (vectors * width * tiling.rows for vectors in fft_columns.vectors(tiling, width))
        units, taps = fft_columns.units(tiling), fft_columns.taps(tiling)
        return 5.0 * log2(tiling.rows) * units * (read + summed), 8.0 * units * summed * taps
    per_group = tiling.K // tiling.G
    outputs = tiling.G * (fft_lanes.panels(tiling, width) * width if plan.form == "lanes" else per_group)
    inputs = tiling.G * tiling.channels
    return 5.0 * n * log2(n) * tiling.pairs * (inputs + outputs), 8.0 * n * tiling.pairs * tiling.channels * outputs


def executed_flop(plan: Plan) -> float:
    return sum(_flop(plan))


def cost(plan: Plan, machine: Machine) -> float:
    """Transforms and products at their share of peak; filters, spectra and operands at the machine's bandwidths."""
    spec, tiling, threads = plan.spec, plan.tiling, plan.threads
    transforms, products = _flop(plan)
    if plan.form == "columns":
        return _columns_cost(plan, transforms, products, machine)
    item, width = spec.itemsize, lanes(spec.dtype)
    n = tiling.rows * tiling.cols
    inputs, filters = tiling.G * tiling.channels, filter_bytes(spec, plan.form, tiling)
    rows = tiling.tiles * tiling.rows * (inputs + spec.K)
    seconds = machine.flop_time(transforms, spec, threads, FFT_EFFICIENCY[plan.form])
    seconds += rows * ROW_SECONDS[plan.form] / threads
    if plan.form == "lanes":
        outputs = tiling.G * fft_lanes.panels(tiling, width) * width
        spectra = plan.block * n * 2 * item * (inputs + outputs)
        left, share = plan.block, 0.0
        for height, efficiency in ROW_EFFICIENCY:
            share += left // height * height / efficiency
            left %= height
        seconds += machine.flop_time(products, spec, threads, plan.block / share)
        seconds += blocks(plan) * machine.byte_time(filters + 2 * spectra, threads)
    else:
        tile = 2 * tiling.rows * (tiling.cols + width) * item
        rate = machine.l2_bandwidth if 2 * tile <= machine.l2_bytes else machine.bandwidth
        seconds += machine.flop_time(products, spec, threads, 0.25)
        seconds += tiling.pairs * (machine.byte_time(filters, threads) + tile * (inputs + spec.K) / (rate * threads))
    calls = 3 if apart(plan) else 3 * blocks(plan)
    return seconds + calls * machine.call_overhead + machine.byte_time(spec.min_bytes, threads)


def _columns_cost(plan: Plan, transforms: float, products: float, machine: Machine) -> float:
    """Threads take whole units; a sum has the work of two more taps, one of a single vector twice its own."""
    spec, tiling, threads = plan.spec, plan.tiling, plan.threads
    width, taps, units = lanes(spec.dtype), fft_columns.taps(tiling), fft_columns.units(tiling)
    _, summed = fft_columns.vectors(tiling, width)
    products *= (1 + 2 / taps) * (1 + summed % fft_columns.TOGETHER / summed)
    seconds = machine.flop_time(transforms, spec, 1, FFT_EFFICIENCY["columns"])
    seconds += machine.flop_time(products, spec, 1, SUM_EFFICIENCY)
    tile = fft_columns.tile(tiling, width) * spec.itemsize
    if 2 * tile > machine.l2_bytes:
        seconds += units * 4 * tile / machine.bandwidth
    filters = filter_bytes(spec, plan.form, tiling)
    moved = machine.byte_time(spec.min_bytes, threads) + units * machine.byte_time(filters) / spec.K
    return seconds * -(-units // threads) / units + EARLY * moved + machine.call_overhead


def error(plan: Plan) -> float:
    if plan.form == "columns":  # whose columns are summed as channels are
        return transform_error(plan.spec, plan.tiling.rows, fft_columns.taps(plan.tiling))
    return transform_error(plan.spec, plan.tiling.rows * plan.tiling.cols, plan.tiling.channels)


fft_tiled = Algorithm(
    name="fft_tiled",
    run=phases(run, "transform", "multiply", "inverse"),
    supports=supports,
    plan=plan,
    prepare=prepare,
    workspace=workspace,
    error=error,
    cost=cost,
    executed_flop=executed_flop,
    local=False,
    exact=False,
    claim="overlap-save FFT tiles, channels as a complex GEMM (Zlateski et al. 2018, NNPACK)",
)
