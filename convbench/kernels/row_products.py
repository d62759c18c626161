"""F(1 × 4, r × 3) of a plane's rows: which tiles a strip takes, and the kernel over strips of all images and groups.

A strip is a run of vectors of tiles (``kernels/row_tiles.py``). Its inputs are transformed once, for all input channels
of the group, and reach as many tiles further as the filter's rows do; tap r of an output's tile is the tile r·d_h·T
further. Then tiles of vectors × output channels are multiplied and inverted one after the other, while the inputs stay
in L2 and the products of a tile in L1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from convbench.kernels.cache_sets import spread
from convbench.kernels.fetching import fetching
from convbench.kernels.jit import njit
from convbench.kernels.layout import ALIGNMENT, round_up
from convbench.kernels.row_tiles import TILES, F, image_lines, invert_tiles, lines, multiply_tiles, transform_tiles
from convbench.kernels.simd import VECTOR_BYTES, viewed
from convbench.kernels.threads import parallel
from convbench.kernels.ticks import CALL, OFF, mark
from convbench.spec import ConvSpec

TRANSFORM, MULTIPLY = 1, 2  # phases of a strip; what is multiplied is inverted at once
HELD_BYTES = 640 * 1024  # of a strip's transformed inputs: a part of L2
ALPHA = F.alpha
WIDEST = max(width for widths in TILES.values() for width in widths)


class RowPlan(NamedTuple):
    spec: ConvSpec
    threads: int
    vectors: int  # of tiles of a plane
    strip: int  # of them
    pitch: int  # elements of one product's inputs in a channel
    plane: int  # elements from one channel's transformed inputs to the next's
    starts: np.ndarray  # int64: first output channels of the tiles of a group
    offsets: np.ndarray  # int64 (C/G · R,)
    read: np.ndarray  # tables of ``transform_tiles`` …
    written: np.ndarray  # … and ``invert_tiles``
    sizes: np.ndarray  # int64: what the kernel is told
    tasks: int
    scratch: int  # bytes of one thread

    @property
    def outputs(self) -> int:
        """Output channels of a group's tiles."""
        return int(self.starts[-1])


