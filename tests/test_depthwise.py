"""Depthwise: what a block, a fold and a multiplier must not change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from convbench.algorithm import Unsupported
from convbench.algorithms.depthwise import Plan, executed_flop, plan, prepare, run
from convbench.algorithms.depthwise import workspace as scratch_of
from convbench.data import arrays
from convbench.driver import kernel
from convbench.kernels import plane_channels
from convbench.kernels.layout import aligned_empty
from convbench.kernels.plane_forms import form
from convbench.reductions import lift
from convbench.spec import ConvSpec
from convbench.verify import check


def depthwise(spec: ConvSpec, kind: str = "normal", **options: int) -> np.ndarray:
    return kernel(spec, "depthwise", **options)(*arrays(spec, kind=kind))


@pytest.mark.parametrize(
    "spec",
    [
        ConvSpec((1, 1, 150, 3600), (2, 1, 7, 9), stride=(1, 3), padding=3),
        ConvSpec((2, 3, 100, 105), (3, 1, 15, 15), groups=3, stride=(2, 3), padding=7),
        ConvSpec((1, 2, 6, 40, 120), (4, 1, 3, 3, 3), groups=2, stride=(1, 1, 3), padding=1),
        ConvSpec((1, 2, 20000), (2, 1, 200), groups=2, padding=100),
    ],
    ids=str,
)
def test_the_cut_into_blocks_changes_no_bit(spec: ConvSpec) -> None:
    """Each output is the same sum in the same order, whatever the size of a block and the number of threads."""
    whole = depthwise(spec, threads=1)
    least = kernel(spec, "depthwise", threads=1).plan.window
    for limit in (1 << 18, 1 << 16):
        small = kernel(spec, "depthwise", threads=1, workspace_limit=limit)
        assert small.workspace_bytes <= limit
        assert small.plan.window.rows * small.plan.window.cols <= least.rows * least.cols
        np.testing.assert_array_equal(small(*arrays(spec)), whole)
    np.testing.assert_array_equal(depthwise(spec, threads=3), whole)


IN_PLACE = [  # odd sizes; stride, dilation, multiplier, depth
    ConvSpec((2, 3, 33, 41), (6, 1, 3, 3), groups=3, padding=1),
    ConvSpec((1, 4, 30, 37), (4, 1, 3, 3), groups=4, stride=2, padding=1),
    ConvSpec((2, 3, 29, 70), (3, 1, 5, 7), groups=3, padding=(2, 3), dilation=(3, 1)),
    ConvSpec((1, 5, 31, 20), (5, 1, 9, 5), groups=5, stride=(3, 2), padding=(4, 2), dilation=(2, 3)),
    ConvSpec((1, 2, 5, 14, 14), (4, 1, 3, 3, 3), groups=2, padding=1),
    ConvSpec((1, 7, 7, 7), (7, 1, 5, 5), groups=7, padding=2),
    ConvSpec((2, 3, 7, 6), (9, 1, 3, 3), groups=3, padding=1),  # two channels a vector, of one image or of two
    ConvSpec((2, 5, 15, 14), (5, 1, 7, 5), groups=5, stride=2, padding=(3, 2)),
    ConvSpec((1, 4, 19, 8), (8, 1, 5, 2), groups=4, dilation=(2, 1), padding=(2, (0, 3))),
]


@pytest.mark.parametrize("spec", IN_PLACE, ids=str)
def test_threads_cut_the_image_without_changing_a_bit(spec: ConvSpec) -> None:
    """A tile of rows is the same sums whoever computes it; scratch is the row of zeros and the table alone."""
    assert kernel(spec, "depthwise", threads=1).plan.window is None
    whole = depthwise(spec, threads=1)
    for threads in (2, 3, 5):
        np.testing.assert_array_equal(depthwise(spec, threads=threads), whole)


@pytest.mark.parametrize("spec", IN_PLACE, ids=str)
def test_full_vectors_beyond_a_row_leave_no_trace(spec: ConvSpec) -> None:
    """Lanes reach into neighbouring rows and channels: NaN there must stay there."""
    x, w, bias = arrays(spec)
    layer = kernel(spec, "depthwise", threads=1).prepare(w, bias)
    clean, spoilt = layer(x), np.array(x)
    spoilt[:, 1] = np.nan
    y, multiplier = layer(spoilt), spec.K // spec.C
    others = [k for k in range(spec.K) if k // multiplier != 1]
    np.testing.assert_array_equal(y[:, others], clean[:, others])
    middle = spec.spatial[-2] // 2
    one = np.zeros_like(x)
    one[..., middle, :] = np.nan  # a row that taps of weight 0 alone would spread
    reached = np.isnan(layer(one)).reshape(-1, *spec.output_spatial[-2:]).any(axis=(0, 2))
    (R, sh, dh), (before, _) = (spec.filter[-2], spec.stride[-2], spec.dilation[-2]), spec.padding[-2]
    expected = [any(p * sh + r * dh - before == middle for r in range(R)) for p in range(len(reached))]
    assert reached.tolist() == expected


BY_CHANNELS = [  # channels that fill no whole vectors; strides, dilations; padding beyond the filter
    ConvSpec((2, 19, 14, 13), (19, 1, 3, 3), groups=19, padding=1),
    ConvSpec((1, 33, 9, 8), (33, 1, 13, 11), groups=33, padding=(6, (5, 2))),
    ConvSpec((1, 16, 31, 20), (16, 1, 9, 5), groups=16, stride=(3, 2), padding=(4, 2), dilation=(2, 3)),
    ConvSpec((1, 17, 11, 29), (17, 1, 2, 4), groups=17, stride=(4, 1), padding=((0, 9), (7, 0))),
    ConvSpec((2, 25, 6, 7), (25, 1, 5, 7), groups=25, padding=((9, 8), 6), dilation=(1, 2)),
    ConvSpec((1, 20, 45, 45), (20, 1, 7, 7), groups=20, padding=3, dtype="float64"),
]


def by_channels(spec: ConvSpec, threads: int = 1, workspace: int = 0xFF) -> np.ndarray:
    """Whatever ``plan`` would choose; the workspace filled with this byte before."""
    chosen = Plan(spec, threads, lift(spec, 3), channels=True)
    x, w, bias = arrays(spec, kind="integer")
    y, work = np.full(spec.output_shape, np.nan, spec.np_dtype), aligned_empty((scratch_of(chosen),), np.uint8)
    work[:] = workspace
    run(chosen, np.array(x), prepare(chosen, w), np.array(bias), y, work)
    return y


@pytest.mark.parametrize("spec", BY_CHANNELS, ids=str)
def test_channels_in_the_lanes_give_the_same_sums(spec: ConvSpec) -> None:
    """Taps left out found zeros; what tiles overhang, and scratch that nobody cleared, leaves no trace."""
    in_place = replace(plan(spec, 1, None), channels=False)
    x, w, bias = arrays(spec, kind="integer")
    whole, work = np.empty(spec.output_shape, spec.np_dtype), aligned_empty((scratch_of(in_place),), np.uint8)
    run(in_place, np.array(x), prepare(in_place, w), np.array(bias), whole, work)
    for threads in (1, 2, 5):
        np.testing.assert_array_equal(by_channels(spec, threads), whole)


@pytest.mark.parametrize("spec", BY_CHANNELS, ids=str)
def test_taps_left_out_find_only_padding(spec: ConvSpec) -> None:
    """Counted one by one: rows that outputs p and p + 1 read, alone and both, and columns that some of a tile do."""
    lifted = lift(spec, 3)
    (_, H, W), (_, R, S), (_, sh, sw), (_, dh, dw) = lifted.spatial, lifted.filter, lifted.stride, lifted.dilation
    rows, columns = plane_channels.taps(lifted)
    height, width, _ = map(len, plane_channels.form(lifted))

    def read(p: int) -> set[int]:
        return {h for r in range(R) if 0 <= (h := p * sh - lifted.padding[1][0] + r * dh) < H}

    for p, (r, h, alone, both, other) in enumerate(rows):
        assert h == p * sh - lifted.padding[1][0] + r * dh
        assert alone + both == len(read(p))
        assert height == 1 or (both, other) == (len(read(p) & read(p + 1)), len(read(p + 1) - read(p)))
    for t, (first, count) in enumerate(columns):
        at = [q * sw - lifted.padding[2][0] for q in range(t * width, (t + 1) * width)]
        found = [s for s in range(S) if any(0 <= q + s * dw < W for q in at)]
        assert not found or (first <= found[0] and found[-1] < first + count <= S)


def test_many_taps_of_many_channels_take_channels_in_the_lanes_where_scratch_allows() -> None:
    spec = ConvSpec((1, 64, 28, 28), (64, 1, 13, 13), padding=6, groups=64)
    chosen = plan(spec, 1, None)
    assert chosen.channels
    assert executed_flop(chosen) < spec.flop  # what lies in the padding is left out
    assert not plan(spec, 1, scratch_of(chosen) - 1).channels
    verdict = check("depthwise", spec)
    assert verdict.ok, verdict


def test_a_row_of_zeros_too_long_for_the_workspace_gives_way_to_windows() -> None:
    spec = ConvSpec((1, 1, 12, 9000), (1, 1, 3, 3), padding=1)
    roomy = kernel(spec, "depthwise", threads=1)
    tight = kernel(spec, "depthwise", threads=1, workspace_limit=roomy.workspace_bytes // 2)
    assert tight.workspace_bytes <= roomy.workspace_bytes // 2
    x, w, bias = arrays(spec, kind="integer")
    np.testing.assert_array_equal(tight(x, w, bias), roomy(x, w, bias))


def test_a_row_of_outputs_is_the_same_folded_or_not() -> None:
    """One row of outputs runs along vectors, several run beside each other."""
    one = ConvSpec((1, 1, 3, 500), (1, 1, 3, 9), padding=((0, 0), (4, 4)))
    x, w, bias = arrays(one, kind="integer")
    two = one.replace(input_shape=(1, 1, 4, 500))
    below = np.concatenate([x, np.ones_like(x[:, :, :1])], axis=2)
    y = kernel(two, "depthwise", threads=1)(below, w, bias)
    np.testing.assert_array_equal(kernel(one, "depthwise", threads=1)(x, w, bias), y[:, :, :1])


@pytest.mark.parametrize("multiplier", [1, 2, 5])
def test_every_output_channel_is_a_problem_of_its_own(multiplier: int) -> None:
    spec = ConvSpec((2, 3, 17, 23), (3 * multiplier, 1, 5, 3), groups=3, padding=2, stride=(2, 1))
    x, w, bias = arrays(spec)
    y = kernel(spec, "depthwise", threads=1)(x, w, bias)
    alone = spec.replace(input_shape=(2, 1, 17, 23), weight_shape=(1, 1, 5, 3), groups=1)
    for k in range(spec.K):
        c = k // multiplier
        expected = kernel(alone, "depthwise", threads=1)(x[:, c : c + 1], w[k : k + 1], bias[k : k + 1])
        np.testing.assert_array_equal(y[:, k : k + 1], expected)


@pytest.mark.parametrize("size", [7, 14, 15, 33])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_strides_over_small_planes(size: int, stride: int, dtype: str) -> None:
    spec = ConvSpec((2, 5, size, size), (5, 1, 3, 3), groups=5, stride=stride, padding=1, dtype=dtype)
    for kind in ("normal", "scaled", "integer"):
        verdict = check("depthwise", spec, kind=kind)
        assert verdict.ok, verdict
        assert kind != "integer" or verdict.error == 0


@pytest.mark.parametrize(("width", "filter"), [(1, 3), (1, 5), (2, 5), (2, 7), (3, 7), (4, 9)])
def test_images_narrower_than_the_filter(width: int, filter: int) -> None:
    """The last taps of one row and the first of the next may lie in the same place: none is forgotten."""
    spec = ConvSpec((1, 8, 7, width), (8, 1, filter, filter), padding=filter // 2, groups=8)
    assert sorted(kernel(spec, "depthwise", threads=1).plan.shape.order) == list(range(filter**2))
    verdict = check("depthwise", spec)
    assert verdict.ok, verdict


def test_padding_wider_than_the_image() -> None:
    verdict = check("depthwise", ConvSpec((1, 1, 3, 2), (1, 1, 2, 2), padding=40, stride=(1, 3)))
    assert verdict.ok, verdict


@pytest.mark.parametrize("name", ["depthwise", "direct"])
def test_a_slice_that_lies_in_the_padding_gives_the_bias_alone(name: str) -> None:
    spec = ConvSpec((1, 2, 1, 8, 8), (2, 1, 1, 3, 3), stride=(3, 1, 1), padding=1, groups=2)
    x, w = np.full(spec.input_shape, np.nan, np.float32), np.ones(spec.weight_shape, np.float32)
    y = kernel(spec, name, threads=1)(x, w, np.array([2, 3], np.float32))
    np.testing.assert_array_equal(y, np.broadcast_to(np.reshape([2, 3], (1, 2, 1, 1, 1)), y.shape))


def test_code_does_not_grow_with_the_stride_of_rows() -> None:
    forms = {form(lift(ConvSpec((1, 1, 9000, 5), (1, 1, 9, 3), stride=(s, 1)), 3)) for s in (9, 10, 4000)}
    assert len(forms) == 1


@pytest.mark.parametrize(
    "far", [{"padding": ((0, 0), (1 << 32, 0)), "dilation": (1, 1 << 32)}, {"padding": (0, 1 << 30)}]
)
def test_columns_beyond_int32_are_not_read_in_place(far: dict[str, Any]) -> None:
    assert plan(ConvSpec((1, 1, 3, 4), (1, 1, 1, 2), **far), 1, None).window is not None


def test_more_than_one_input_channel_a_group_is_refused_with_the_number() -> None:
    with pytest.raises(Unsupported, match="one input channel a group, this problem has 2"):
        kernel(ConvSpec((1, 4, 8, 8), (4, 2, 3, 3), groups=2), "depthwise")


@pytest.mark.parametrize(("name", "taps"), [("direct", "kh3ph1"), ("pointwise", "kh1")])
def test_who_leaves_a_problem_to_depthwise_takes_its_short_way_too(name: str, taps: str) -> None:
    """Else a small layer would take twice as long as what ``cost``, which is depthwise's, says."""
    spec = ConvSpec.parse(f"g16mb1ic16ih7oc16oh7{taps}")
    x, w, bias = (array.copy() for array in arrays(spec))
    y = np.full(spec.output_shape, np.nan, np.float32)
    layer = kernel(spec, name, threads=1).prepare(w, bias)
    assert layer._quick is not None
    assert layer._quick(x, y)
    np.testing.assert_array_equal(y, kernel(spec, "depthwise", threads=1)(x, w, bias))
