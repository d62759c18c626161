"""Overlap-save: where each tile of a dense correlation is read from and written to.

A cyclic correlation of ``size`` pixels with ``taps`` taps agrees with the linear one in its first hop = size − taps + 1
outputs; tiles overlap by taps − 1 pixels and each writes hop outputs (Oppenheim & Schafer, "Discrete-Time Signal
Processing", §8.7.3, turned round for correlation: the wrapped outputs are the last ones, not the first).
Tiles are real; two of them travel as the real and imaginary part of one complex tile, because a real filter keeps the
two apart: ifft((X₀ + i·X₁)·W) = y₀ + i·y₁.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from convbench.kernels.jit import njit
from convbench.kernels.lattice import Lattice, phase, read_line
from convbench.spec import ConvSpec


class Tiling(NamedTuple):
    """Tiles of a 3-D problem whose first dimension has size 1 (lifted 1-D or 2-D): numbered (n, a, ti, tj)."""

    lattice: Lattice
    C: int  # channels of the spec
    K: int
    G: int
    channels: int  # dense channels of one group: C/G · ΠB
    rows: int  # the tile as it is transformed: rows × cols
    cols: int
    line: bool  # the rows are consecutive pieces of one line of rows · cols pixels
    hop_h: int  # outputs of one tile
    hop_w: int
    tiles_h: int  # tiles of one dense image
    tiles_w: int
    tiles: int  # in all

    @classmethod
    def of(cls, spec: ConvSpec, rows: int, cols: int, line: bool) -> Tiling:
        """For a lifted spec; ``rows`` and ``cols`` must hold its dense filter."""
        lattice = Lattice.of(spec)
        _, height, width = lattice.phase_outputs
        high, wide = (1, rows * cols) if line else (rows, cols)
        hop_h, hop_w = high - lattice.taps[1] + 1, wide - lattice.taps[2] + 1
        tiles_h, tiles_w = -(-height // hop_h), -(-width // hop_w)
        channels = spec.weight_shape[1] * lattice.channels
        count = spec.N * lattice.images * tiles_h * tiles_w
        return cls(lattice, spec.C, spec.K, spec.groups, channels, rows, cols, line, hop_h, hop_w, tiles_h, tiles_w,
                   count)  # fmt: skip

    @property
    def pairs(self) -> int:
        """Complex tiles: two real tiles each, the last one perhaps alone."""
        return -(-self.tiles // 2)

    @property
    def positions(self) -> int:
        return self.rows * self.cols

    @property
    def outputs(self) -> int:
        """K outputs of all tiles, those outside the image included."""
        return self.tiles * self.K * prod((self.hop_h, self.hop_w))


@njit
def _place(tiling, tile):
    """(n, output phase, first dense output row and column) of tile number ``tile``."""
    rest, tj = divmod(tile, tiling.tiles_w)
    rest, ti = divmod(rest, tiling.tiles_h)
    phases = tiling.lattice.out_phases
    n, a = divmod(rest, phases[0] * phases[1] * phases[2])
    return n, phase(a, phases), ti * tiling.hop_h, tj * tiling.hop_w


@njit
def read_from(tiling, tile, channel):
    """Where a tile lies in dense channel ``channel`` (all groups): offset of the plane in x, first row and column."""
    lattice = tiling.lattice
    n, a, i, j = _place(tiling, tile)
    phases = lattice.tap_phases
    c, which = divmod(channel, phases[0] * phases[1] * phases[2])
    b = phase(which, phases)
    h = lattice.step[1] * i + lattice.stride[1] * a[1] + lattice.dilation[1] * b[1] - lattice.before[1]
    w = lattice.step[2] * j + lattice.stride[2] * a[2] + lattice.dilation[2] * b[2] - lattice.before[2]
    return (n * tiling.C + c) * lattice.inputs[1] * lattice.inputs[2], h, w


@njit
def read_row(x, plane, height, width, h, w, step, target, at, count):
    """target[at + j] = pixel (h, w + j·step) of the plane at ``plane`` in x (flat), 0 outside it; for 0 ≤ j < count."""
    read_line(x, plane + h * width, w, step, width if 0 <= h < height else 0, target, at, count)


@njit
def write_to(tiling, tile):
    """Where a tile's outputs go in channel 0 of y: (offset of the first, rows, columns); a line has one row."""
    if tile >= tiling.tiles:
        return 0, 0, 0
    n, a, i, j = _place(tiling, tile)
    _, height, width = tiling.lattice.outputs
    _, step_h, step_w = tiling.lattice.out_phases
    start = (n * tiling.K * height + i * step_h + a[1]) * width + j * step_w + a[2]
    rows = min(tiling.hop_h, _phase_size(tiling, 1, a[1]) - i)
    return start, max(0, rows), max(0, min(tiling.hop_w, _phase_size(tiling, 2, a[2]) - j))


@njit
def _phase_size(tiling, axis, a):
    """Outputs of phase ``a``: those p = A·i + a below the output's size."""
    phases = tiling.lattice.out_phases[axis]
    return (tiling.lattice.outputs[axis] - a + phases - 1) // phases
