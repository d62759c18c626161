"""Strips: rows lie as close as their padding allows, and every tap of every output is where its offset says."""

from __future__ import annotations

import numpy as np
import pytest

from convbench.kernels.cache_sets import FARTHER, MOST, SETS
from convbench.kernels.layout import aligned_empty
from convbench.kernels.strip_plans import SLACK, spaced
from convbench.kernels.strips import numbers, pack_strip, strip_of, strip_offsets, unpacked
from convbench.reductions import lift
from convbench.spec import ConvSpec


@pytest.mark.parametrize(
    ("problem", "pitch"),
    [
        ("mb1ic2ih9oc4oh9kh3ph1", 10),  # a zero between rows
        ("mb1ic2ih14oc4oh7kh3sh2ph1", 8),  # padding on one side only
        ("mb1ic2ih13oc4oh7kh3sh2ph1", 7),  # the first phase begins and ends with it
        ("mb1ic2ih9oc4oh9kh3dh1ph2", 11),
        ("mb1ic2ih9oc4oh7kh3", 9),  # nothing to share
        ("mb1ic2ih2oc4oh2kh7ph3", 5),  # more padding than image
        ("mb1ic2ih16oc4oh4kh4sh4", 4),
        ("mb1ic2ih30oc4oh10kh7sh3ph3", 11),
    ],
)
@pytest.mark.parametrize("rows", [1, 3])
def test_panels_hold_every_tap(problem: str, pitch: int, rows: int) -> None:
    spec = lift(ConvSpec.parse(problem), 3)
    _, P, Q = spec.output_spatial
    rows = min(rows, P)
    strip = strip_of(spec, rows, Q)
    assert strip.pitch == pitch
    x = np.random.default_rng(0).standard_normal((spec.C, *spec.spatial[1:])).astype(np.float32)
    padded = np.pad(x, [(0, 0), *((before, before + 40) for before, _ in spec.padding[1:])])
    panel = aligned_empty((strip.panel + SLACK * 16,), np.float32)
    offsets = strip_offsets(spec, strip, spec.C).reshape(spec.C, *spec.filter[1:])
    for p in {0, P - rows}:
        panel[:] = np.nan
        pack_strip(x.reshape(-1), 0, 0, p, 0, rows, unpacked(numbers(strip)), panel)
        assert np.isfinite(panel).all()
        for (c, r, s), offset in np.ndenumerate(offsets):
            for row in range(rows):
                h, w = (p + row) * spec.stride[1] + r * spec.dilation[1], s * spec.dilation[2]
                want = padded[c, h, w:][:: spec.stride[2]][:Q]
                np.testing.assert_array_equal(panel[offset + row * strip.pitch :][:Q], want)


def test_sizes_count_every_output_row() -> None:
    strip = strip_of(lift(ConvSpec.parse("mb1ic2ih13iw9oc4oh13ow9kh3kw3ph1pw1"), 3), 5, 9)
    assert strip.sizes(8) == [(7, 2), (4, 1)]  # of 4·10 + 9 and 2·10 + 9 pixels


@pytest.mark.parametrize("problem", ["mb1ic64ih112oc64oh112kh3ph1", "mb1ic64ih120oc64oh120kh3ph1"])
def test_rows_of_neighbouring_channels_share_no_sets(problem: str) -> None:
    """At 112 pixels a channel as long as its strip needs lies one row's length short of a multiple of L1's sets."""
    spec = lift(ConvSpec.parse(problem), 3)
    strip = strip_of(spec, 6, spec.output_spatial[2])
    apart = spaced(spec, strip)
    assert apart._replace(plane=strip.plane) == strip
    assert 0 <= apart.plane - strip.plane <= FARTHER * 16
    offsets = strip_offsets(spec, apart, 24).reshape(24, -1) // 16
    lines = np.concatenate([np.unique(own[:, None] + np.arange(4)) for own in offsets])
    assert np.bincount(lines % SETS).max() <= MOST
