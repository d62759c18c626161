"""Problems that make no sense: one clear line that names the value and what was allowed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from refusals import Y, refused, w, x

import convbench as cb
from convbench.arguments import DTypeError, SpecError

HUGE = {"input_shape": (2**40, 2**20, 4, 4), "weight_shape": (1, 2**20, 1, 1)}
PROBLEMS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "stride 0": ({"stride": 0}, SpecError, r"stride is 0; allowed: an integer from 1"),
    "stride negative": ({"stride": (1, -2)}, SpecError, r"stride is -2; allowed: an integer from 1"),
    "stride a float": ({"stride": 1.5}, SpecError, r"stride is 1.5; allowed: an integer"),
    "stride None": ({"stride": None}, SpecError, r"stride is None; allowed: an integer"),
    "stride a dict": ({"stride": {"h": 1}}, SpecError, r"stride is \{'h': 1\}; allowed: an integer"),
    "stride for three dimensions": ({"stride": (1, 2, 3)}, SpecError, r"stride is \(1, 2, 3\); allowed: one .* or 2"),
    "dilation 0": ({"dilation": 0}, SpecError, r"dilation is 0; allowed: an integer from 1"),
    "dilation too large": ({"dilation": 5}, SpecError, r"\(11, 11\) when dilated; allowed: at most .*\(8, 8\)"),
    "padding negative": ({"padding": -1}, SpecError, r"padding is -1; allowed: an integer from 0"),
    "padding misspelt": ({"padding": "sam"}, SpecError, r"padding is 'sam'; did you mean 'same'\? allowed: same, val"),
    "padding of three": ({"padding": ((1, 2, 3), 1)}, SpecError, r"padding is .*; allowed: integers or \(before, aft"),
    "same with stride": (
        {"padding": "same", "stride": 2},
        SpecError,
        r"'same' with stride \(2, 2\); allowed: stride 1",
    ),
    "groups 0": ({"groups": 0}, SpecError, r"groups is 0; allowed: an integer from 1"),
    "groups negative": ({"groups": -4}, SpecError, r"groups is -4; allowed: an integer from 1"),
    "groups that do not divide": ({"groups": 3}, SpecError, r"groups is 3; allowed: a divisor of both C = 4 and K = 6"),
    "groups and weight disagree": (
        {"groups": 2},
        SpecError,
        r"weight_shape\[1\] is 4; allowed: C / groups = 4 / 2 = 2",
    ),
    "layout unknown": ({"layout": "CHWN"}, SpecError, r"layout is 'CHWN'; allowed: NCHW, NHWC, NCHW16c"),
    "layout a list": ({"layout": ["NCHW"]}, SpecError, r"layout is \['NCHW'\]; allowed: NCHW, NHWC, NCHW16c"),
}
SIZES: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "stride bool": ({"stride": True}, SpecError, r"stride is True; allowed: an integer"),
    "input size 0": ({"input_shape": (1, 4, 0, 8)}, SpecError, r"input_shape\[2\] is 0; allowed: an integer from 1"),
    "input size negative": ({"input_shape": (1, 4, -8, 8)}, SpecError, r"input_shape\[2\] is -8; allowed"),
    "batch negative": (
        {"input_shape": (-1, 4, 8, 8)},
        SpecError,
        r"input_shape\[0\] is -1; allowed: an integer from 0",
    ),
    "no channels": ({"input_shape": (1, 0, 8, 8)}, SpecError, r"input_shape\[1\] is 0; allowed: an integer from 1"),
    "no filters": ({"weight_shape": (0, 4, 3, 3)}, SpecError, r"weight_shape\[0\] is 0; allowed: an integer from 1"),
    "an empty filter": ({"weight_shape": (6, 4, 0, 3)}, SpecError, r"weight_shape\[2\] is 0; allowed: an integer from"),
    "filter larger than the input": (
        {"weight_shape": (6, 4, 9, 3)},
        SpecError,
        r"\(9, 3\).*; allowed: at most .*\(8, 8\)",
    ),
    "ranks that differ": ({"weight_shape": (6, 4, 3)}, SpecError, r"weight_shape is \(6, 4, 3\); allowed: 4 sizes"),
    "no spatial dimension": (
        {"input_shape": (1, 4)},
        SpecError,
        r"input_shape is \(1, 4\); allowed: .* 1 to 3 spatial",
    ),
    "four spatial dimensions": ({"input_shape": (1,) * 6}, SpecError, r"input_shape is .*; allowed: .* 1 to 3 spatial"),
    "sizes that overflow": (HUGE, SpecError, r"bytes: [0-9]{20,}; allowed: up to 2\*\*63 - 1"),
    "dtype integer": ({"dtype": "int32"}, DTypeError, r"dtype is 'int32'; allowed: float32 or float64"),
    "dtype complex": ({"dtype": complex}, DTypeError, r"dtype is <class 'complex'>; allowed: float32 or float64"),
    "dtype None": ({"dtype": None}, DTypeError, r"dtype is None; allowed: float32 or float64"),
}


@pytest.mark.parametrize("case", [*PROBLEMS, *SIZES])
def test_problems_that_make_no_sense(case: str) -> None:
    given, error, message = (PROBLEMS | SIZES)[case]
    arguments = {"input_shape": x.shape, "weight_shape": w.shape} | given
    refused(lambda: cb.ConvSpec(**arguments), error, message)


@pytest.mark.parametrize("algorithm", ["auto", "im2col"])
@pytest.mark.parametrize("case", PROBLEMS)
def test_problems_that_make_no_sense_through_conv2d(case: str, algorithm: str) -> None:
    given, error, message = PROBLEMS[case]
    cb.conv2d(x, w, algorithm=algorithm)
    refused(lambda: cb.conv2d(x, w, algorithm=algorithm, **given), error, message)


RANKS: dict[str, tuple[Callable[[], object], str]] = {
    "conv1d, 2-D weight": (lambda: cb.conv1d(x, w), r"weight has 4 dimensions \(6, 4, 3, 3\); conv1d takes 3"),
    "conv1d, 2-D input": (lambda: cb.conv1d(x, w[..., 0]), r"input has 4 .*; conv1d takes 3, or 2 unbatched"),
    "conv2d, 1-D weight": (lambda: cb.conv2d(x, w[..., 0]), r"weight has 3 .*; conv2d takes 4"),
    "conv2d, a bare image": (lambda: cb.conv2d(x[0, 0], w), r"input has 2 .*\(8, 8\); conv2d takes 4, or 3 unbatched"),
    "conv2d, a number": (lambda: cb.conv2d(np.float32(1), w), r"input has 0 dimensions \(\); conv2d takes 4"),
    "conv3d, 2-D input": (lambda: cb.conv3d(x[0], w[..., None]), r"input has 3 .*; conv3d takes 5, or 4 unbatched"),
    "unbatched out": (
        lambda: cb.conv2d(x[0], w, out=Y),
        r"out has shape \(1, 6, 6, 6\); this problem gives \(6, 6, 6\)",
    ),
}


@pytest.mark.parametrize("case", RANKS)
def test_ranks(case: str) -> None:
    call, message = RANKS[case]
    refused(call, SpecError, message)


def test_an_image_in_another_layout_is_recognised() -> None:
    channels_last, blocks = np.zeros((1, 8, 9, 4), np.float32), np.zeros((1, 1, 8, 9, 16), np.float32)
    weight = np.zeros((6, 2, 3, 3), np.float32)
    for call, hint in (
        (lambda: cb.conv2d(channels_last, weight, groups=2), r"; input \(1, 8, 9, 4\) fits layout NHWC$"),
        (lambda: cb.conv2d(channels_last[0], weight, groups=2), r"; input \(8, 9, 4\) fits layout NHWC$"),
        (lambda: cb.conv2d(blocks, weight, groups=2), r"; input \(1, 1, 8, 9, 16\) fits layout NCHW16c$"),
        (lambda: cb.conv2d(channels_last, weight, groups=3), r"groups is 3; allowed: a divisor of both .* = 6$"),
        (lambda: cb.conv2d(np.moveaxis(channels_last, -1, 1), weight, groups=2, layout="NHWC"), "fits layout NCHW$"),
    ):
        refused(call, SpecError, hint)
    spec = cb.ConvSpec((1, 4, 8, 9), weight.shape, groups=2)
    solve, hint = cb.kernel(spec, "naive"), r"this problem takes \(1, 4, 8, 9\) in NCHW; it fits layout NHWC$"
    refused(lambda: solve(channels_last, weight), SpecError, hint)
    refused(lambda: solve.prepare(weight)(channels_last), SpecError, hint)
    refused(lambda: solve(channels_last[:, :5], weight), SpecError, r"this problem takes \(1, 4, 8, 9\)$")


@pytest.mark.parametrize("dtype", ["int32", "complex64", "float16", "object"])
def test_dtypes_of_conv2d(dtype: str) -> None:
    refused(
        lambda: cb.conv2d(x.astype(dtype), w.astype(dtype)),
        DTypeError, rf"input has dtype {dtype}; allowed: float32, float64",
    )  # fmt: skip
    refused(lambda: cb.conv2d(x, w.astype(dtype)), DTypeError, rf"weight has dtype {dtype}; allowed: float32, float64")


def test_dtypes_that_differ() -> None:
    refused(
        lambda: cb.conv2d(x, w.astype(float)),
        DTypeError, "input is float32 and weight float64; both must have the same dtype",
    )  # fmt: skip


@pytest.mark.parametrize("spec", [None, "mb1ic3ih8oc4kh3", x.shape, 5])
def test_what_is_not_a_spec(spec: Any) -> None:
    message = f"spec must be a ConvSpec, not {type(spec).__name__}"
    for call in (
        lambda: cb.kernel(spec, "direct"),
        lambda: cb.fastest(spec),
        lambda: cb.explain(spec),
        lambda: cb.check("direct", spec),
    ):
        refused(call, SpecError, message)


@pytest.mark.parametrize("text", [None, 5, b"mb1"])
def test_a_descriptor_is_a_string(text: Any) -> None:
    with pytest.raises(SpecError, match="string"):
        cb.ConvSpec.parse(text)
