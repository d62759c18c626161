"""The forms of a 1×1 product: which kernel, how filters are packed for it, in what order it goes through its loops.

What they reckon with are bytes: what a tile, a step or all of a product reads and writes, against the caches' sizes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from convbench.kernels import channel_product, plane_product, row_product, vector_product
from convbench.kernels.gemm import PAIR, TILE_ROWS, VECTORS, panel_width
from convbench.kernels.layout import ALIGNMENT, round_up
from convbench.kernels.packing import pack, tile_starts
from convbench.kernels.simd import VECTOR_BYTES
from convbench.kernels.stencil import lanes_of
from convbench.spec import ConvSpec

TURN_CYCLES = 230  # to turn a square of vectors round, in multiply-adds of one vector
LONG, FEW = 16, 24  # vectors of a filter, and tiles of them, that cost least where they are read as they lie
SHORT_ROW, NEAR_BYTES = 2048, 1 << 20  # bytes of a plane, or of all, up to which a tile of pixels meets all channels
MIDDLING_BYTES = 3 << 20  # up to which it does if planes are longer: runs of tiles are short
FAR_BYTES = 3 << 19  # from which on the L2 cache does not hold what is read and written
FORESEEN = 40  # rows that the hardware follows by itself, about
GATHERED_BYTES = 448 << 10  # of pixels gathered at a time, which stay there, too
DEEP = 64  # channels at a time, at least, to gather them so
AS_IT_LIES = 0, 0, 0, 0  # rows of an image from which nothing is gathered
SUMS_BYTES = 1 << 20  # of sums of a set of images, which stay in the L2 cache while all filters pass by once
TASKS = 4  # a thread, so that equal counts of them are equal work


class Form(NamedTuple):
    """A way to run the product: its kernel, how its filters are packed, and what the kernel needs to know."""

    kernel: Callable[..., None]
    starts: np.ndarray | None  # ``packing``'s tiles; None: filters as they lie
    depth: int  # input channels packed together
    tasks: int
    sizes: np.ndarray  # the kernel's int64 arguments: G, C, K, …
    scratch: int  # elements a thread
    work: int  # multiply-adds of one vector

    def pack(self, weight: np.ndarray, threads: int = 1) -> np.ndarray:
        """Filters (G·K, C, …) as the kernel takes them, flat."""
        if self.starts is None:
            return weight.reshape(-1)
        return pack(weight.reshape(self.sizes[0], self.sizes[2], -1), self.starts, self.depth, threads)


def read_once(spec: ConvSpec) -> Form:
    """Nothing is packed where it pays little: sums added across the lanes cost most for many short filters."""
    as_it_lies = rows(spec)
    few = as_it_lies.tasks <= FEW or spec.weight_shape[1] >= LONG * lanes_of(spec.np_dtype)
    return as_it_lies if few else vector(spec)


def vector(spec: ConvSpec) -> Form:
    G, K, C, lanes = spec.groups, spec.K // spec.groups, spec.C // spec.groups, lanes_of(spec.np_dtype)
    starts = vector_product.panel_starts(K, spec.np_dtype)
    vectors = starts // lanes
    sizes = np.array([G, C, K, lanes, *vectors], np.int64)
    return Form(vector_product.multiply_vector, starts, C, G * (len(starts) - 1), sizes, 0, G * C * int(vectors[-1]))


def rows(spec: ConvSpec) -> Form:
    G, K, C, lanes = spec.groups, spec.K // spec.groups, spec.C // spec.groups, lanes_of(spec.np_dtype)
    height = min(row_product.ROWS, lanes)
    tiles = -(-K // height)
    sizes = np.array([G, C, K, height], np.int64)
    return Form(row_product.multiply_rows, None, C, G * tiles, sizes, 0, G * tiles * height * -(-C // lanes))


def planes(
    spec: ConvSpec,
    images: int,
    pixels: int,
    x_step: int,
    threads: int,
    limit: int | None,
    rows: tuple[int, int, int, int] = AS_IT_LIES,
) -> Form:
    """``limit``: most bytes of panels for all threads, within which depth and runs are made smaller.

    rows: H, W, stride along H and P of an image whose pixels are gathered on one thread as they are needed.
    """
    G, K, C, lanes = spec.groups, spec.K // spec.groups, spec.C // spec.groups, lanes_of(spec.np_dtype)
    starts = plane_product.tile_starts(K)
    vectors, blocks = -(-pixels // lanes), len(starts) - 1
    room = plane_product.PANEL_BYTES if limit is None else limit // threads // ALIGNMENT * ALIGNMENT
    most, gathers = min(plane_product.PANEL_BYTES, room), rows != AS_IT_LIES
    if gathers:  # a channel takes its row of the panel and a plane
        widest = plane_product.WIDTH * VECTOR_BYTES
        room = GATHERED_BYTES if limit is None else min(limit, GATHERED_BYTES)
        most = room // (widest + x_step * spec.itemsize) * widest
    tiles = -(-plane_product.most_vectors(pixels, lanes) // plane_product.WIDTH)
    depth = plane_product.depth_block(C, most)
    panel = depth * plane_product.WIDTH * lanes
    row = pixels * spec.itemsize
    nbytes = images * G * (C + K) * row
    far = nbytes + G * K * C * spec.itemsize > FAR_BYTES
    short = SHORT_ROW if images == 1 else SHORT_ROW // 2  # with many images all of them come from beyond L2
    chunk, run = blocks, tiles
    if row > short and nbytes > NEAR_BYTES and not gathers:
        chunk = blocks if nbytes <= MIDDLING_BYTES else min(blocks, plane_product.CHUNK)
        run = max(1, min(tiles, most // (panel * spec.itemsize)))
    elif C * K * spec.itemsize <= NEAR_BYTES // 2 and not (far or gathers):
        run = 1
    wanted = TASKS * threads if threads > 1 else 1
    together = 1
    if run == tiles and C * K * spec.itemsize > NEAR_BYTES // 2:
        together = divisor(images, SUMS_BYTES // (K * row))
    run = max(1, min(run, images * G * tiles // (together * wanted)))
    runs = -(-tiles // run)
    parts = max(1, min(blocks, -(-wanted * together // (images * G * runs))))
    panel_step = 0 if chunk == blocks else panel
    asks = far and parts == 1 and (gathers or depth > FORESEEN)
    sizes = np.array([G, C, K, pixels, x_step, depth, runs, parts, chunk, panel_step, together, asks,
                      *rows, blocks, *starts], np.int64)  # fmt: skip
    work = images * G * C * int(starts[-1]) * vectors
    scratch = (-(-tiles // runs) * panel if panel_step else panel) + gathers * depth * x_step
    tasks = images // together * G * runs * parts
    return Form(plane_product.multiply_planes, starts, depth, tasks, sizes, scratch, work)


def divisor(count: int, most: int) -> int:
    """The largest divisor of ``count`` that is at most ``most``, or 1."""
    return next(n for n in range(max(1, min(count, most)), 0, -1) if count % n == 0)


def channels(spec: ConvSpec, images: int, pixels: int, x_step: int, columns: bool, threads: int) -> Form:
    G, K, C, lanes = spec.groups, spec.K // spec.groups, spec.C // spec.groups, lanes_of(spec.np_dtype)
    panels, tiles = -(-K // (VECTORS * lanes)), -(-pixels // TILE_ROWS)
    runs = -(-pixels // channel_product.RUN)
    if threads > 1:
        runs = min(tiles, max(runs, -(-TASKS * threads // (images * G * panels))))
    y_step, plane = (spec.K, 1) if columns else (1, pixels)
    together = divisor(images, NEAR_BYTES // (G * C * x_step * spec.itemsize))
    far = y_step == 1 and spec.min_bytes > NEAR_BYTES
    sizes = np.array([G, C, K, pixels, x_step, runs, lanes, y_step, plane, together, far], np.int64)
    work = images * G * panels * VECTORS * (C * round_up(pixels, PAIR) + tiles * TURN_CYCLES)
    starts = tile_starts(K, panel_width(spec.np_dtype))
    return Form(channel_product.multiply_channels, starts, C, images * G * panels * runs, sizes,
                -(-pixels // runs) * VECTORS * lanes, work)  # fmt: skip