def plan_rows(spec: ConvSpec, lifted: ConvSpec, threads: int, workspace_limit: int | None) -> RowPlan | None:
    """Strips whose inputs L2 holds, as many as the threads want; shorter under a limit, None where none is left."""
    lanes = VECTOR_BYTES // spec.itemsize
    (H, W), (P, Q), (R, _), channels = lifted.spatial, lifted.output_spatial, lifted.filter, lifted.weight_shape[1]
    across = -(-Q // F.m)
    tiles, down = P * across, (R - 1) * lifted.dilation[0] * across
    vectors, span = -(-tiles // lanes), -(-down // lanes)
    most = max(1, HELD_BYTES // (F.alpha * channels * VECTOR_BYTES) - span)
    strips = max(-(-vectors // most), min(vectors, -(-2 * threads // (spec.N * spec.groups))) if threads > 1 else 1)
    while True:
        strip = round_up(-(-vectors // strips), WIDEST) if strips > 1 else vectors
        pitch = round_up(min(strip * lanes, tiles) + down, lanes)
        line = ALIGNMENT // spec.itemsize
        plane = spread(round_up(F.alpha * pitch + lanes, line) // line) * line  # the last vectors may overhang
        elements = channels * plane + F.alpha * max(TILES) * WIDEST * lanes
        scratch = round_up(elements * spec.itemsize, ALIGNMENT)
        if workspace_limit is None or scratch * threads <= workspace_limit:
            break
        if strip <= WIDEST:
            return None
        strips *= 2
    strips = -(-vectors // strip)
    sizes = [channels, spec.K // spec.groups, H * W, P * Q, vectors, strip, pitch, plane, strips]
    offsets = np.arange(channels)[:, None] * plane + np.arange(R) * (lifted.dilation[0] * across)
    read, written = _tables(lifted, across, (strips - 1) * strip + pitch // lanes, lanes)
    return RowPlan(
        spec, threads, vectors, strip, pitch, plane, tile_starts(spec.K // spec.groups),
        offsets.reshape(-1).astype(np.int64), read, written, np.array(sizes, np.int64),
        tasks=spec.N * spec.groups * strips, scratch=scratch,
    )  # fmt: skip


def tile_starts(channels: int) -> np.ndarray:
    """The highest tiles, and a lower one if it holds the rest."""
    starts = [0]
    while starts[-1] < channels:
        left = channels - starts[-1]
        starts.append(starts[-1] + min((height for height in TILES if height >= left), default=max(TILES)))
    return np.array(starts, np.int64)


def _tables(lifted: ConvSpec, across: int, vectors: int, lanes: int) -> tuple[np.ndarray, np.ndarray]:
    """(read, written): of the padded image, from its second column on, in so many vectors of tiles, and of y."""
    (H, W), (P, Q), ((top, _), (left, _)) = lifted.spatial, lifted.output_spatial, lifted.padding
    row, column = np.divmod(np.arange(vectors * lanes * F.m), across * F.m)
    h, w = row - top, column + 1 - left
    image = np.where((h >= 0) & (h < H) & (w >= 0) & (w < W), h * W + w, -1)
    row, column = (some[: round_up(P * across, lanes) * F.m] for some in (row, column))
    output = np.where((row < P) & (column < Q), row * Q + column, -1)
    return image_lines(image, across, lanes), lines(output, lanes)


@njit
def convolve_strips(begin, end, ticks, x, sizes, starts, offsets, read, written, u, bias, y, work):
    """Tasks (n, g, strip), the last fastest. x, y and work flat; u (G, …) as ``pack`` makes it; bias (K,) or empty."""
    mark(ticks, CALL)
    channels_in, channels, plane_in, plane_out, vectors, strip, pitch, plane, strips = (
        sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7], sizes[8],
    )  # fmt: skip
    scratch = viewed(work, x)
    lanes = VECTOR_BYTES // x.itemsize
    groups, filters, terms = len(u), u.size // len(u), len(offsets)
    v, m = scratch[: channels_in * plane], scratch[channels_in * plane :]
    for c in range(channels_in):
        v[c * plane + ALPHA * pitch : (c + 1) * plane] = 0  # what the last product's vectors may read beyond its inputs
    for task in range(begin, end):
        image, part = divmod(task, strips)
        g = image % groups
        first = part * strip
        last = min(vectors, first + strip)
        for c in range(channels_in):
            transform_tiles(x, (image * channels_in + c) * plane_in, read, first, pitch // lanes, v, c * plane, pitch)
        mark(ticks, TRANSFORM)
        whole = strips == 1  # task = image
        fetches = ALPHA * terms * (len(starts) - 1) * ((last - first + WIDEST - 1) // WIDEST)
        ahead, pace = fetching(task, 1, channels_in * plane_in, fetches, x.size if whole else 0)
        at = first
        while at < last:
            left = last - at
            width = 2 if left == 4 else min(left, WIDEST)
            begins = written[at, 1]
            for tile in range(len(starts) - 1):
                k, height = starts[tile], starts[tile + 1] - starts[tile]
                multiply_tiles(height, width, terms, v, (at - first) * lanes, pitch, offsets, u,
                               g * filters + k * (filters // starts[-1]), m, x, ahead, pace, y,
                               (image * channels + k) * plane_out + begins, plane_out)  # fmt: skip
                ahead += ALPHA * terms * pace
                for i in range(min(height, channels - k)):
                    add = bias[g * channels + k + i] if bias.size else y.dtype.type(0)
                    for j in range(width):
                        invert_tiles(m, (i * width + j) * lanes, height * width * lanes, y,
                                     (image * channels + k + i) * plane_out, written, at + j, add)  # fmt: skip
            at += width
        mark(ticks, MULTIPLY)


def convolve(plan: RowPlan, x: Any, u: np.ndarray, bias: Any, y: Any, work: np.ndarray, ticks: Any = OFF) -> None:
    """y = x convolved with the filters that became ``u``, plus bias."""
    flat = y.reshape(-1)
    parallel(convolve_strips, plan.tasks, plan.threads, ticks, x.reshape(-1), plan.sizes, plan.starts, plan.offsets,
             plan.read, plan.written, u, flat[:0] if bias is None else bias, flat,
             private=work.reshape(plan.threads, -1))  # fmt: skip
