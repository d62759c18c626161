"""Depthwise: what a block, a fold and a multiplier must not change."""

from __future__ import annotations

import numpy as np
import pytest

from convbench.algorithm import Unsupported
from convbench.data import arrays
from convbench.driver import kernel
from convbench.spec import ConvSpec
from convbench.verify import check


def depthwise(spec: ConvSpec, kind: str = "normal", **options: int) -> np.ndarray:
    return kernel(spec, "depthwise", **options)(*arrays(spec, kind=kind))


@pytest.mark.parametrize(
    "spec",
    [
        ConvSpec((1, 1, 150, 1200), (2, 1, 7, 9), padding=3),
        ConvSpec((2, 3, 100, 70), (3, 1, 15, 15), groups=3, stride=2, padding=7),
        ConvSpec((1, 2, 6, 40, 40), (4, 1, 3, 3, 3), groups=2, padding=1),
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


def test_padding_wider_than_the_image() -> None:
    verdict = check("depthwise", ConvSpec((1, 1, 3, 2), (1, 1, 2, 2), padding=40, stride=(1, 3)))
    assert verdict.ok, verdict


def test_more_than_one_input_channel_a_group_is_refused_with_the_number() -> None:
    with pytest.raises(Unsupported, match="one input channel a group, this problem has 2"):
        kernel(ConvSpec((1, 4, 8, 8), (4, 2, 3, 3), groups=2), "depthwise")
