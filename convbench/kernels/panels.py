"""What brgemm's (pixels, NR) products need: panels of output channels, and the way to NCHW."""

from __future__ import annotations

import numpy as np

from convbench.kernels.gemm import VECTORS, panel_width
from convbench.kernels.jit import njit
from convbench.kernels.transpose import store_transposed
from convbench.spec import ConvSpec


def panel_count(spec: ConvSpec) -> int:
    """Panels of one group's output channels."""
    return -(-(spec.K // spec.groups) // panel_width(spec.np_dtype))


def operand_or_empty(bias: np.ndarray | None, like: np.ndarray) -> np.ndarray:
    """Kernels take one type: an absent bias is an empty array."""
    return like.reshape(-1)[:0] if bias is None else bias


@njit
def scatter(tile, first, rows, size_h, size_w, y, image, channel, channels, bias):
    """Write tile (rows, NR) of flattened padded-width pixels ``first`` … to y (N, K, O, P, Q), plus bias.

    Pixel i stands for (o, p, q) with i = (o·size_h + p)·size_w + q; those with p ≥ P or q ≥ Q are not outputs.
    """
    _, K, O, P, Q = y.shape
    width = tile.shape[1]
    lanes = width // VECTORS
    plane = O * P * Q
    valid_channels = min(width, channels - channel % channels)
    source, target = tile.reshape(tile.size), y.reshape(y.size)
    contiguous = size_w == Q and size_h == P
    i = first
    while i < first + rows:
        row, q = divmod(i, size_w)
        o, p = divmod(row, size_h)
        count = first + rows - i if contiguous else min(first + rows - i, size_w - q)
        valid = count if contiguous else min(count, Q - q)
        if p < P and o < O and valid > 0:
            start = (image * K + channel) * plane + (o * P + p) * Q + q
            for n in range(0, valid_channels, lanes):
                some = min(lanes, valid_channels - n)
                for j in range(0, valid, lanes):
                    store_transposed(
                        source, (i - first + j) * width + n, width, min(lanes, valid - j),
                        target, start + n * plane + j, plane, some, bias, channel + n, min(some, bias.size),
                    )  # fmt: skip
        i += count
