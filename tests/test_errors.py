"""Bad operands: each gives an exception of ours and one clear line that names the value and what was allowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from refusals import SPEC, Y, bias, read_only, refused, w, x

import convbench as cb
from convbench.algorithm import UnknownAlgorithm
from convbench.arguments import DTypeError, SpecError

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
    "input masked": ({"input": np.ma.array(x, mask=x > 0)}, SpecError, r"input is a masked array.*filled"),
    "input masked inside a list": ({"input": [np.ma.array(x[0], mask=x[0] > 0)]}, SpecError, r"is a masked.*filled"),
    "out masked": ({"out": np.ma.array(Y)}, SpecError, r"out is a masked array.*filled"),
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


def test_every_exception_is_a_builtin_one_too() -> None:
    assert issubclass(SpecError, ValueError)
    assert issubclass(UnknownAlgorithm, SpecError)
    assert issubclass(cb.Unsupported, ValueError)
    assert issubclass(DTypeError, TypeError)
    assert (cb.SpecError, cb.DTypeError) == (SpecError, DTypeError)


def test_results_are_right_after_all_these_refusals() -> None:
    want = np.full(SPEC.output_shape, 37, np.float32)
    for algorithm in ("auto", "direct", "im2col"):
        np.testing.assert_allclose(cb.conv2d(x, w, bias, algorithm=algorithm), want, rtol=1e-5)


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
