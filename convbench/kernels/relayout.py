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
    _all_pixels(stored, planes, layout, threads, False)


def from_planes(planes: np.ndarray, stored: np.ndarray, layout: str, threads: int) -> None:
    """The image ``stored`` in ``layout`` = planes (N, C, *spatial); channels beyond C are zero."""
    _all_pixels(stored, planes, layout, threads, True)


def _all_pixels(stored: np.ndarray, planes: np.ndarray, layout: str, threads: int, back: bool) -> None:
    N, C = planes.shape[:2]
    pixels = planes[0, 0].size
    parallel(_move, N * pixels, threads, stored.reshape(-1), planes.reshape(-1), C, pixels,
             _width(C, layout), VECTOR_BYTES // planes.itemsize, back)  # fmt: skip


@njit
def _move(begin, end, stored, planes, C, pixels, width, lanes, back):
    """Pixels ``begin`` ≤ (n, i) < ``end`` of all images to planes, or ``back`` from them with zeros beyond C."""
    matrices = -(-C // width)
    none = planes[:0]
    at = begin
    while at < end:
        n, first = divmod(at, pixels)
        count = min(lanes, end - at, pixels - first)
        for m in range(matrices):
            channels = min(width, C - m * width)
            row = ((n * matrices + m) * pixels + first) * width
            for c in range(0, channels, lanes):
                plane, block = (n * C + m * width + c) * pixels + first, min(lanes, channels - c)
                if back:
                    store_transposed(planes, plane, pixels, block, stored, row + c, width, count, none, 0, 0)
                else:
                    store_transposed(stored, row + c, width, count, planes, plane, pixels, block, none, 0, 0)
            if back:
                for i in range(count):
                    stored[row + i * width + channels : row + (i + 1) * width] = 0
        at += count
