"""A Winograd convolution as one kernel over blocks of tiles: transform, multiply, invert while a block is in cache.

A strip is a row of tiles. Strip σ = (n·A + a)·T_h + t_h is tile row t_h of row phase a of image n: dilation d_h makes
A = min(d_h, P) dense problems of every d_h-th row. Column κ = b·T_w + t_w of a strip is tile t_w of column phase b.
A block is a rectangle of strips × columns. It falls into runs, rectangles within one image and one row and column
phase; its tiles are numbered run by run, along the strips within a run. A unit of work is (group, block of strips,
block of columns, panels of output channels), the last fastest.
"""

from __future__ import annotations

from convbench.kernels.gemm import VECTORS, brgemm
from convbench.kernels.jit import njit
from convbench.kernels.simd import VECTOR_BYTES
from convbench.kernels.ticks import CALL, mark
from convbench.kernels.transpose import store_transposed
from convbench.kernels.winograd_code import invert_tile, split_line, transform_tiles

TRANSFORM, MULTIPLY, INVERT = 1, 2, 3  # phases of a unit


@njit
def transform_filters(begin, end, nested, panels, u):
    """U[panel, ξ, c, n] = (G w Gᵀ)_ξ of panels ``begin`` … ``end`` − 1: a brgemm a channel, ξ its rows, taps its depth.

    nested (R·S, products) flat: (G_h ⊗ G_w)ᵀ; panels (G, panels, C/G·R·S, NR): the filters packed, u (G, panels, ξ,
    C/G, NR), panels of all groups counted through.
    """
    _, _, products, channels, width = u.shape
    taps = nested.size // products
    filters, result = panels.reshape(panels.size), u.reshape(u.size)
    for panel in range(begin, end):
        for c in range(channels):
            brgemm(products, taps, 1, nested, 0, None, products, filters, (panel * channels + c) * taps * width, None,
                   result, (panel * products * channels + c) * width, channels * width, False)  # fmt: skip


