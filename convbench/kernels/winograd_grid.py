"""How Winograd's tiles are divided into blocks, and where a block lies in scratch."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from convbench.kernels.gemm import PAIR, VECTORS, panel_width
from convbench.kernels.layout import round_up
from convbench.kernels.simd import VECTOR_BYTES
from convbench.kernels.winograd import Transform
from convbench.spec import ConvSpec

CHUNK = 16  # tiles inverted at a time, or a vector of pixels
DEPTH = (1 << 14) // (VECTORS * VECTOR_BYTES)  # channels summed at a time: L1 keeps their U for all tiles of a block


class Grid(NamedTuple):
    """The tiles of a problem, how blocks divide them, and where a block lies in scratch. Steps are in elements.

    Scratch of one thread: V (ξ, C/G, tiles) with steps v_step and step; M (panel, ξ, tiles, NR) with step m_step
    between ξ; then one channel's input, split by tile element (s_h·m_h, α_w, strips, columns), or a chunk's pixels.
    """

    groups: int
    channels: int  # C/G
    outputs: int  # K/G
    row_phases: int  # A
    tile_rows: int  # T_h
    tile_columns: int  # T_w
    strips: int  # N · A · T_h
    columns: int  # min(d_w, Q) · T_w
    block_strips: int
    block_columns: int
    dilation_h: int
    dilation_w: int
    top: int  # leading padding
    left: int
    step: int
    v_step: int
    m_step: int
    element: int  # one element of every tile of a run, further strips of input and an overhanging vector included
    pixel_row: int  # one row of a chunk's pixels, L channels each

    depth: int  # channels that are summed at a time
    panels: int  # panels of output channels that a unit multiplies while each V_ξ is in cache
    scratch: int  # elements that one thread wants in all

    @classmethod
    def of(cls, spec: ConvSpec, rows: Transform, columns: Transform, tiles: int, panels: int) -> Grid:
        """The grid of a two-dimensional problem: equal blocks of about ``tiles``, whole strips where they fit."""
        lanes = VECTOR_BYTES // spec.itemsize
        phases_h, phases_w = (min(d, p) for d, p in zip(spec.dilation, spec.output_spatial, strict=True))
        tile_rows, tile_columns = (
            -(-p // (d * f.m)) for p, d, f in zip(spec.output_spatial, spec.dilation, (rows, columns), strict=True)
        )
        strips, across = spec.N * phases_h * tile_rows, phases_w * tile_columns
        block_columns = equal_share(across, tiles)
        block_strips = equal_share(strips, max(1, tiles // block_columns))
        channels = spec.weight_shape[1]
        step = round_up(block_strips * block_columns, lanes)
        v_step = channels * step + lanes  # room for an overhanging vector; ξ apart by no multiple of 4096 bytes
        m_step = block_strips * block_columns * panel_width(spec.np_dtype) + lanes
        run = min(block_strips, tile_rows), min(block_columns, tile_columns)
        element = (run[0] + (rows.alpha - 1) // rows.step) * run[1] + lanes
        pixel_row = round_up(max(CHUNK * columns.m, lanes), lanes) * lanes
        split = rows.step * columns.alpha * element
        return cls(
            groups=spec.groups,
            channels=channels,
            outputs=spec.K // spec.groups,
            row_phases=phases_h,
            tile_rows=tile_rows,
            tile_columns=tile_columns,
            strips=strips,
            columns=across,
            block_strips=block_strips,
            block_columns=block_columns,
            dilation_h=spec.dilation[0],
            dilation_w=spec.dilation[1],
            top=spec.padding[0][0],
            left=spec.padding[1][0],
            step=step,
            v_step=v_step,
            m_step=m_step,
            element=element,
            pixel_row=pixel_row,
            scratch=rows.alpha * columns.alpha * (v_step + panels * m_step) + max(split, rows.m * pixel_row),
            depth=equal_share(channels, DEPTH),
            panels=panels,
        )

    @property
    def blocks(self) -> int:
        """Blocks of each group."""
        return -(-self.strips // self.block_strips) * -(-self.columns // self.block_columns)

    @property
    def multiplied(self) -> int:
        """Rows of each ξ's matrix products, of all blocks of a group together."""
        heights, widths = shares(self.strips, self.block_strips), shares(self.columns, self.block_columns)
        return sum(i * j * round_up(height * width, PAIR) for height, i in heights for width, j in widths)

    def record(self) -> np.ndarray:
        """What kernels get: one record of int64 fields, which Numba unboxes as a single pointer."""
        return np.array([self], [(name, np.int64) for name in self._fields])


def equal_share(total: int, most: int) -> int:
    """The size of nearly equal shares of ``total``, each at most ``most``."""
    return -(-total // -(-total // most))


def shares(total: int, size: int) -> list[tuple[int, int]]:
    """(size, how many) of the parts of ``total`` when all but the last have ``size``."""
    return [(size, total // size), (total % size, 1 if total % size else 0)]
