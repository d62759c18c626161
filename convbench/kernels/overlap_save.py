"""Overlap-save: where each tile of a dense correlation is read from and written to.

A cyclic correlation of ``size`` pixels with ``taps`` taps agrees with the linear one in its first hop = size − taps + 1
outputs; tiles overlap by taps − 1 pixels and each writes hop outputs (Oppenheim & Schafer, "Discrete-Time Signal
Processing", §8.7.3, turned round for correlation: the wrapped outputs are the last ones, not the first).
Tiles are real; two of them travel as the real and imaginary part of one complex tile, because a real filter keeps the
two apart: ifft((X₀ + i·X₁)·W) = y₀ + i·y₁.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from convbench.kernels.lattice import Lattice
from convbench.spec import ConvSpec


class Tiling(NamedTuple):
    """Tiles of a 3-D problem whose first dimension has size 1 (lifted 1-D or 2-D), numbered (n, a, ti, tj)."""

    lattice: Lattice
    N: int
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

    @classmethod
    def of(cls, spec: ConvSpec, rows: int, cols: int, line: bool) -> Tiling:
        """For a lifted spec; the tile must hold its dense filter."""
        lattice = Lattice.of(spec)
        _, height, width = lattice.phase_outputs
        high, wide = (1, rows * cols) if line else (rows, cols)
        hop_h, hop_w = high - lattice.taps[1] + 1, wide - lattice.taps[2] + 1
        channels = spec.weight_shape[1] * lattice.channels
        return cls(lattice, spec.N, spec.C, spec.K, spec.groups, channels, rows, cols, line, hop_h, hop_w,
                   -(-height // hop_h), -(-width // hop_w))  # fmt: skip

    @property
    def tiles(self) -> int:
        return self.N * self.lattice.images * self.tiles_h * self.tiles_w

    @property
    def pairs(self) -> int:
        """Complex tiles: two real tiles each, the last one perhaps alone."""
        return -(-self.tiles // 2)

    def tables(self) -> Tables:
        images, channels = self.lattice.reads(self.N, self.C)
        outputs = self.lattice.writes(self.N, self.K)
        i, j = np.indices((self.tiles_h, self.tiles_w)) * np.array([self.hop_h, self.hop_w])[:, None, None]
        _, step_h, step_w = self.lattice.step
        _, A_h, A_w = self.lattice.out_phases
        reads = np.empty((len(images), *i.shape, 3), np.int64)
        writes = np.empty_like(reads)
        for read, write, image, output in zip(reads, writes, images, outputs, strict=True):
            read[..., 0], read[..., 1], read[..., 2] = image[0], image[2] + step_h * i, image[3] + step_w * j
            write[..., 0] = output[0] + i * A_h * self.lattice.outputs[2] + j * A_w
            write[..., 1], write[..., 2] = output[2] - i, output[3] - j
        np.clip(writes[..., 1:], 0, (self.hop_h, self.hop_w), out=writes[..., 1:])
        writes[..., 2][writes[..., 1] == 0] = 0  # of a phase without outputs
        return Tables(reads.reshape(-1, 3), np.ascontiguousarray(channels[:, [0, 2, 3]]), writes.reshape(-1, 3))


class Tables(NamedTuple):
    """Where every tile reads x and writes y, both flat; int64, C-contiguous."""

    reads: np.ndarray  # (tiles, 3): offset, first row, first column
    channels: np.ndarray  # (G·channels, 3): the same, to be added for a dense channel
    writes: np.ndarray  # (tiles, 3): first element in channel 0, rows and columns of outputs; a line has one row
