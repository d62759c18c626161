"""Windows hold the padded, phase-split input of a block, and blocks cover every output once."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from convbench.kernels.window import block_at, packed, pad_window, unpacked, window, window_chains
from convbench.reductions import lift
from convbench.spec import ConvSpec

SPECS = [
    ConvSpec((1, 1, 20, 33), (1, 1, 3, 3), padding=1),
    ConvSpec((1, 1, 20, 33), (1, 1, 5, 4), padding=((9, 0), (2, 7)), stride=2),
    ConvSpec((1, 1, 31, 1100), (1, 1, 2, 5), stride=(1, 4), dilation=(2, 3), padding=3),
    ConvSpec((1, 1, 9000), (1, 1, 7), stride=2, padding=5),
    ConvSpec((1, 1, 5, 7, 9), (1, 1, 3, 2, 3), padding=(2, 0, 1), stride=(2, 1, 1), dilation=(1, 2, 1)),
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("limit", [None, 0])
def test_blocks_cover_the_output_and_windows_hold_its_taps(spec: ConvSpec, limit: int | None) -> None:
    lifted = lift(spec, 3)
    blocks = window(lifted, limit)
    x = np.random.default_rng(0).standard_normal(lifted.spatial).astype(spec.np_dtype)
    padded = np.pad(x, lifted.padding)
    taps = list(product(*map(range, lifted.filter)))
    order, offsets, counts = window_chains(lifted, blocks)
    lengths = np.repeat([3, 2, 1], counts)
    at = np.concatenate([offset + blocks.step * np.arange(n) for offset, n in zip(offsets, lengths, strict=True)])
    seen = np.zeros(lifted.output_spatial, int)
    scratch = np.full(blocks.size, np.nan, spec.np_dtype)
    for number in range(blocks.blocks):
        o, p, q, rows, cols = block_at(blocks, number)
        seen[o, p : p + rows, q : q + cols] += 1
        pad_window(x.ravel(), 0, o, p, q, rows, blocks, scratch)
        for i, j in [(0, 0), (rows - 1, 0), (0, cols - 1), (rows - 1, cols - 1)]:
            output = (o, p + i, q + j)
            pixel = j if lifted.output_spatial[1] == 1 else i * blocks.step + j
            read = np.multiply(output, lifted.stride) + np.multiply(taps, lifted.dilation)
            np.testing.assert_array_equal(scratch[at + pixel], padded[tuple(read.T)][order])
    assert (seen == 1).all()


def test_packing_keeps_every_number() -> None:
    blocks = window(lift(SPECS[2], 3))
    assert unpacked(packed(blocks)) == blocks
