"""Whole images of the dense problem (``lattice``) on their way to and from scipy.fft, and the product between."""

from __future__ import annotations

from convbench.kernels.gemm import VECTOR_BYTES
from convbench.kernels.jit import njit
from convbench.kernels.lattice import phase, read_line, write_line
from convbench.kernels.spectra import multiply_spectra


@njit
def read_images(begin, end, lattice, C, x, first, planes):
    """Dense images first + i of the range begin ≤ i < end, numbered (n, a, c, b), to planes[i] (D, H, W) from x (flat).

    Zero outside the image, and beyond the phase_outputs + taps − 1 pixels that some output reads.
    """
    _, high, wide, long = planes.shape
    depth, height, width = lattice.inputs
    phases, tap_phases = lattice.out_phases, lattice.tap_phases
    images = phases[0] * phases[1] * phases[2]
    channels = tap_phases[0] * tap_phases[1] * tap_phases[2]
    stride, dilation, before, step = lattice.stride, lattice.dilation, lattice.before, lattice.step
    needed = lattice.phase_outputs[2] + lattice.taps[2] - 1
    for i in range(begin, end):
        rest, which = divmod(first + i, channels)
        rest, c = divmod(rest, C)
        n, image = divmod(rest, images)
        a, b = phase(image, phases), phase(which, tap_phases)
        d0 = stride[0] * a[0] + dilation[0] * b[0] - before[0]
        h0 = stride[1] * a[1] + dilation[1] * b[1] - before[1]
        w0 = stride[2] * a[2] + dilation[2] * b[2] - before[2]
        target = planes[i].reshape(planes[i].size)
        for j in range(high):
            d = d0 + j * step[0]
            for k in range(wide):
                h = h0 + k * step[1]
                inside = 0 <= d < depth and 0 <= h < height
                base = (((n * C + c) * depth + d) * height + h) * width
                at = (j * wide + k) * long
                read_line(x, base, w0, step[2], width if inside else 0, target, at, needed)
                target[at + needed : at + long] = 0


@njit
def write_images(begin, end, lattice, K, planes, first, bias, y):
    """Dense outputs first + i, begin ≤ i < end, numbered (n, a, k), from planes[i] to y (flat), plus bias if not empty."""
    _, _, wide, long = planes.shape
    O, P, Q = lattice.outputs
    phases = lattice.out_phases
    images = phases[0] * phases[1] * phases[2]
    for i in range(begin, end):
        rest, k = divmod(first + i, K)
        n, image = divmod(rest, images)
        a = phase(image, phases)
        add = bias[k] if bias.size else y.dtype.type(0)
        source = planes[i].reshape(planes[i].size)
        for o in range(a[0], O, phases[0]):
            for p in range(a[1], P, phases[1]):
                at = (o // phases[0] * wide + p // phases[1]) * long
                start = (((n * K + k) * O + o) * P + p) * Q + a[2]
                write_line(source, at, (Q - a[2] + phases[2] - 1) // phases[2], y, start, phases[2], add)


@njit
def multiply_images(begin, end, images, groups, blocks, x, depth, w, y, rows):
    """Tasks (g, f): Y[n, g, f] = Σ_c X[n, g, f, c] · W[g, f, k, c] for every dense image n."""
    pair = 2 * VECTOR_BYTES // x.itemsize
    for task in range(begin, end):
        g, f = divmod(task, blocks)
        for n in range(images):
            at = (n * groups + g) * blocks + f
            multiply_spectra(1, x, at * depth * pair, depth, w, task * rows * depth * pair, y, at * rows * pair, rows)
