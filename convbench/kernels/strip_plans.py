"""How a problem is cut into strips, blocks and tiles: what ``strip_products`` computes, and what that costs."""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np

from convbench.kernels.cache_sets import uncrowded
from convbench.kernels.expansion import EXPANDS, expansion
from convbench.kernels.layout import ALIGNMENT, round_up
from convbench.kernels.pixel_tiles import TILES
from convbench.kernels.simd import VECTOR_BYTES
from convbench.kernels.strips import Strip, numbers, strip_of, strip_offsets
from convbench.reductions import lift
from convbench.spec import ConvSpec

PANEL_BYTES = 640 * 1024  # of a strip's panel, unless one row of outputs takes more: a part of L2
TILE_BYTES = 24 * 1024  # of the pixels that a tile reads of a block of input channels: a part of L1
PLANE_BYTES = 160 * 1024  # of a panel that is read again for each tile of output channels, where terms are few …
WRITTEN_BYTES = 4 << 20  # … and y, larger than this, does not stay in L2
LEAST_TERMS = 256  # of a block of input channels: what pays for loading and storing its sums
BLOCK_BYTES = 256 * 1024  # of a block's filters
COLS = 512  # outputs of a row that a strip takes at most
CHOICES = 16  # numbers of strips that are compared
SLACK = max(width for widths in TILES.values() for width in widths)  # vectors that the last tile reads beyond the panel
# multiply-adds of a vector that go by, in :func:`work`, while a tile begins and ends, …
TILE_WORK = 400
LONE_WORK = 0.4  # … for one of a tile of one vector, beside its own, …
BYTE_WORK = (0.35, 1.0)  # … while a byte is packed: from L2, and what a panel of a MiB adds as it pushes others out


