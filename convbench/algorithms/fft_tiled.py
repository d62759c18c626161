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
from typing import Any, NamedTuple

import numpy as np

from convbench.algorithm import Algorithm, Unsupported, phases
from convbench.algorithms.fft import INVERT, LARGEST_BYTES, MULTIPLY, TRANSFORM
from convbench.algorithms.fft_forms import FORMS, SIZES, Form, Planes
from convbench.kernels.layout import Part, carve, scratch_bytes
from convbench.kernels.overlap_save import Tiling
from convbench.kernels.panels import operand_or_empty
from convbench.kernels.ticks import OFF, tick
from convbench.machine import SHIPPED, Machine
from convbench.reductions import lift
from convbench.spec import ConvSpec

PREPARE_CALLS = 50  # overheads of a call: what preparing takes beside the filters' spectra, tables and plans
SPECTRUM_MOVES = 6  # of the filters' spectra through memory, in the time that it takes to compute them


class Plan(NamedTuple):
    spec: ConvSpec
    threads: int
    form: Form
    tiling: Tiling
    block: int  # units that scratch holds at once


def tiles(spec: ConvSpec) -> Iterator[tuple[Form, Tiling]]:
    """Every form and tile that holds the filter."""
    return ((form, tiling) for form in FORMS for tiling in form.tilings(spec))


def candidates(spec: ConvSpec) -> Iterator[tuple[Form, Tiling]]:
    """Those tiles whose filter spectra are of a reasonable size."""
    return ((form, tiling) for form, tiling in tiles(spec) if form.filter_bytes(spec, tiling) <= LARGEST_BYTES)


def supports(spec: ConvSpec) -> str | None:
    if spec.ndim == 3:
        return "tiles are 1-D or 2-D; fft transforms whole volumes"
    least = min((form.filter_bytes(spec, tiling) for form, tiling in tiles(spec)), default=None)
    if least is None:
        largest = Planes.longest if spec.ndim == 1 else SIZES[-1]
        return f"the filter's {spec.filter} taps exceed the largest tile, {largest} a dimension"
    if least > LARGEST_BYTES:
        allowed = f"{LARGEST_BYTES / 2**30:.1f} GiB"
        return f"the filters' spectra would take {least / 2**30:.1f} GiB at the smallest tile; allowed: {allowed}"
    return None


def plan(spec: ConvSpec, threads: int, workspace_limit: int | None) -> Plan:
    """The form and tile with the least predicted time whose scratch, for one unit at least, is within the limit."""
    best, least, smallest = None, float("inf"), float("inf")
    for form, tiling in candidates(spec):
        chosen = Plan(spec, threads, form, tiling, form.block(spec, threads, tiling, workspace_limit))
        smallest = min(smallest, workspace(chosen))
        if workspace_limit is None or workspace(chosen) <= workspace_limit:
            seconds = cost(chosen, SHIPPED)
            if seconds < least:
                best, least = chosen, seconds
    if best is None:
        raise Unsupported(f"fft_tiled needs {smallest} bytes of workspace for {spec}; the limit is {workspace_limit}")
    return best


def parts(plan: Plan) -> list[Part]:
    return plan.form.kernels.parts(plan.tiling, plan.block, plan.threads, plan.spec.np_dtype)


def workspace(plan: Plan) -> int:
    return scratch_bytes(parts(plan))


def prepare(plan: Plan, weight: np.ndarray) -> Any:
    taps = plan.tiling.lattice.dense_taps(weight.reshape(lift(plan.spec, 3).weight_shape))
    return plan.form.kernels.prepare(plan.tiling, plan.block, plan.threads, taps[:, :, 0])


def run(plan, x, state, bias, y, work, ticks=OFF):
    kernels, tiling, threads = plan.form.kernels, plan.tiling, plan.threads
    buffers, added = carve(work, parts(plan)), operand_or_empty(bias, y)
    if plan.form.apart(tiling, plan.block, threads):
        kernels.convolve(tiling, threads, ticks, x, state, buffers, added, y)
        return
    units = kernels.units(tiling)
    for first in range(0, units, plan.block):
        count = min(plan.block, units - first)
        kernels.transform(tiling, first, count, threads, x, state, buffers)
        tick(ticks, TRANSFORM)
        kernels.multiply(tiling, first, count, threads, state, buffers)
        tick(ticks, MULTIPLY)
        kernels.invert(tiling, first, count, threads, state, buffers, added, y)
        tick(ticks, INVERT)


def executed_flop(plan: Plan) -> float:
    return sum(plan.form.flop(plan.spec, plan.tiling))


def cost(plan: Plan, machine: Machine) -> float:
    return plan.form.cost(plan.spec, plan.threads, plan.tiling, plan.block, machine)


def prepare_cost(plan: Plan, machine: Machine) -> float:
    """Tables of the transform, whatever the filters; spectra of every filter, moved several times."""
    spectra = plan.form.filter_bytes(plan.spec, plan.tiling)
    return PREPARE_CALLS * machine.call_overhead + machine.byte_time(SPECTRUM_MOVES * spectra)


def error(plan: Plan) -> float:
    return plan.form.error(plan.spec, plan.tiling)


fft_tiled = Algorithm(
    name="fft_tiled",
    run=phases(run, "transform", "multiply", "inverse"),
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
    claim="overlap-save FFT tiles, channels as a complex GEMM (Zlateski et al. 2018, NNPACK)",
)
