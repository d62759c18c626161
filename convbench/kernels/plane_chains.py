"""Depthwise problems as ``kernels/plane_stencil.py`` takes them: sizes, and taps in chains of filter rows.

With A = dilation / g, B = stride / g, g = gcd(stride, dilation) of the rows, output rows A apart read, for taps r and
r + B, the same input row (``kernels/lattice.py`` has the proof): a chain of taps r, r + B, r + 2·B, … serves that many
output rows from one vector of pixels.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import NamedTuple

import numpy as np

from convbench.kernels.layout import round_up
from convbench.kernels.simd import VECTOR_BYTES
from convbench.spec import ConvSpec

ROWS = 7  # of a tile: divides 112, 56, 28, 14 and 7
TALL = 2 * ROWS  # of a tile of single vectors, where a row is no longer than that
WIDTH = (
    2 if VECTOR_BYTES == 64 else 1
)  # vectors of a tile: 14 or 7 sums, a chain's weights and pixels fit the registers
OUTSIDE = -(1 << 40)  # a row that no image has


class Geometry(NamedTuple):
    """What the kernel knows of a lifted (3-D) problem, as one int64 array in this order; rows are those of a plane."""

    multiplier: int  # K / C
    outputs: int  # K
    x_channel: int  # elements of x
    H: int
    W: int
    O: int
    P: int
    Q: int
    A: int
    stride: int
    before: int  # padding
    left: int  # padding of columns
    step: int  # rows of x from one row of a tile to the next: B · dilation
    S: int
    column_step: int  # dilation of columns
    rows: int  # of y in a task
    bands: int  # tasks of an output plane
    chains: int  # of one output plane


class Chains(NamedTuple):
    """``counts``: chains of each length, longest first, as (count, 0, …), an entry a tap: the type tells the length.

    ``order`` (taps,) of one filter: chain by chain, column by column, along the chain. ``first`` (O, chains, 2) flat:
    of a chain's first tap, the row relative to the output's own, and of its slice, the first row.
    """

    order: np.ndarray
    first: np.ndarray
    counts: tuple[tuple[int, ...], ...]


def lengths(taps: int) -> list[int]:
    """Chains for so many taps: one of up to 5, else of 4 and 3. More lengths would be more to compile."""
    if taps in (1, 2, 5):
        return [taps]
    threes = -taps % 4
    return [4] * ((taps - 3 * threes) // 4) + [3] * threes


@lru_cache(maxsize=256)
def chains(spec: ConvSpec) -> Chains:
    """A lifted problem's taps."""
    (T, R, S), D, H = spec.filter, *spec.spatial[:2]
    B = spec.stride[1] // gcd(spec.stride[1], spec.dilation[1])
    found: dict[int, list[tuple[int, list[int]]]] = {}
    for t in range(T):
        for b in range(min(B, R)):
            rows = list(range(b, R, B))
            for length in lengths(len(rows)):
                found.setdefault(length, []).append((t, rows[:length]))
                rows = rows[length:]
    ordered = [chain for length in sorted(found, reverse=True) for chain in found[length]]
    first = np.empty((spec.output_spatial[0], len(ordered), 2), np.int64)
    for o in range(len(first)):
        for i, (t, rows) in enumerate(ordered):
            d = o * spec.stride[0] + t * spec.dilation[0] - spec.padding[0][0]
            first[o, i] = (rows[0] * spec.dilation[1], d * H) if 0 <= d < D else (OUTSIDE, 0)
    return Chains(
        np.array([(t * R + r) * S + s for t, rows in ordered for s in range(S) for r in rows], np.int64),
        first.reshape(-1),
        tuple((len(found[length]), *[0] * (length - 1)) for length in sorted(found, reverse=True)),
    )


def geometry(spec: ConvSpec, threads: int) -> Geometry:
    """A lifted problem's numbers; its planes are cut into bands of rows where there are too few for the threads."""
    (D, H, W), (O, P, Q) = spec.spatial, spec.output_spatial
    (_, sh, _), (_, dh, dw) = spec.stride, spec.dilation
    A, B = dh // gcd(sh, dh), sh // gcd(sh, dh)
    planes, shares = spec.N * spec.K * O, 4 * threads if threads > 1 else 1
    cuts = -(-shares // planes) if planes else 1
    rows = min(P, round_up(-(-P // cuts), A * TALL))
    return Geometry(
        multiplier=spec.K // spec.C, outputs=spec.K, x_channel=D * H * W, H=H, W=W, O=O, P=P, Q=Q, A=A, stride=sh,
        before=spec.padding[1][0], left=spec.padding[2][0], step=B * dh, S=spec.filter[2], column_step=dw, rows=rows,
        bands=-(-P // rows), chains=chains(spec).first.size // (2 * O),
    )  # fmt: skip
