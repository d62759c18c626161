"""Bad input: each gives an exception of ours and one clear line that names the value and what was allowed."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convbench as cb
from convbench import choices
from convbench.algorithm import UnknownAlgorithm
from convbench.arguments import DTypeError, SpecError
from convbench.driver import Kernel

x = np.ones((1, 4, 8, 8), np.float32)
w = np.ones((6, 4, 3, 3), np.float32)
bias = np.ones(6, np.float32)
SPEC = cb.ConvSpec(x.shape, w.shape)
Y = np.zeros(SPEC.output_shape, np.float32)


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def refused(call: Callable[[], object], error: type[Exception], message: str) -> None:
    """``call`` raises exactly this class, with one line that matches."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error) as raised:
            call()
    text = str(raised.value)
    assert type(raised.value) is error
    assert "\n" not in text
    assert re.search(message, text), text


#: what is passed instead of (input, weight, bias) or as out, the exception, and the line
OPERANDS: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "input None": ({"input": None}, SpecError, r"input is None; it must be an array"),
    "input ragged": ({"input": [[1.0], [1.0, 2.0]]}, SpecError, r"input is not an array: .*inhomogeneous"),
    "input text": ({"input": "photo.png"}, DTypeError, r"input has dtype <U9; .*float32"),
    "input integer": ({"input": x.astype(int)}, DTypeError, r"input has dtype int64; .*float32"),
    "input bool": ({"input": x.astype(bool)}, DTypeError, r"input has dtype bool; .*float32"),
    "input complex": ({"input": x.astype(complex)}, DTypeError, r"input has dtype complex128; .*float32"),
    "input half": ({"input": x.astype(np.float16)}, DTypeError, r"input has dtype float16; .*float32"),
    "input big endian": ({"input": x.astype(">f4")}, DTypeError, r"input has dtype >f4; .*float32"),
    "weight None": ({"weight": None}, SpecError, r"weight is None; it must be an array"),
    "weight integer": ({"weight": w.astype(int)}, DTypeError, r"weight has dtype int64; .*float32"),
    "bias integer": ({"bias": bias.astype(int)}, DTypeError, r"bias has dtype int64; .*float32"),
    "bias double": ({"bias": bias.astype(float)}, DTypeError, r"bias has dtype float64; .*float32"),
    "bias shorter": ({"bias": bias[:5]}, SpecError, r"bias has shape \(5,\); .*\(6,\)"),
    "bias longer": ({"bias": np.ones(7, np.float32)}, SpecError, r"bias has shape \(7,\); .*\(6,\)"),
    "bias of rank 2": ({"bias": bias[None]}, SpecError, r"bias has shape \(1, 6\); .*\(6,\)"),
    "bias a number": ({"bias": np.float32(1)}, SpecError, r"bias has shape \(\); .*\(6,\)"),
    "out a list": ({"out": [0.0]}, SpecError, r"out must be a NumPy array, not list"),
    "out of another shape": ({"out": Y[..., :5]}, SpecError, r"out has shape \(1, 6, 6, 5\); .*\(1, 6, 6, 6\)"),
    "out unbatched": ({"out": Y[0]}, SpecError, r"out has shape \(6, 6, 6\); .*\(1, 6, 6, 6\)"),
    "out double": ({"out": Y.astype(float)}, DTypeError, r"out has dtype float64; .*float32"),
    "out read-only": ({"out": read_only(Y)}, SpecError, r"out is read-only; it must be writable"),
}
SHAPES: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "input with fewer channels": ({"input": x[:, :3]}, SpecError, r"\(1, 3, 8, 8\).*\(1, 4, 8, 8\)"),
    "input of rank 3": ({"input": x[0]}, SpecError, r"\(4, 8, 8\).*\(1, 4, 8, 8\)"),
    "input of rank 5": ({"input": x[None]}, SpecError, r"\(1, 1, 4, 8, 8\).*\(1, 4, 8, 8\)"),
    "input double": ({"input": x.astype(float)}, DTypeError, r"input has dtype float64; .*float32"),
    "weight of another shape": ({"weight": w[:, :, :2]}, SpecError, r"\(6, 4, 2, 3\).*\(6, 4, 3, 3\)"),
    "weight double": ({"weight": w.astype(float)}, DTypeError, r"weight has dtype float64; .*float32"),
}


@pytest.mark.parametrize("case", [*OPERANDS, *SHAPES])
def test_operands_of_a_kernel(case: str) -> None:
    given, error, message = (OPERANDS | SHAPES)[case]
    solve = cb.kernel(SPEC, "im2col")
    operands = {"input": x, "weight": w, "bias": bias} | given
    refused(lambda: solve(**operands), error, message)
    prepared = {name: operands[name] for name in ("weight", "bias")}
    if not {"input", "out"} & set(given):
        refused(lambda: solve.prepare(**prepared), error, message)
    else:
        rest = {name: value for name, value in operands.items() if name not in prepared}
        refused(lambda: solve.prepare(**prepared)(**rest), error, message)


