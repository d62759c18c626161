"""Aligned buffers, scratch carving, and the polyphase padded image that turns every stride into unit stride."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

import numpy as np

from convbench.kernels.jit import njit
from convbench.kernels.lines import clear_line, copy_line
from convbench.spec import ConvSpec

ALIGNMENT = 64  # bytes: one cache line, one AVX-512 vector

Part = tuple[tuple[int, ...], np.dtype]


def round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def aligned_empty(shape: Sequence[int], dtype: np.dtype | type) -> np.ndarray:
    """``np.empty(shape, dtype)`` whose first element lies on a 64-byte boundary (NumPy promises 16)."""
    dtype = np.dtype(dtype)
    buffer = np.empty(prod(shape) * dtype.itemsize + ALIGNMENT, np.uint8)
    return np.ndarray(shape, dtype, buffer, _to_boundary(buffer))


def aligned_copy(array: np.ndarray) -> np.ndarray:
    """A C-contiguous copy that begins on a 64-byte boundary: rows of whole vectors then share no cache line."""
    copy = aligned_empty(array.shape, array.dtype)
    copy[...] = array
    return copy


@njit
def _to_boundary(buffer):
    """Bytes to the next boundary; NumPy's own ways to an address take longer than the allocation."""
    return -buffer.ctypes.data % ALIGNMENT


def scratch_bytes(parts: Sequence[Part]) -> int:
    """Bytes that :func:`carve` needs for these (shape, dtype) parts, each rounded up to 64."""
    return sum(round_up(prod(shape) * np.dtype(dtype).itemsize, ALIGNMENT) for shape, dtype in parts)


def carve(work: np.ndarray, parts: Sequence[Part]) -> list[np.ndarray]:
    """Consecutive 64-byte aligned views into the scratch buffer ``work`` (uint8), one for each (shape, dtype)."""
    views, start = [], 0
    for shape, dtype in parts:
        size = prod(shape) * np.dtype(dtype).itemsize
        views.append(work[start : start + size].view(dtype).reshape(shape))
        start += round_up(size, ALIGNMENT)
    return views


class Polyphase(NamedTuple):
    """The padded image of a 3-D problem, split by stride phase, and where each filter tap finds its pixels.

    Element (c; f_d, f_h, f_w; d, h, w) holds the padded input at channel c, position (d·s_d + f_d, h·s_h + f_h,
    w·s_w + f_w). Output pixel (o, p, q) and tap (t, r, s) meet at phase (t·d_d mod s_d, …) and position
    (o + ⌊t·d_d / s_d⌋, …): a strided, dilated correlation is a sum over taps of unit-stride shifts. Without padding
    and stride the input itself is that image.
    """

    in_place: bool  # the input is the image: nothing to copy
    phases: tuple[int, int, int]  # phases that some tap reads, per dimension
    size: tuple[int, int, int]  # positions of one phase image, per dimension
    plane: int  # elements from one channel to the next
    taps: np.ndarray  # int64 (T·R·S,): offset of each tap's pixel from the output pixel's own position
    pixels: int  # flattened output positions, from the first output to the last, rows size[2] apart

    @classmethod
    def of(cls, spec: ConvSpec) -> Polyphase:
        """For a spec with three spatial dimensions."""
        stride, output = spec.stride, spec.output_spatial
        reach = [[k * d for k in range(f)] for f, d in zip(spec.filter, spec.dilation, strict=True)]
        phases = tuple(max(x % s for x in xs) + 1 for xs, s in zip(reach, stride, strict=True))
        in_place = set(stride) == {1} and all(pair == (0, 0) for pair in spec.canonical_padding)
        if in_place:
            size, plane = spec.spatial, prod(spec.spatial)
        else:
            size = tuple(o + xs[-1] // s for o, xs, s in zip(output, reach, stride, strict=True))
            line = ALIGNMENT // spec.itemsize
            plane = round_up(prod(phases) * prod(size), line)
            if plane * spec.itemsize % 4096 == 0:  # channels would fall on the same cache set
                plane += line
        taps = [
            (((t % stride[0] * phases[1] + r % stride[1]) * phases[2] + s % stride[2]) * size[0] + t // stride[0])
            * size[1] * size[2] + r // stride[1] * size[2] + s // stride[2]
            for t in reach[0] for r in reach[1] for s in reach[2]
        ]  # fmt: skip
        pixels = ((output[0] - 1) * size[1] + output[1] - 1) * size[2] + output[2]
        return cls(in_place, phases, size, plane, np.array(taps, np.int64), pixels)  # type: ignore[arg-type]


@njit
def polyphase_pad(begin, end, x, padded, plane, phases, size, stride, before):
    """Fill channels ``begin`` ≤ n·C + c < ``end`` of ``padded`` from x (N·C, D, H, W), zero outside the image; flat."""
    _, depth, height, width = x.shape
    source = x.reshape(x.size)
    for channel in range(begin, end):
        at = channel * plane
        for fd in range(phases[0]):
            for fh in range(phases[1]):
                for fw in range(phases[2]):
                    first = min(size[2], max(0, -((fw - before[2]) // stride[2])))
                    last = max(first, min(size[2], (width - 1 + before[2] - fw) // stride[2] + 1))
                    for d in range(size[0]):
                        i = d * stride[0] + fd - before[0]
                        for h in range(size[1]):
                            j = h * stride[1] + fh - before[1]
                            if i < 0 or i >= depth or j < 0 or j >= height:
                                clear_line(padded, at, size[2])
                            else:
                                start = (
                                    ((channel * depth + i) * height + j) * width + first * stride[2] + fw - before[2]
                                )
                                clear_line(padded, at, first)
                                copy_line(padded, at + first, source, start, stride[2], last - first)
                                clear_line(padded, at + last, size[2] - last)
                            at += size[2]
