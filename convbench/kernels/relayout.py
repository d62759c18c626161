"""Images between NHWC or NCHW16c and NCHW: blocks of a vector's size transposed in registers.

An image in memory is a stack of matrices (pixels, width): one of width C for NHWC, ⌈C/16⌉ of width 16 for NCHW16c.
"""

from __future__ import annotations

import numpy as np

from convbench.kernels.jit import njit
from convbench.kernels.simd import VECTOR_BYTES
from convbench.kernels.threads import parallel
from convbench.kernels.transpose import store_transposed
from convbench.layouts import BLOCK


def _width(channels: int, layout: str) -> int:
    return channels if layout == "NHWC" else BLOCK


def to_planes(stored: np.ndarray, planes: np.ndarray, layout: str, threads: int) -> None:
    """planes (N, C, *spatial) = the image ``stored`` in ``layout``; both C-contiguous, of one dtype."""
    N, C = planes.shape[:2]
    parallel(_to_planes, N * planes[0, 0].size, threads, stored.reshape(-1), planes.reshape(-1), C, planes[0, 0].size,
             _width(C, layout), VECTOR_BYTES // planes.itemsize)  # fmt: skip


def from_planes(planes: np.ndarray, stored: np.ndarray, layout: str, threads: int) -> None:
    """The image ``stored`` in ``layout`` = planes (N, C, *spatial); channels beyond C are zero."""
    N, C = planes.shape[:2]
    parallel(_from_planes, N * planes[0, 0].size, threads, planes.reshape(-1), stored.reshape(-1), C, planes[0, 0].size,
             _width(C, layout), VECTOR_BYTES // planes.itemsize)  # fmt: skip


@njit
def _to_planes(begin, end, stored, planes, C, pixels, width, lanes):
    """Pixels ``begin`` ≤ (n, i) < ``end`` of all images."""
    matrices = -(-C // width)
    none = stored[:0]
    at = begin
    while at < end:
        n, first = divmod(at, pixels)
        count = min(lanes, end - at, pixels - first)
        for m in range(matrices):
            channels = min(width, C - m * width)
            for c in range(0, channels, lanes):
                store_transposed(
                    stored, ((n * matrices + m) * pixels + first) * width + c, width, count,
                    planes, (n * C + m * width + c) * pixels + first, pixels, min(lanes, channels - c), none, 0, 0,
                )  # fmt: skip
        at += count


@njit
def _from_planes(begin, end, planes, stored, C, pixels, width, lanes):
    """Pixels ``begin`` ≤ (n, i) < ``end`` of all images."""
    matrices = -(-C // width)
    none = planes[:0]
    at = begin
    while at < end:
        n, first = divmod(at, pixels)
        count = min(lanes, end - at, pixels - first)
        for m in range(matrices):
            channels = min(width, C - m * width)
            target = ((n * matrices + m) * pixels + first) * width
            for c in range(0, channels, lanes):
                store_transposed(
                    planes, (n * C + m * width + c) * pixels + first, pixels, min(lanes, channels - c),
                    stored, target + c, width, count, none, 0, 0,
                )  # fmt: skip
            for i in range(count):
                stored[target + i * width + channels : target + (i + 1) * width] = 0
        at += count