@pytest.mark.parametrize("case", OPERANDS)
def test_operands_of_conv2d(case: str) -> None:
    given, error, message = OPERANDS[case]
    refused(lambda: cb.conv2d(**({"input": x, "weight": w, "bias": bias} | given)), error, message)


def overlaps() -> dict[str, tuple[dict[str, np.ndarray], np.ndarray]]:
    """Operands, and an out that shares memory with one of them."""
    spec = SPEC.replace(padding=1)
    memory = np.zeros(1000, np.float32)
    y = memory[: np.prod(spec.output_shape)].reshape(spec.output_shape)
    return {
        "input": ({"input": memory[-256:].reshape(x.shape), "weight": w}, memory[616:].reshape(1, 6, 8, 8)),
        "weight": ({"input": x, "weight": y.reshape(-1)[:216].reshape(w.shape)}, y),
        "bias": ({"input": x, "weight": w, "bias": y.reshape(-1)[-6:]}, y),
    }


@pytest.mark.parametrize("case", overlaps())
def test_out_that_overlaps_an_input(case: str) -> None:
    operands, out = overlaps()[case]
    solve = cb.kernel(SPEC.replace(padding=1), "im2col")
    refused(lambda: solve(**operands, out=out), SpecError, "out overlaps an input")
    refused(lambda: cb.conv2d(**operands, padding=1, out=out), SpecError, "out overlaps an input")


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


NAMES: dict[Any, str] = {
    "dirct": r"unknown algorithm 'dirct'; did you mean 'direct'\? allowed: .*im2col",
    "Direct": r"unknown algorithm 'Direct'; did you mean 'direct'\?",
    "winograd_4x4_3": r"unknown algorithm 'winograd_4x4_3'; did you mean 'winograd_4x4_3x3'\?",
    "": r"unknown algorithm ''; allowed: .*direct",
    "magic": r"unknown algorithm 'magic'; allowed: .*direct",
    None: r"unknown algorithm None; allowed: .*direct",
    3: r"unknown algorithm 3; allowed: .*direct",
    ("direct",): r"unknown algorithm \('direct',\);.* allowed: .*direct",
}


@pytest.mark.parametrize("name", NAMES)
def test_unknown_algorithms(name: Any) -> None:
    for call in (
        lambda: cb.kernel(SPEC, name),
        lambda: cb.check(name, SPEC),
        lambda: cb.conv2d(x, w, algorithm=name),
    ):
        refused(call, UnknownAlgorithm, NAMES[name])


def test_a_list_is_no_algorithm() -> None:
    for call in (lambda: cb.kernel(SPEC, ["direct"]), lambda: cb.conv2d(x, w, algorithm=["direct"])):
        refused(call, UnknownAlgorithm, r"unknown algorithm \['direct'\]")


def test_auto_is_no_algorithm_of_a_kernel() -> None:
    refused(lambda: cb.kernel(SPEC, "auto"), UnknownAlgorithm, "unknown algorithm 'auto'")


#: constraints of fastest, explain and conv2d, and of kernel and check where those take them
CONSTRAINTS: dict[str, tuple[dict[str, Any], str]] = {
    "threads 0": ({"threads": 0}, r"threads is 0; allowed: an integer from 1"),
    "threads negative": ({"threads": -2}, r"threads is -2; allowed"),
    "threads beyond any machine's": (
        {"threads": 99_999},
        r"threads is 99999; allowed: an integer from 1 to [1-9][0-9]+$",
    ),
    "threads a float": ({"threads": 1.5}, r"threads is 1.5; allowed"),
    "threads bool": ({"threads": True}, r"threads is True; allowed"),
    "threads a list": ({"threads": [2]}, r"threads is \[2\]; allowed"),
    "workspace negative": ({"workspace_limit": -1}, r"workspace_limit is -1; allowed: an integer from 0"),
    "workspace text": ({"workspace_limit": "1 MB"}, r"workspace_limit is '1 MB'; allowed"),
    "error 0": ({"max_error": 0}, r"max_error is 0; allowed: None or a number > 0"),
    "error negative": ({"max_error": -1e-3}, r"max_error is -0.001; allowed"),
    "error NaN": ({"max_error": float("nan")}, r"max_error is nan; allowed"),
    "error text": ({"max_error": "small"}, r"max_error is 'small'; allowed"),
    "nonfinite unknown": ({"nonfinite": "global"}, r"nonfinite is 'global'; allowed: None or 'local'"),
    "nonfinite a list": ({"nonfinite": ["local"]}, r"nonfinite is \['local'\]; allowed"),
}


@pytest.mark.parametrize("case", CONSTRAINTS)
def test_constraints(case: str) -> None:
    given, message = CONSTRAINTS[case]
    refused(lambda: cb.fastest(SPEC, **given), SpecError, message)
    refused(lambda: cb.explain(SPEC, **given), SpecError, message)
    refused(lambda: cb.conv2d(x, w, **given), SpecError, message)
    if set(given) <= {"threads", "workspace_limit"}:
        refused(lambda: cb.kernel(SPEC, "im2col", **given), SpecError, message)
        refused(lambda: cb.conv2d(x, w, algorithm="im2col", **given), SpecError, message)
        refused(lambda: cb.check("im2col", SPEC, **given), SpecError, message)


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


