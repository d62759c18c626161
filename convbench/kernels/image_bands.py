"""Depthwise problems as ``kernels/image_stencil.py`` takes them: sizes, tiles of rows, filters in blocks of taps.

With p = a + A·i, A = dilation / g, B = stride / g, g = gcd(stride, dilation), the rows of taps r and r + B are one
output row apart (``kernels/lattice.py`` has the proof): blocks exist for every stride and dilation of rows, and the
n-th row of pixels under a tile is the image's row h₀ + n·dilation. Columns have any dilation, and stride 1 or 2.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd, prod
from typing import NamedTuple

import numpy as np

from convbench.kernels.layout import round_up
from convbench.kernels.simd import VECTOR_BYTES
from convbench.spec import ConvSpec

ROWS = 7  # divides 112, 56, 28, 14 and 7; 7·2 accumulators, 4 weights and pixels fit 32 registers
WIDTH = 2 if VECTOR_BYTES == 64 else 1  # vectors a tile; 7·1, 4 and pixels fit the 16 registers of narrower hosts
LENGTHS = {1: (4, 3, 2, 1), 3: (3, 2, 1)}  # taps down, by taps across


class Geometry(NamedTuple):
    """What the kernel knows of a lifted (3-D) depthwise problem, as one int64 array in this order; in elements."""

    multiplier: int  # K / C
    outputs: int  # K
    x_plane: int  # one channel of x
    y_plane: int
    W: int
    Q: int
    stride: int  # of columns, as ``before`` and ``reach``
    before: int  # padding
    reach: int  # (S − 1)·dilation
    across: int  # filter columns of one block: filters 3 columns wide take theirs at once
    B: int  # table rows from one row of a tile to the next
    y_step: int  # A·Q: from one row of a tile to the next
    slices: int  # T
    table: int  # rows of pixels under one tile, in one slice of the filter
    row_step: int  # from one row of the table to the next
    bands: int  # tiles of rows of one output channel
    zeros: int  # the row of zeros: every column that a tile may read

    @classmethod
    def of(cls, spec: ConvSpec) -> Geometry:
        (T, R, S), (_, dh, dw), (_, sh, sw) = spec.filter, spec.dilation, spec.stride
        (O, P, Q), W = spec.output_spatial, spec.spatial[2]
        lanes = VECTOR_BYTES // spec.itemsize
        A, B = dh // gcd(sh, dh), sh // gcd(sh, dh)
        reach = (S - 1) * dw
        return cls(
            multiplier=spec.K // spec.C, outputs=spec.K, x_plane=prod(spec.spatial), y_plane=O * P * Q, W=W, Q=Q,
            stride=sw, before=spec.padding[2][0], reach=reach, across=3 if (S, dw) == (3, 1) else 1, B=B, y_step=A * Q,
            slices=T, table=(ROWS - 1) * B + R, row_step=dh * W,
            bands=O * sum(-(-len(range(a, P, A)) // ROWS) for a in range(min(A, P))),
            zeros=round_up((round_up(Q, lanes) + WIDTH * lanes) * sw + reach, lanes),
        )  # fmt: skip


@lru_cache(maxsize=64)
def bands(spec: ConvSpec) -> np.ndarray:
    """(bands, 3 + 3·T) int64 of a lifted problem: every tile of rows of one channel.

    (start in the output channel, output rows, start of the last row of pixels or −1; then for each slice of the filter
    the start of the table's row 0, perhaps outside the image, and low, high: rows low … high − 1 lie in it).
    """
    (D, H, W), (O, P, Q), (T, R, _) = spec.spatial, spec.output_spatial, spec.filter
    (sd, sh, _), (dd, dh, _), (before_d, before_h, _) = spec.stride, spec.dilation, (b for b, _ in spec.padding)
    A, B = dh // gcd(sh, dh), sh // gcd(sh, dh)
    p = np.concatenate([np.arange(a, P, A * ROWS) for a in range(min(A, P))])
    rows = np.minimum(ROWS, -(-(P - p) // A))
    h = p * sh - before_h
    low = np.maximum(0, -(h // dh))
    high = np.maximum(low, np.minimum((rows - 1) * B + R, -((h - H) // dh)))
    found = np.empty((O, len(p), 3 + 3 * T), np.int64)
    for o in range(O):
        found[o, :, 0], found[o, :, 1], found[o, :, 2] = (o * P + p) * Q, rows, -1
        for t in range(T):
            d = o * sd + t * dd - before_d
            start, top = (d * H + h) * W, high if 0 <= d < D else low
            found[o, :, 3 + 3 * t], found[o, :, 4 + 3 * t], found[o, :, 5 + 3 * t] = start, low, top
            last = np.where(top > low, start + (top - 1) * dh * W, -1)
            found[o, :, 2] = np.maximum(found[o, :, 2], last)
    return found.reshape(-1, 3 + 3 * T)


class Blocks(NamedTuple):
    """The filter's taps in the order ``_tile`` takes them: weights[…, order], rows, shifts, counts of its contract."""

    order: np.ndarray
    rows: np.ndarray
    shifts: np.ndarray
    counts: tuple[int, ...]


@lru_cache(maxsize=256)
def blocks(spec: ConvSpec) -> Blocks:
    """The taps of a lifted problem's whole filter, in row-major order, as blocks."""
    geometry, (T, R, S), dilation = Geometry.of(spec), spec.filter, spec.dilation[2]
    B, across = geometry.B, geometry.across
    longest = LENGTHS[across][0]
    found: dict[int, list[tuple[int, int, list[int]]]] = {length: [] for length in LENGTHS[across]}
    for t in range(T):
        for s in range(0, S, across):
            for b in range(min(B, R)):
                run = list(range(b, R, B))
                while run:
                    length = len(run) if len(run) <= longest else 3 if len(run) <= 6 else longest
                    taps = [(t * R + r) * S + s + c for r in run[:length] for c in range(across)]
                    found[length].append((t * geometry.table + run[0], s * dilation, taps))
                    run = run[length:]
    ordered = [block for length in LENGTHS[across] for block in found[length]]
    return Blocks(
        np.array([tap for _, _, taps in ordered for tap in taps], np.int64),
        np.array([row for row, _, _ in ordered], np.int64),
        np.array([shift for _, shift, _ in ordered], np.int64),
        tuple(len(found[length]) for length in LENGTHS[across]),
    )
