"""Whole-image FFT: one transform an image and channel, whatever the filter's size.

    y[n, k] = irfftn(Σ_c rfftn(x[n, c]) · conj rfftn(w[k, c]))     cyclic, over at least P + R − 1 pixels a dimension

The convolution theorem (Mathieu, Henaff, LeCun 2014, arXiv:1312.5851, §2). Transforms are scipy.fft's (pocketfft,
real input, sizes from ``next_fast_len``, workers = threads); the product over channels runs with frequencies in the
vector lanes (``kernels/spectra.py``). 1-, 2- and 3-D; stride and dilation become phases of a dense problem
(``kernels/lattice.py``); groups are products of their own.
Memory: spectra of all channels of a block of images, F complex numbers each, and the filters' K·C/G·F. scipy.fft
allocates inside (``library_bytes``): each call returns a new array of CHUNK_BYTES of spectra or images, or of one image
where that is larger, which is copied at once. The inverse is taken in place along all axes but the last, which irfftn
would do in a copy.

Error: ``transform_error`` at F frequencies.
"""

from __future__ import annotations

from math import log2, prod, sqrt
from typing import NamedTuple

import numpy as np
import scipy.fft

from convbench.algorithm import Algorithm, phases, unit_roundoff
from convbench.kernels.fft import lanes
from convbench.kernels.fft_images import multiply_images, read_images, write_images
from convbench.kernels.lattice import Lattice, Triple
from convbench.kernels.layout import ALIGNMENT, Part, aligned_empty, carve, scratch_bytes
from convbench.kernels.panels import operand_or_empty
from convbench.kernels.spectra import join, split
from convbench.kernels.threads import allowed, parallel
from convbench.kernels.ticks import OFF, tick
from convbench.machine import Machine
from convbench.reductions import lift
from convbench.spec import ConvSpec

TRANSFORM, MULTIPLY, INVERT = 1, 2, 3  # phases of a block
CHUNK_BYTES = 1 << 22  # images that one call of scipy.fft transforms
BLOCK_BYTES = 1 << 26  # spectra of one block of images
LARGEST_BYTES = 1 << 29  # of filter spectra
LINE_LANES = 16  # lines that pocketfft transforms at once, at most
PREPARE_CALLS = 35  # overheads of a call: what preparing takes beside the filters' spectra, tables and plans
SPECTRUM_MOVES = 36  # of the filters' spectra through memory, in the time that it takes to compute them


