"""Whole images of the dense problem (``lattice``) on their way to and from scipy.fft, and the product between."""

from __future__ import annotations

from convbench.kernels.jit import njit
from convbench.kernels.lattice import read_rows, write_rows
from convbench.kernels.simd import VECTOR_BYTES
from convbench.kernels.spectra import multiply_spectra


@njit
def read_images(begin, end, x, inputs, step, images, channels, needed, first, planes):
    """Dense images first + i, begin ≤ i < end, numbered (image, channel), to planes[i] (D, H, W) from x (flat).

    inputs (D, H, W) of x; images, channels: ``Lattice.reads``. Zero outside the image, and beyond the ``needed``
    columns that some output reads.
    """
    _, high, wide, long = planes.shape
    D, H, W = inputs
    for i in range(begin, end):
        image, channel = divmod(first + i, len(channels))
        source = images[image, 0] + channels[channel, 0]
        d0, h0 = images[image, 1] + channels[channel, 1], images[image, 2] + channels[channel, 2]
        w0 = images[image, 3] + channels[channel, 3]
        target = planes[i].reshape(planes[i].size)
        for j in range(high):
            d = d0 + j * step[0]
            inside = H if 0 <= d < D else 0
            read_rows(x, source + d * H * W, h0, w0, step[1], 0, step[2], (inside, W), target, j * wide * long, long,
                      wide, needed)  # fmt: skip
            for k in range(wide):
                line = (j * wide + k) * long
                target[line + needed : line + long] = 0


@njit
def write_images(begin, end, planes, writes, phases, outputs, first, K, bias, y):
    """Dense outputs first + i, begin ≤ i < end, numbered (image, k), from planes[i] to y (flat), plus bias or empty.

    outputs (O, P, Q) of y; writes: ``Lattice.writes``; phases: A, the elements of y between neighbours.
    """
    _, _, wide, long = planes.shape
    O, P, Q = outputs
    for i in range(begin, end):
        image, k = divmod(first + i, K)
        add = bias[k] if bias.size else y.dtype.type(0)
        source = planes[i].reshape(planes[i].size)
        start = writes[image, 0] + k * O * P * Q
        for o in range(writes[image, 1]):
            write_rows(source, o * wide * long, long, writes[image, 2], writes[image, 3], y,
                       start + o * phases[0] * P * Q, phases[1] * Q, phases[2], add)  # fmt: skip


@njit
def multiply_images(begin, end, images, groups, blocks, x, depth, w, y, rows):
    """Tasks (g, f): Y[n, g, f] = Σ_c X[n, g, f, c] · W[g, f, k, c] for every dense image n."""
    pair = 2 * VECTOR_BYTES // x.itemsize
    for task in range(begin, end):
        g, f = divmod(task, blocks)
        for n in range(images):
            at = (n * groups + g) * blocks + f
            multiply_spectra(1, x, at * depth * pair, depth, w, task * rows * depth * pair, y, at * rows * pair, rows)