def test_what_an_algorithm_cannot_is_said_by_kernel_and_never_later() -> None:
    sentence = r"pointwise cannot solve mb1ic4ih8oc6oh6kh3: the filter is 3×3; pointwise is for 1×1 filters"
    for call in (
        lambda: cb.kernel(SPEC, "pointwise"),
        lambda: cb.check("pointwise", SPEC),
        lambda: cb.conv2d(x, w, algorithm="pointwise"),
    ):
        refused(call, cb.Unsupported, sentence)


def test_workspace_that_is_not_enough_is_named_with_the_limit() -> None:
    refused(lambda: cb.kernel(SPEC, "im2col", workspace_limit=7), cb.Unsupported, r"im2col needs [0-9]+ bytes.* is 7$")


def test_constraints_that_nothing_meets() -> None:
    message = r"no algorithm meets these constraints for mb1ic4ih8oc6oh6kh3.*direct: error bound .* above max_error"
    refused(lambda: cb.fastest(SPEC, max_error=1e-12), cb.Unsupported, message)
    refused(lambda: cb.conv2d(x, w, max_error=1e-12), cb.Unsupported, message)


def test_constraints_are_for_auto() -> None:
    message = "max_error and nonfinite constrain algorithm='auto'; algorithm is 'direct'"
    refused(lambda: cb.conv2d(x, w, algorithm="direct", max_error=1e-3), SpecError, message)
    refused(lambda: cb.conv2d(x, w, algorithm="direct", nonfinite="local"), SpecError, message)


def test_every_exception_is_a_builtin_one_too() -> None:
    assert issubclass(SpecError, ValueError)
    assert issubclass(UnknownAlgorithm, SpecError)
    assert issubclass(cb.Unsupported, ValueError)
    assert issubclass(DTypeError, TypeError)
    assert (cb.SpecError, cb.DTypeError) == (SpecError, DTypeError)


def test_kernels_are_made_by_kernel_with_the_reason_why() -> None:
    assert isinstance(cb.kernel(SPEC, "direct"), Kernel)
    assert cb.kernel(SPEC, "direct").why == "direct: asked for by name"


def test_results_are_right_after_all_these_refusals() -> None:
    want = np.full(SPEC.output_shape, 37, np.float32)
    for algorithm in ("auto", "direct", "im2col"):
        np.testing.assert_allclose(cb.conv2d(x, w, bias, algorithm=algorithm), want, rtol=1e-5)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"version": 1}', '{"version": "x", "choices": {}}', json.dumps({"choices": 3}), "\0"],
)
def test_a_corrupt_selection_file_is_one_warning_and_no_exception(text: str, user_cache: Path) -> None:
    user_cache.mkdir()
    choices.path().write_text(text)
    with pytest.warns(UserWarning, match=r"choices.json are ignored \(.*\); run a benchmark to renew them") as caught:
        assert cb.fastest(SPEC).algorithm in cb.list_algorithms()
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cb.fastest(SPEC, threads=1)


def test_a_selection_file_that_cannot_be_read_is_one_warning(user_cache: Path) -> None:
    choices.path().mkdir(parents=True)
    with pytest.warns(UserWarning, match=r"choices.json are ignored") as caught:
        cb.fastest(SPEC)
    assert len(caught) == 1


@pytest.mark.parametrize("strided", [lambda a: a[..., ::-1], lambda a: a.transpose(0, 1, 3, 2)])
def test_out_that_overlaps_a_strided_input(strided: Any) -> None:
    image = np.zeros((1, 4, 8, 8), np.float32)
    weight = np.zeros((4, 4, 1, 1), np.float32)
    planned = cb.kernel(cb.ConvSpec(image.shape, weight.shape), "direct")
    for call in (
        lambda: planned(strided(image), weight, out=image),
        lambda: planned.prepare(weight)(strided(image), image),
    ):
        with pytest.raises(SpecError, match="overlaps"):
            call()


@pytest.mark.parametrize("wrong", [{"stride": 1.0}, {"stride": True}, {"groups": 1.0}, {"threads": True}])
def test_an_equal_value_of_another_type_is_refused_after_a_call_too(wrong: dict[str, Any]) -> None:
    image, weight = np.zeros((1, 4, 8, 8), np.float32), np.zeros((4, 4, 1, 1), np.float32)
    cb.conv2d(image, weight, threads=1)
    with pytest.raises(SpecError):
        cb.conv2d(image, weight, **{"threads": 1, **wrong})


@pytest.mark.parametrize("text", [None, 5, b"mb1"])
def test_a_descriptor_is_a_string(text: Any) -> None:
    with pytest.raises(SpecError, match="string"):
        cb.ConvSpec.parse(text)