class Plan(NamedTuple):
    spec: ConvSpec
    threads: int
    lattice: Lattice
    shape: Triple  # of the cyclic correlation
    images: int  # dense images a block
    chunk: int  # images a call of scipy.fft

    @property
    def channels(self) -> int:
        """Dense channels of one group."""
        return self.spec.weight_shape[1] * self.lattice.channels

    @property
    def total(self) -> int:
        """Dense images in all."""
        return self.spec.N * self.lattice.images

    @property
    def half(self) -> Triple:
        """Frequencies of a real transform."""
        return self.shape[0], self.shape[1], self.shape[2] // 2 + 1

    @property
    def blocks(self) -> int:
        """Vectors of frequencies."""
        return -(-prod(self.half) // lanes(self.spec.dtype))

    @property
    def lines(self) -> int:
        """Lines along the longest axis of one scipy.fft call."""
        return self.chunk * prod(self.shape) // max(self.shape)

    @property
    def axes(self) -> tuple[int, ...]:
        return tuple(1 + i for i in range(3) if self.shape[i] > 1 or i == 2)


def _shape(spec: ConvSpec) -> tuple[Lattice, Triple]:
    lattice = Lattice.of(lift(spec, 3))
    pairs = zip(lattice.phase_outputs, lattice.taps, strict=True)
    d, h, w = (scipy.fft.next_fast_len(p + r - 1, real=True) for p, r in pairs)
    return lattice, (d, h, w)


def filter_bytes(spec: ConvSpec) -> int:
    lattice, shape = _shape(spec)
    frequencies = prod(shape[:2]) * (shape[2] // 2 + 1)
    return 2 * spec.itemsize * frequencies * prod(spec.weight_shape[:2]) * lattice.channels


def supports(spec: ConvSpec) -> str | None:
    size = filter_bytes(spec)
    if size > LARGEST_BYTES:
        allowed = f"{LARGEST_BYTES / 2**30:.1f} GiB"
        return f"the filters' spectra at image size would take {size / 2**30:.1f} GiB; allowed: {allowed}"
    return None


def plan(spec: ConvSpec, threads: int, workspace_limit: int | None) -> Plan:
    """As many images as BLOCK_BYTES and the limit allow; one, and one scipy.fft call an image, at least.

    Threads share the lines of a scipy.fft call, so a single one-dimensional image is left to one of them.
    """
    lattice, shape = _shape(spec)
    least = Plan(spec, threads, lattice, shape, 1, 1)
    limit = BLOCK_BYTES if workspace_limit is None else min(BLOCK_BYTES, workspace_limit)
    x, y, chunk = (prod(size) * spec.itemsize for size, _ in parts(least))
    total = max(1, least.total)
    images = max(1, min(total, (limit - chunk) // (x + y)))
    images = -(-total // -(-total // images))
    calls = min(max(1, CHUNK_BYTES // chunk), images * max(spec.C * lattice.channels, spec.K))
    if workspace_limit is not None:
        calls = max(1, min(calls, (workspace_limit - images * (x + y) - 3 * ALIGNMENT) // chunk))
    planned = least._replace(images=images, chunk=calls)
    return planned._replace(threads=min(threads, planned.lines))


def parts(plan: Plan) -> list[Part]:
    """X and Y of one block of images, and one chunk of images or interleaved spectra."""
    spec, pair = plan.spec, 2 * lanes(plan.spec.dtype)
    return [
        ((plan.images * spec.groups * plan.blocks * plan.channels * pair,), spec.np_dtype),
        ((plan.images * spec.K * plan.blocks * pair,), spec.np_dtype),
        ((plan.chunk, 2 * prod(plan.half)), spec.np_dtype),
    ]


def workspace(plan: Plan) -> int:
    return scratch_bytes(parts(plan))


def library_bytes(plan: Plan) -> int:
    """A chunk of spectra and one of images, and pocketfft's lines along the longest axis.

    One of the chunks is in use at a time, but what was freed of the other may stay with the process, and the last call
    of a block, of fewer images, need not fit where the others were. The lines are the twiddles and a vector of lines a
    thread.
    """
    longest, numbers = max(plan.shape), 2 if len(plan.axes) > 1 else 1
    last = max(plan.images * n % plan.chunk for n in (plan.spec.groups * plan.channels, plan.spec.K))
    chunks, line = (plan.chunk + last) * (2 * prod(plan.half) + prod(plan.shape)), numbers * longest
    return plan.spec.itemsize * (chunks + line * (1 + plan.threads * min(LINE_LANES, plan.lines)))


class State(NamedTuple):
    filters: np.ndarray  # conj rfftn(w), flat (G, f, K/G, C/G·ΠB, re | im)
    images: np.ndarray  # ``Lattice.reads`` and ``writes``
    channels: np.ndarray
    writes: np.ndarray


def prepare(plan: Plan, weight: np.ndarray) -> State:
    spec, threads = plan.spec, plan.threads
    taps = plan.lattice.dense_taps(weight.reshape(lift(spec, 3).weight_shape))
    taps = taps.reshape(-1, *plan.lattice.taps)
    together = spec.K // spec.groups * plan.channels
    filters = aligned_empty((spec.groups * plan.blocks * together * 2 * lanes(spec.dtype),), spec.np_dtype)
    rows = max(1, CHUNK_BYTES // (prod(plan.shape) * spec.itemsize))
    for first in range(0, len(taps), rows):
        chunk = taps[first : first + rows]
        shape = [plan.shape[axis - 1] for axis in plan.axes]
        spectra = scipy.fft.rfftn(chunk, shape, plan.axes, workers=threads)
        parallel(split, len(chunk), threads, _interleaved(spectra), first, together, plan.blocks, weight.dtype.type(-1),
                 filters)  # fmt: skip
    return State(filters, *plan.lattice.reads(spec.N, spec.C), plan.lattice.writes(spec.N, spec.K))


def _interleaved(spectra: np.ndarray) -> np.ndarray:
    """Complex (rows, …) as real (rows, 2·frequencies)."""
    return spectra.reshape(len(spectra), -1).view(spectra.real.dtype)


def _images(plan: Plan, block: int) -> tuple[int, int]:
    first = block * plan.images
    return first, min(plan.images, plan.total - first)


def run(plan, x, state, bias, y, work, ticks=OFF):
    spectra, products, chunk = carve(work, parts(plan))
    for block in range(-(-plan.total // plan.images)):
        transform(plan, x, state, spectra, chunk, block)
        tick(ticks, TRANSFORM)
        multiply(plan, state, spectra, products, block)
        tick(ticks, MULTIPLY)
        invert(plan, state, bias, products, chunk, y, block)
        tick(ticks, INVERT)


def transform(plan, x, state, out, chunk, block):
    planes = chunk.reshape(-1)[: plan.chunk * prod(plan.shape)].reshape(plan.chunk, *plan.shape)
    first, images = _images(plan, block)
    lattice, channels = plan.lattice, len(state.channels)
    needed = lattice.phase_outputs[2] + lattice.taps[2] - 1
    for start in range(0, images * channels, plan.chunk):
        count = min(plan.chunk, images * channels - start)
        parallel(read_images, count, plan.threads, x.reshape(-1), lattice.inputs, lattice.step, state.images,
                 state.channels, needed, first * channels + start, planes)  # fmt: skip
        spectra = scipy.fft.rfftn(planes[:count], axes=plan.axes, workers=allowed(plan.threads))
        parallel(split, count, plan.threads, _interleaved(spectra), start, plan.channels, plan.blocks,
                 x.dtype.type(1), out)  # fmt: skip
        del spectra  # before the next ones are made


def multiply(plan, state, spectra, products, block):
    spec = plan.spec
    parallel(multiply_images, spec.groups * plan.blocks, plan.threads, _images(plan, block)[1], spec.groups,
             plan.blocks, spectra, plan.channels, state.filters, products, spec.K // spec.groups)  # fmt: skip


def invert(plan, state, bias, products, chunk, y, block):
    spec = plan.spec
    first, images = _images(plan, block)
    added = operand_or_empty(bias, y)
    for start in range(0, images * spec.K, plan.chunk):
        count = min(plan.chunk, images * spec.K - start)
        parallel(join, count, plan.threads, products, start, spec.K // spec.groups, plan.blocks, chunk)
        spectra = chunk[:count].view(np.result_type(spec.np_dtype, np.complex64)).reshape(count, *plan.half)
        if len(plan.axes) > 1:
            spectra = scipy.fft.ifftn(spectra, axes=plan.axes[:-1], overwrite_x=True, workers=allowed(plan.threads))
        planes = scipy.fft.irfft(spectra, plan.shape[2], workers=allowed(plan.threads))
        parallel(write_images, count, plan.threads, planes, state.writes, plan.lattice.out_phases, plan.lattice.outputs,
                 first * spec.K + start, spec.K, added, y.reshape(-1))  # fmt: skip
        del spectra, planes


def _flop(plan: Plan) -> tuple[float, float]:
    """(real transforms at 2.5·n·log₂ n, complex products at 8)."""
    n, inputs, outputs = prod(plan.shape), plan.spec.groups * plan.channels, plan.spec.K
    transforms = 2.5 * n * log2(n + 1) * plan.total * (inputs + outputs)
    return transforms, 8.0 * prod(plan.half) * plan.total * outputs * plan.channels


def executed_flop(plan: Plan) -> float:
    return sum(_flop(plan))


def cost(plan: Plan, machine: Machine) -> float:
    """scipy.fft at its own rate; the filters' spectra read once a block, spectra and images copied about them.

    Threads share the copies by images: there is one for each of a call of scipy.fft.
    """
    spec, threads = plan.spec, plan.threads
    transforms, products = _flop(plan)
    blocks = -(-plan.total // plan.images)
    copied = 6 * spec.itemsize * prod(plan.shape) * plan.total * (spec.groups * plan.channels + spec.K)
    return (
        machine.fft_time(transforms, spec, threads)
        + machine.flop_time(products, spec, threads, 0.25)
        + machine.byte_time(blocks * filter_bytes(spec) + spec.min_bytes, threads)
        + machine.byte_time(copied, min(threads, plan.chunk))
        + blocks * 5 * machine.call_overhead
    )


def prepare_cost(plan: Plan, machine: Machine) -> float:
    """Tables, whatever the filters; spectra of every filter at image size, moved several times."""
    return PREPARE_CALLS * machine.call_overhead + machine.byte_time(SPECTRUM_MOVES * filter_bytes(plan.spec))


def transform_error(spec: ConvSpec, n: int, channels: int) -> float:
    """Bound of a correlation through transforms of n points: u·(10·√log₂ n + 2·√channels), of max √(x² ⋆ w²).

    By Parseval an error of relative size ε in the product spectrum is an error of ε·‖x‖·‖w‖/√n in each output, and
    ‖x‖²·‖w‖²/n is exactly the mean of x² ⋆ w² over the n cyclic outputs: no larger than the measure's maximum squared.
    Each of log₂ n butterfly passes of three transforms adds independent roundings of rms ≈ 0.6·u to a spectrum whose
    norm it keeps (Schatzman 1996, "Accuracy of the Discrete Fourier Transform and the Fast Fourier Transform", §3: rms
    error ∝ √log₂ n): ε ≈ u·√log₂ n, five standard deviations for millions of outputs, and a factor of 2 for filters of
    many taps, whose maximum stands near the mean. The product is a sum over channels (``algorithm.direct_error``).
    """
    return unit_roundoff(spec.dtype) * (10 * sqrt(log2(n + 1)) + 2 * sqrt(channels))


def error(plan: Plan) -> float:
    return transform_error(plan.spec, prod(plan.shape), plan.channels)


fft = Algorithm(
    name="fft",
    run=phases(run, "transform", "multiply", "inverse"),
    supports=supports,
    plan=plan,
    prepare=prepare,
    workspace=workspace,
    library_bytes=library_bytes,
    error=error,
    cost=cost,
    prepare_cost=prepare_cost,
    executed_flop=executed_flop,
    local=False,
    exact=False,
    claim="whole-image FFT, one spectrum an image and channel (Mathieu et al. 2014)",
)
