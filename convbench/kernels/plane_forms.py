"""Depthwise problems as ``kernels/plane_stencil.py`` takes them: sizes, what a tile is compiled for, taps in chains.

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

ROWS = 7  # of any other tile: divides 112, 56, 28, 14 and 7
WIDTH = (
    2 if VECTOR_BYTES == 64 else 1
)  # vectors of a tile: 14 or 7 sums, a chain's weights and pixels fit the registers
LARGEST = 7  # rows and columns of a filter that has code of its own
HEIGHTS = 4, 6, 7, 8, 10, 12, 14  # rows of a tile of one vector, whose taps go row by row
OUTSIDE = -(1 << 40)  # a row that no image has

Count = tuple[int, ...]
"""So many zeros: a kernel is compiled for a tuple's length."""


class Geometry(NamedTuple):
    """What the kernel knows of a lifted (3-D) problem, as int64 in this order; rows are those of a plane."""

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
    dilation: int
    down: int  # rows of x from one of a chain to the next: B · dilation
    before: int  # padding
    left: int  # padding of columns
    S: int
    column_step: int  # dilation of columns
    rows: int  # of y in a task
    bands: int  # tasks of an output plane
    lengths: int  # different lengths of chains
    chains: int  # of one output plane


FIELDS = len(Geometry._fields)


class Form(NamedTuple):
    """What a tile is compiled for, each number as a tuple's length."""

    height: Count  # rows of a tile
    width: Count  # vectors of a tile
    stride: Count  # of columns, 1 or 2
    B: Count  # none where taps go by chains
    R: Count  # rows of a filter whose taps go row by row; none where they go by chains
    S: Count  # its columns
    chains: tuple[Count, ...]  # their lengths, longest first; none where taps go row by row
    channels: Count  # that share a vector: two where a row fills half of one
    shifted: Count  # one where a row is read once and shifted in registers, else none


def lengths(taps: int) -> list[int]:
    """Chains for so many taps: one of up to 5, else of 4 and 3. More lengths would be more to compile."""
    if taps in (1, 2, 5):
        return [taps]
    threes = -taps % 4
    return [4] * ((taps - 3 * threes) // 4) + [3] * threes


@lru_cache(maxsize=256)
def chains(spec: ConvSpec) -> dict[int, list[tuple[int, list[int]]]]:
    """Length, the longest first -> (slice, rows) of each chain of a lifted problem's taps."""
    found: dict[int, list[tuple[int, list[int]]]] = {}
    for t in range(spec.filter[0]):
        for b in range(min(apart(spec)[1], spec.filter[1])):
            rows = list(range(b, spec.filter[1], apart(spec)[1]))
            for length in lengths(len(rows)):
                found.setdefault(length, []).append((t, rows[:length]))
                rows = rows[length:]
    return dict(sorted(found.items(), reverse=True))


def apart(spec: ConvSpec) -> tuple[int, int]:
    """A and B of the rows."""
    common = gcd(spec.stride[1], spec.dilation[1])
    return spec.dilation[1] // common, spec.stride[1] // common


def by_rows(spec: ConvSpec) -> bool:
    """Whether taps go row by row of the image rather than by chains: a small filter in two dimensions."""
    two = spec.spatial[0] == spec.filter[0] == spec.output_spatial[0] == 1 and spec.padding[0][0] == 0
    return two and max(spec.filter) <= LARGEST and apart(spec)[1] <= 2 and 1 in (spec.stride[2], spec.dilation[2])


def form(spec: ConvSpec) -> Form:
    """The code for a lifted problem."""
    (_, R, S), (_, P, Q), (A, B) = spec.filter, spec.output_spatial, apart(spec)
    short, rows = Q * spec.itemsize <= VECTOR_BYTES, by_rows(spec)
    shifted = rows and spec.dilation[2] == 1
    pairs = shifted and 2 * Q * spec.itemsize <= VECTOR_BYTES and spec.K > 1
    height = tile_height(-(-P // A)) if short and rows else ROWS
    return Form(
        height=(0,) * height, width=(0,) * (1 if short else WIDTH), stride=(0,) * spec.stride[2],
        B=(0,) * B if rows else (), R=(0,) * R if rows else (), S=(0,) * S if rows else (),
        chains=() if rows else tuple((0,) * length for length in chains(spec)),
        channels=(0,) * (2 if pairs else 1), shifted=(0,) * shifted,
    )  # fmt: skip


def channels(spec: ConvSpec) -> int:
    """That share a vector."""
    return len(form(spec).channels)


def tile_height(rows: int) -> int:
    """Of the heights with code of their own, the highest of those that leave the fewest rows of tiles empty."""
    return min(HEIGHTS, key=lambda height: (-(-rows // height) * height, -height))


def order(spec: ConvSpec) -> np.ndarray:
    """Of one filter's taps: as they lie, or chain by chain, column by column, along the chain."""
    _, R, S = spec.filter
    if by_rows(spec):
        return np.arange(R * S)
    ordered = [chain for some in chains(spec).values() for chain in some]
    return np.array([(t * R + r) * S + s for t, rows in ordered for s in range(S) for r in rows], np.int64)


def numbers(spec: ConvSpec, threads: int) -> np.ndarray:
    """int64: the :class:`Geometry`; how many chains have each length; for each output plane and chain two numbers.

    These are, of its first tap, the row relative to the output's own, and the first row of its slice. A plane's rows
    are cut into bands where there are too few planes for the threads.
    """
    (D, H, W), (O, P, Q), (A, B) = spec.spatial, spec.output_spatial, apart(spec)
    planes, shares = max(1, spec.N * spec.K * O), 4 * threads if threads > 1 else 1
    rows = min(P, round_up(-(-P // -(-shares // planes)), A * len(form(spec).height)))
    found = {} if by_rows(spec) else chains(spec)
    ordered = [chain for some in found.values() for chain in some]
    g = Geometry(
        multiplier=spec.K // spec.C, outputs=spec.K, x_channel=D * H * W, H=H, W=W, O=O, P=P, Q=Q, A=A,
        stride=spec.stride[1], dilation=spec.dilation[1], down=B * spec.dilation[1], before=spec.padding[1][0],
        left=spec.padding[2][0], S=spec.filter[2], column_step=spec.dilation[2], rows=rows, bands=-(-P // rows),
        lengths=len(found), chains=len(ordered),
    )  # fmt: skip
    first = np.empty((O, len(ordered), 2), np.int64)
    for o in range(O):
        for i, (t, taps) in enumerate(ordered):
            d = o * spec.stride[0] + t * spec.dilation[0] - spec.padding[0][0]
            first[o, i] = (taps[0] * spec.dilation[1], d * H) if 0 <= d < D else (OUTSIDE, 0)
    return np.concatenate([np.array([*g, *map(len, found.values())], np.int64), first.reshape(-1)])