@njit
def transform_block(rows, columns, grid, group, block, x, v, split):
    """v[ξ·v_step + c·step + tile] = Bᵀ d B for the block's tiles and all channels of the group.

    rows, columns: ``winograd_code.sized``; block (σ₀, σ₁, κ₀, κ₁); x (N, C, H, W), zero outside the image. Each row of
    the input that a run reads is split by tile element once; then L tiles of the run at a time are transformed. Their
    vectors overhang the run, over tiles and channels that are written later.
    """
    _, C, H, W = x.shape
    image = x.reshape(x.size)
    step_h, step_w = len(rows[0]) * len(rows[2]), len(columns[0]) * len(columns[2])
    shared = len(rows[1]) - len(rows[2])  # input rows that a tile shares with the next; none if negative
    alpha_w = step_w + len(columns[1]) - len(columns[2])
    first_strip, last_strip, first_column, last_column = block
    lanes = VECTOR_BYTES // x.itemsize
    for c in range(grid.channels):
        to = c * grid.step
        strip = first_strip
        while strip < last_strip:
            rest, t_h = divmod(strip, grid.tile_rows)
            n, a = divmod(rest, grid.row_phases)
            plane = (n * C + group * grid.channels + c) * H
            run = min(grid.tile_rows - t_h, last_strip - strip)
            column = first_column
            while column < last_column:
                b, t_w = divmod(column, grid.tile_columns)
                count = min(grid.tile_columns - t_w, last_column - column)
                left = b + grid.dilation_w * step_w * t_w - grid.left
                low = -(left // grid.dilation_w)
                high = (W - 1 - left) // grid.dilation_w + 1
                for row in range(step_h * run + shared):
                    h = a + grid.dilation_h * (step_h * t_h + row) - grid.top
                    end = high if 0 <= h < H else low
                    at = row % step_h * alpha_w * grid.element + row // step_h * count
                    for t in range(0, count + (alpha_w - 1) // step_w, lanes):
                        j = step_w * t
                        start = (plane + h) * W + left + j * grid.dilation_w
                        split_line(columns, image, start, grid.dilation_w, low - j, max(low, end) - j, H * W, split, at,
                                   grid.element, t, count)  # fmt: skip
                for t in range(0, run * count, lanes):
                    transform_tiles(rows, columns, split, t, grid.element, count, v, to + t, grid.v_step)
                to += run * count
                column += count
            strip += run


@njit
def invert_block(rows, columns, grid, group, panel, block, products, start, bias, y, scratch):
    """y = Aᵀ M A + bias for the block's tiles and the panel's channels: only pixels inside the output are written.

    products[start + ξ·m_step + tile·NR + n]; y (N, K, P, Q); bias (K,) or empty. A chunk of tiles is inverted into L1,
    L channels at a time, then its pixels are transposed into rows of y.
    """
    _, K, P, Q = y.shape
    flat = y.reshape(y.size)
    m_h, m_w = len(rows[0]), len(columns[0])
    first_strip, last_strip, first_column, last_column = block
    lanes = VECTOR_BYTES // y.itemsize
    width = VECTORS * lanes
    chunk = grid.pixel_row // lanes // m_w
    for half in range(0, min(width, grid.outputs - panel * width), lanes):
        k = group * grid.outputs + panel * width + half
        channels = min(lanes, (group + 1) * grid.outputs - k)
        base = start + half
        strip = first_strip
        while strip < last_strip:
            rest, t_h = divmod(strip, grid.tile_rows)
            n, a = divmod(rest, grid.row_phases)
            run = min(grid.tile_rows - t_h, last_strip - strip)
            column = first_column
            while column < last_column:
                b, t_w = divmod(column, grid.tile_columns)
                across = min(grid.tile_columns - t_w, last_column - column)
                # whole rows of y follow each other, and so do their pixels: the next tile overwrites one's overhang
                joined = 1 < across == grid.tile_columns <= chunk and grid.dilation_w == grid.dilation_h == 1
                pitch = Q * lanes if joined else grid.pixel_row
                for tile in range(run):
                    for first in range(0, across, chunk):
                        count = min(chunk, across - first)
                        for t in range(count - 1, -1, -1):
                            at = base + (tile * across + first + t) * width
                            invert_tile(rows, columns, products, at, grid.m_step, scratch, t * m_w * lanes, pitch)
                        p = a + grid.dilation_h * m_h * (t_h + tile)
                        q = b + grid.dilation_w * m_w * (t_w + first)
                        at = ((n * K + k) * P + p) * Q + q
                        pixels = min(m_w * count, -(-(Q - q) // grid.dilation_w))
                        if joined:
                            pixels = min(m_h, P - p) * Q
                        for i in range(1 if joined else min(m_h, -(-(P - p) // grid.dilation_h))):
                            write_pixels(scratch, i * pitch, pixels, flat, at + grid.dilation_h * i * Q, P * Q,
                                         grid.dilation_w, bias, k, channels)  # fmt: skip
                base += run * across * width
                column += across
            strip += run


@njit
def write_pixels(pixels, start, count, y, at, plane, step, bias, k, channels):
    """y[at + n·plane + j·step] = pixels[start + j·L + n] + bias[k + n] for j < count and n < channels ≤ L."""
    lanes = VECTOR_BYTES // y.itemsize
    if step == 1:
        for j in range(0, count, lanes):
            store_transposed(pixels, start + j * lanes, lanes, min(lanes, count - j), y, at + j, plane, channels, bias,
                             k, min(channels, bias.size))  # fmt: skip
    else:
        for n in range(channels):
            add = bias[k + n] if bias.size else y.dtype.type(0)
            for j in range(count):
                y[at + n * plane + j * step] = pixels[start + j * lanes + n] + add


@njit
def convolve_tiles(begin, end, ticks, rows, columns, grids, x, u, bias, y, work):
    """Units ``begin`` ≤ unit < ``end`` of the convolution of x (N, C, H, W) with U (G, panels, ξ, C/G, NR), into y.

    grids: ``Grid.record``; bias (K,) or empty; work: scratch of one thread; ticks: see ``mark``. V serves all units
    of a block: it is made at the block's first unit here.
    """
    mark(ticks, CALL)
    _, panels, products, depth, width = u.shape
    filters = u.reshape(u.size)
    grid = grids[0]
    v = work[: products * grid.v_step]
    m = work[products * grid.v_step : products * (grid.v_step + grid.panels * grid.m_step)]
    scratch = work[products * (grid.v_step + grid.panels * grid.m_step) :]
    across = -(-grid.columns // grid.block_columns)
    down = -(-grid.strips // grid.block_strips)
    shares = -(-panels // grid.panels)
    for unit in range(begin, end):
        rest, share = divmod(unit, shares)
        rest, i = divmod(rest, across)
        group, j = divmod(rest, down)
        block = (
            j * grid.block_strips,
            min(grid.strips, (j + 1) * grid.block_strips),
            i * grid.block_columns,
            min(grid.columns, (i + 1) * grid.block_columns),
        )
        first, last = share * grid.panels, min(panels, (share + 1) * grid.panels)
        if share == 0 or unit == begin:
            transform_block(rows, columns, grid, group, block, x, v, scratch)
            mark(ticks, TRANSFORM)
        tiles = (block[1] - block[0]) * (block[3] - block[2])
        for xi in range(products):
            for panel in range(first, last):
                b = ((group * panels + panel) * products + xi) * depth * width
                jump = products if panel + 1 < last else 1 - (last - 1 - first) * products
                c = ((panel - first) * products + xi) * grid.m_step
                for k in range(0, depth, grid.depth):
                    now, following = b + k * width, b + (jump * depth + k) * width
                    brgemm(tiles, min(grid.depth, depth - k), 1, v, xi * grid.v_step + k * grid.step, None, grid.step,
                           filters, now, None, m, c, width, k > 0, following)  # fmt: skip
        mark(ticks, MULTIPLY)
        for panel in range(first, last):
            start = (panel - first) * products * grid.m_step
            invert_block(rows, columns, grid, group, panel, block, m, start, bias, y, scratch)
        mark(ticks, INVERT)
