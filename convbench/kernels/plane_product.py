"""Products of a filter matrix with planes of pixels, lanes along the pixels: 1×1 convolution of NCHW as it lies.

Contract of one tile (``_tile``), ``height`` channels × ``width`` vectors of L pixels::

    y[k·y_step + p] = start + Σ_{c < depth} w[c·height + k] · x[c·x_step + p]      k < rows, skip ≤ p < cols
    start = bias[k] for the first channels of the sum (``begin``), y[k·y_step + p] for later ones

    rows     height, one less, or any if height is the least there is
    skip     < L: only the first vector is masked below; cols > (width − 1)·L: only the last one is masked above
    x        as it lies (KEEPS), and then panel[c·width·L + p] = x[c·x_step + p], 0 for other p, is written too;
             or such a panel itself (``_keep``'s as well): x_step = width·L, every lane read
    w        depth · height packed weights, the channels of one c side by side (``packing``, tiles of ``tile_heights``)
    asked    (ASKS) lines of ``source`` fetched into the L2 cache with every row of y: from ``ask_start`` on, ``left``
             side by side, then ``lines`` side by side again and again, ``jump`` elements from the last to the first

Nothing beyond rows and cols of x, bias and y is touched; what is fetched may lie anywhere. The loop is
``gemm.products``; the rows of y, and what is asked for, arrive while it runs (``paced``). The first channels of every
tile of pixels read the tensor and leave the panel behind; all other channels find their pixels in a cache.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from convbench.kernels.gemm import PAIR
from convbench.kernels.jit import inlined, njit
from convbench.kernels.layout import ALIGNMENT
from convbench.kernels.lines import every_second
from convbench.kernels.paced import products_to
from convbench.kernels.simd import VECTOR_BYTES, Vectors, index, once, pointer, repeat, repeat_any, viewed

HEIGHT = 8 if VECTOR_BYTES == 64 else 4  # 8·3 sums fill 32 registers, 4·3 fill 16
LEAST = HEIGHT // 2  # channels of the lowest tile
WIDTH, NARROW = 3, 2  # vectors of pixels a tile
DEPTH = 128  # channels summed at a time, at most: a tile's panel stays within the L1 cache
PANEL_BYTES = 192 << 10  # of the panels of a run of tiles, which stay in the L2 cache
CHUNK = 2  # tiles of channels multiplied with one tile of pixels before the next, where planes are long
COMPUTES, KEEPS, ASKS = 0, 1, 2  # what a tile does: products; also of x a panel; also asks for what comes next
ONE = 1 << 16  # a line, in parts
AHEAD = 1024  # bytes between the filters that are used and those that are fetched
ALIGNED = 64  # vectors of a plane from which one more is worth writing to whole cache lines


def tile_starts(channels: int) -> np.ndarray:
    """``packing``'s starts: as few tiles as HEIGHT allows, as even as multiples of PAIR can be."""
    tiles, pairs = -(-channels // HEIGHT), -(-max(channels, LEAST) // PAIR)
    return PAIR * (pairs * np.arange(tiles + 1, dtype=np.int64) // tiles)


def most_vectors(pixels: int, lanes: int) -> int:
    """Vectors of a plane, wherever it begins in a cache line."""
    return -(-pixels // lanes) + (pixels % lanes == 0 and pixels >= ALIGNED * lanes)


def depth_block(channels: int, panel_bytes: int) -> int:
    """Channels summed at a time: equal parts of at most DEPTH whose panel of one tile fits into ``panel_bytes``."""
    most = max(1, min(DEPTH, panel_bytes // (WIDTH * VECTOR_BYTES)))
    return -(-channels // -(-channels // most))


@intrinsic(prefer_literal=True)
def _tile(
    typingctx, width, does, height, depth, x, x_start, x_step, w, w_start, panel, panel_start, bias, bias_start, y,
    y_start, y_step, rows, skip, cols, begin, source, ask_start, asked, left, lines, jump,
):  # fmt: skip
    """The contract above for literal width and does; height: LEAST, LEAST + PAIR, … HEIGHT."""
    signature = types.void(
        width, does, height, depth, x, x_start, x_step, w, w_start, panel, panel_start, bias, bias_start, y, y_start,
        y_step, rows, skip, cols, begin, source, ask_start, asked, left, lines, jump,
    )  # fmt: skip
    wide, keeps, asks = width.literal_value, does.literal_value == KEEPS, does.literal_value == ASKS

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)
        lanes = vectors.lanes
        height_, depth_, x_step_, y_step_, rows_, skip_, cols_, begin_ = (
            args[i] for i in (2, 3, 6, 15, 16, 17, 18, 19)
        )
        ask_first, (asked_, left_, lines_, jump_) = pointer(context, builder, source, args[20], args[21]), args[22:]
        line = ALIGNMENT // vectors.itemsize
        low = vectors.mask(skip_, index(lanes))
        high = vectors.mask(index(0), builder.sub(cols_, index((wide - 1) * lanes)))
        masks = [low, *[None] * (wide - 2), high]
        step = x_step_ if keeps else index(wide * lanes)
        w_first, x_first, kept, y_first, bias_first = (
            pointer(context, builder, sig.args[array], args[array], args[array + 1]) for array in (7, 4, 9, 13, 11)
        )

        def pixels(_, pointers):
            vectors.prefetch(builder.gep(pointers[0], [index(AHEAD // vectors.itemsize)]))
            x_row = pointers[1]
            row = [vectors.load(x_row, index(v * lanes), masks[v] if keeps else None) for v in range(wide)]
            if keeps:  # and the same channel's pixels of the next tile are fetched
                for v in range(wide):
                    vectors.store(row[v], pointers[2], index(v * lanes))
                    vectors.prefetch(builder.gep(x_row, [index((wide + v) * lanes)]))
            return row

        def store(k, row, starts):
            y_row = builder.gep(y_first, [builder.mul(y_step_, index(k))])
            for v, start in enumerate(starts(k, y_row)):
                vectors.store(builder.fadd(row[v], start), y_row, index(v * lanes), masks[v])

        def bias_of(k, _):
            return [vectors.splat(builder.load(builder.gep(bias_first, [index(k)])))] * wide

        def earlier(_, y_row):
            return [vectors.load(y_row, index(v * lanes), masks[v]) for v in range(wide)]

        def fetch(state):
            def ask(_, place):
                at, more = once(builder, place[0]), place[1]
                vectors.prefetch(at, level=2)
                ended = builder.icmp_signed("<=", more, index(1))
                forth = builder.select(ended, jump_, index(line))
                return [builder.gep(at, [forth]), builder.select(ended, lines_, builder.sub(more, index(1)))]

            return repeat_any(builder, asked_, state, ask)

        def emit(tall):
            zeros = [ir.Constant(vectors.type, [0.0] * lanes)] * (tall * wide)
            walks = [(w_first, index(tall)), (x_first, step), (kept, index(wide * lanes))]
            target, beside = (y_first, y_step_), ((fetch, [ask_first, left_]),) if asks else ()
            _, sums = products_to(
                target, tall, wide * lanes, vectors, zeros, depth_, walks, pixels, *beside, folds=False
            )
            sure = tall - 1 if tall > LEAST else 1
            with builder.if_else(builder.trunc(begin_, ir.IntType(1))) as (begun, later):
                for block, starts in ((begun, bias_of), (later, earlier)):
                    with block:
                        for k in range(tall):
                            row = sums[k * wide : (k + 1) * wide]
                            if k < sure:
                                store(k, row, starts)
                            else:
                                with builder.if_then(builder.icmp_signed("<", index(k), rows_)):
                                    store(k, row, starts)

        for tall in range(LEAST, HEIGHT + 1, PAIR):
            with builder.if_then(builder.icmp_signed("==", height_, index(tall))):
                emit(tall)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _keep(typingctx, depth, x, x_start, x_step, panel, panel_start, skip, cols):
    """What KEEPS leaves in the panel, for a tile of NARROW vectors: those are few, and one tile less is compiled."""
    signature = types.void(depth, x, x_start, x_step, panel, panel_start, skip, cols)

    def codegen(context, builder, sig, args):
        vectors = Vectors(context, builder, x.dtype)
        lanes = vectors.lanes
        last = builder.sub(args[7], index((NARROW - 1) * lanes))
        masks = [vectors.mask(args[6], index(lanes)), *[None] * (NARROW - 2), vectors.mask(index(0), last)]

        def row(_, pointers):
            of, to = pointers
            for v in range(NARROW):
                vectors.store(vectors.load(of, index(v * lanes), masks[v]), to, index(v * lanes))
            return [builder.gep(of, [args[3]]), builder.gep(to, [index(NARROW * lanes)])]

        first = pointer(context, builder, x, args[1], args[2]), pointer(context, builder, panel, args[4], args[5])
        repeat(builder, args[0], first, row)
        return context.get_dummy_value()

    return signature, codegen


@inlined
def _region(task, step, tiles, sizes):
    """What a task's step reads: its image, first channel, number of channels, first tile of pixels and their end."""
    G, C, depth, runs, parts, together = sizes[0], sizes[1], sizes[5], sizes[6], sizes[7], sizes[10]
    rest, run = divmod(task // parts, runs)
    chosen, g = divmod(rest, G)
    block, member = divmod(step, together)
    c = block * depth
    return (chosen * together + member) * G + g, c, min(depth, C - c), tiles * run // runs, tiles * (run + 1) // runs


@njit
def multiply_planes(begin, end, x, w, bias, y, sizes, work):
    """y (N, G, K, pixels) = w · x (N, G, C, x_step) + bias; all flat; pixels > lanes: tiles have two vectors at least.

    Tasks (set of images, g, run of tiles, part of the channels), the last fastest; each has steps (channels summed at a
    time, image of the set), so that the filters of a step meet all images of a set. sizes: G, C, K, pixels, x_step,
    depth, runs, parts, chunk, panel_step, images of a set, asks, H, W, stride, P, blocks, and ``tile_starts``.
    H > 0: x is (N, G, C, H, W), of whose every stride-th row, P in all, every second pixel is gathered for each step;
    runs, parts and panel_step are 1, 1 and 0, and the gathered channels lie x_step apart behind the panel.
    A chunk of the channels' tiles is multiplied with one tile of pixels before the next: few, and their rows of y are
    written along a whole run, which the hardware foresees; or all, and one panel serves, which stays in the L1 cache.
    The first tile of channels reads x; where ``asks``, the others ask for what the next step reads, each for its share.
    work: bytes of private scratch, panels of depth · WIDTH · lanes elements: for every tile of a run, ``panel_step``
    apart; or for one, if it serves all of them and panel_step is 0.
    """
    G, C, K, pixels, x_step, block, runs, parts, chunk, panel_step, together, asks, H, W, stride, P, blocks = (
        sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5], sizes[6], sizes[7], sizes[8], sizes[9], sizes[10],
        sizes[11], sizes[12], sizes[13], sizes[14], sizes[15], sizes[16],
    )  # fmt: skip
    starts, total, panels = np.int64(17), sizes[17 + blocks], viewed(work, x)
    lanes, line = np.int64(VECTOR_BYTES // x.itemsize), np.int64(ALIGNMENT // x.itemsize)
    shift = np.int64(0)
    if pixels % lanes == 0 and pixels >= ALIGNED * lanes:
        shift = np.int64(y.ctypes.data) % VECTOR_BYTES // np.int64(x.itemsize)
    vectors = -(-(pixels + shift) // lanes)
    tiles = -(-vectors // WIDTH)
    wide = vectors - NARROW * tiles  # the first tiles have WIDTH vectors, the others one less
    steps = -(-C // block) * together
    for task in range(begin, end):
        part = task % parts
        b_first, b_end = blocks * part // parts, blocks * (part + 1) // parts
        for step in range(steps):
            image, c, depth, t_first, t_end = _region(task, step, tiles, sizes)
            g = image % G
            next_task, next_step = (task, step + 1) if step + 1 < steps else (task + 1, np.int64(0))
            next_image, next_c, next_depth, next_first, next_end = _region(next_task, next_step, tiles, sizes)
            at_first = (image * C + c) * x_step
            if H > 0:
                gathered = block * WIDTH * lanes
                for d in range(depth):
                    for q in range(0, pixels // P, lanes):
                        every_second(panels, gathered + d * x_step + q, pixels // P, x,
                                     (image * C + c + d) * H * W + 2 * q, stride * W, P, pixels // P - q)  # fmt: skip
                at_first = gathered
                source, apart, count, gap = (next_image * C + next_c) * H * W, stride * W, P, (H - P * stride) * W
                lines, next_depth = -(-W // line), next_depth * P
            else:
                next_at = (NARROW * next_first + min(next_first, wide)) * lanes - shift
                source, apart = (next_image * C + next_c) * x_step + next_at, x_step
                count, gap = next_depth, np.int64(0)
                lines = max(1, -(-(next_end - next_first) * WIDTH * lanes // line))  # side by side
                if runs == 1:  # whole planes: all of them
                    lines, next_depth = -(-next_depth * x_step // line), np.int64(1)
            jump = apart - (lines - 1) * line
            tensor = panels if H > 0 else x
            pace = np.int64(0)  # lines a tile of products, in parts of ONE
            if asks and next_task < end:
                pace = lines * next_depth * ONE // max(1, (t_end - t_first) * (b_end - b_first - 1))
            due = done = row = none = np.int64(0)
            for b_chunk in range(b_first, b_end, chunk):
                for tile in range(t_first, t_end):
                    width = WIDTH if tile < wide else NARROW
                    at = (NARROW * tile + min(tile, wide)) * lanes - shift
                    skip, cols = max(0, -at), pixels - at
                    kept = (tile - t_first) * panel_step
                    for b in range(b_chunk, min(b_chunk + chunk, b_end)):
                        k = sizes[starts + b]
                        height = sizes[starts + b + 1] - k
                        rows = min(height, K - k)
                        y_start = (image * K + k) * pixels + at
                        w_start = (g * C + c) * total + k * depth
                        begins = c == 0
                        if b == b_first:
                            x_start = at_first + at
                            if width == NARROW:
                                _keep(depth, tensor, x_start, x_step, panels, kept, skip, cols)
                            else:
                                _tile(WIDTH, KEEPS, height, depth, tensor, x_start, x_step, w, w_start, panels, kept,
                                      bias, g * K + k, y, y_start, pixels, rows, skip, cols, begins,
                                      x, none, none, none, none, none)  # fmt: skip
                                continue
                        due += pace * (b > b_first)
                        if width == NARROW:
                            _tile(NARROW, COMPUTES, height, depth, panels, kept, none, w, w_start, panels, kept, bias,
                                  g * K + k, y, y_start, pixels, rows, skip, cols, begins,
                                  x, none, none, none, none, none)  # fmt: skip
                        elif due < HEIGHT * ONE:
                            _tile(WIDTH, COMPUTES, height, depth, panels, kept, none, w, w_start, panels, kept, bias,
                                  g * K + k, y, y_start, pixels, rows, skip, cols, begins,
                                  x, none, none, none, none, none)  # fmt: skip
                        else:
                            asked = due // (HEIGHT * ONE)  # with each row of y
                            due -= asked * (HEIGHT * ONE)
                            _tile(WIDTH, ASKS, height, depth, panels, kept, none, w, w_start, panels, kept, bias,
                                  g * K + k, y, y_start, pixels, rows, skip, cols, begins,
                                  x, source + done * line, asked, lines - done, lines, jump)  # fmt: skip
                            done += asked * HEIGHT
                            while done >= lines:
                                done -= lines
                                source += apart
                                row += 1
                                if row == count:
                                    row = np.int64(0)
                                    source += gap