class StripPlan(NamedTuple):
    spec: ConvSpec
    threads: int
    lifted: ConvSpec
    strip: Strip
    height: int  # output channels of a tile
    block_c: int  # input channels of a block
    block_k: int  # tiles of output channels of a block
    offsets: np.ndarray  # int64 (block_c · taps,)
    table: np.ndarray  # ``expansion`` of one channel, where a strip takes the whole image; or empty
    sizes: np.ndarray  # int64: the strip and the rest of what the kernel is told
    tasks: int
    scratch: int  # bytes of one thread: floats, then integers

    @property
    def tiles_k(self) -> int:
        """Tiles of output channels of one group."""
        return -(-(self.spec.K // self.spec.groups) // self.height)


def tile_height(channels: int) -> int:
    """The tile for so many output channels: whole tiles of them, each the slower the lower it is."""
    return min(TILES, key=lambda height: -(-channels // height) * (height + 1))


def plan_strips(spec: ConvSpec, threads: int, workspace_limit: int | None) -> StripPlan:
    """Of the strips whose panels take ``PANEL_BYTES`` those of least ``work``; smaller ones under a workspace limit."""
    lifted = lift(spec, 3)
    _, P, Q = lifted.output_spatial
    held, cols = PANEL_BYTES, share(Q, COLS)
    while True:
        while strip_of(lifted, 1, cols).panel * spec.itemsize > 2 * held and cols > 64:
            cols = share(Q, cols // 2)
        row, rows = (strip_of(lifted, rows, cols).panel * spec.itemsize for rows in (1, 9))
        fewest = -(-P // max(1, 1 + 8 * (held - row) // max(rows - row, 1)))
        some = {-(-P // strips) for strips in range(fewest, min(P, fewest + CHOICES) + 1)}
        strips = [strip_of(lifted, rows, cols) for rows in sorted(some, reverse=True)]
        strip = spaced(lifted, min(strips, key=lambda strip: work(spec, strip)))
        chosen = _planned(spec, threads, lifted, strip)
        if workspace_limit is None or chosen.scratch * threads <= workspace_limit or held < 1024:
            return chosen
        held //= 2


def spaced(lifted: ConvSpec, strip: Strip) -> Strip:
    """The strip, its channels as far apart as L1 likes them where a tile reads rows of many."""
    line = ALIGNMENT // lifted.itemsize
    reach = np.arange(-(-TILES[max(TILES)][0] * VECTOR_BYTES // ALIGNMENT) + 1)
    touched = np.unique(strip_offsets(lifted, strip, 1)[:, None] // line + reach)
    return strip._replace(plane=uncrowded(strip.plane // line, touched, strip.channels) * line)


def _planned(spec: ConvSpec, threads: int, lifted: ConvSpec, strip: Strip) -> StripPlan:
    taps, height = prod(spec.filter), tile_height(spec.K // spec.groups)
    tiles = -(-(spec.K // spec.groups) // height)
    rows = prod(lifted.filter[:2]) * strip.phases_w  # that a tile reads of a channel
    reach = lifted.filter[2] * lifted.dilation[2] // lifted.stride[2] * spec.itemsize
    touched = rows * (TILES[height][0] * VECTOR_BYTES + ALIGNMENT + reach)
    least = max(-(-LEAST_TERMS // taps), TILE_BYTES // touched) if tiles > 1 else strip.channels
    block_c = share(strip.channels, max(1, least))
    fitting = max(1, BLOCK_BYTES // (block_c * taps * height * spec.itemsize))
    strips = spec.N * spec.groups * strip.total
    parts = min(tiles, -(-4 * threads // strips)) if threads > 1 else 1  # output channels shared out among the threads
    block_k = share(tiles, min(fitting, -(-tiles // parts)))
    small = strip.channels * taps <= LEAST_TERMS and strip.panel * spec.itemsize <= PLANE_BYTES
    by_plane = small and prod(spec.output_shape) * spec.itemsize > WRITTEN_BYTES
    lanes = VECTOR_BYTES // spec.itemsize
    most = max(vectors for vectors, _ in strip.sizes(lanes))
    sums = most * lanes * block_k * height if block_c < strip.channels else 0
    floats = round_up(strip.panel + SLACK * lanes + sums + block_k * height, ALIGNMENT // spec.itemsize)
    own = [height, block_c, block_k, TILES[height][0], by_plane, spec.K // spec.groups, floats, strip.most_lines]
    return StripPlan(
        spec, threads, lifted, strip, height, block_c, block_k, strip_offsets(lifted, strip, block_c),
        table=_table(strip, lanes), sizes=np.concatenate([numbers(strip), own]), tasks=strips * -(-tiles // block_k),
        scratch=floats * spec.itemsize + round_up(5 * strip.most_lines * 8, ALIGNMENT),
    )  # fmt: skip


def _table(strip: Strip, lanes: int) -> np.ndarray:
    whole = EXPANDS and strip.total == 1 and strip.stride[1:] == (1, 1)
    table = expansion(strip.sources(), lanes) if whole else None
    return np.empty((2, 0), np.int64) if table is None else table


def share(extent: int, most: int) -> int:
    """Length of the equal parts that ``extent`` is cut into, none longer than ``most``."""
    return -(-extent // -(-extent // most))


def work(spec: ConvSpec, strip: Strip) -> float:
    """What a group's strips take, in multiply-adds of a vector: products, the ends of tiles, packing."""
    lanes, channels, terms = VECTOR_BYTES // spec.itemsize, spec.K // spec.groups, prod(spec.weight_shape[1:])
    height = tile_height(channels)
    widest = TILES[height][0]
    blocks = max(1.0, terms / LEAST_TERMS)
    done = 0.0
    for vectors, count in strip.sizes(lanes):
        alone = vectors == 1 if widest == 3 else vectors % widest % 2 == 1  # as ``multiply_strips`` divides them
        products = terms * height * (vectors + LONE_WORK * alone)
        done += count * -(-channels // height) * (products + blocks * -(-vectors // widest) * TILE_WORK)
    packed = strip.panel * spec.itemsize
    return done + strip.total * packed * (BYTE_WORK[0] + BYTE_WORK[1] * packed / 2**20)


def executed_flop(plan: StripPlan) -> float:
    """Counts what the lanes do: positions between output rows, whole vectors and whole tiles of channels."""
    spec, strip = plan.spec, plan.strip
    lanes = VECTOR_BYTES // spec.itemsize
    vectors = sum(count * n for n, count in strip.sizes(lanes))
    return 2.0 * spec.N * spec.groups * vectors * lanes * plan.tiles_k * plan.height * prod(spec.weight_shape[1:])


def packed_bytes(plan: StripPlan) -> float:
    """Bytes of all the panels that one call fills."""
    spec, strip = plan.spec, plan.strip
    return float(spec.N * spec.groups * strip.total * strip.panel * spec.itemsize)


def tile_count(plan: StripPlan) -> float:
    """Tiles that one call computes, partial sums of a block counted each."""
    spec, strip = plan.spec, plan.strip
    widest = TILES[plan.height][0]
    across = sum(count * -(-vectors // widest) for vectors, count in strip.sizes(VECTOR_BYTES // spec.itemsize))
    return float(spec.N * spec.groups * across * -(-strip.channels // plan.block_c) * plan.tiles_k)
