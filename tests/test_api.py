"""conv1d, conv2d, conv3d mean what torch.nn.functional's do, and give what the chosen kernel gives."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import numpy as np
import pytest

import convbench as cb
from convbench.algorithm import direct_error
from convbench.data import arrays
from convbench.reference import oracle

CALLS = {1: cb.conv1d, 2: cb.conv2d, 3: cb.conv3d}
DTYPES = ("float32", "float64")
CASES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ((2, 3, 20), (4, 3, 5), {}),
    ((2, 4, 21), (6, 2, 4), {"stride": 2, "padding": 3, "dilation": 2, "groups": 2}),
    ((1, 3, 16), (2, 3, 4), {"padding": "same", "dilation": (3,)}),
    ((2, 3, 9, 8), (5, 3, 3, 3), {"padding": 1}),
    ((1, 4, 9, 8), (6, 4, 3, 2), {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}),
    ((1, 4, 9, 8), (6, 4, 4, 4), {"padding": "same"}),
    ((1, 4, 9, 8), (6, 4, 4, 4), {"padding": "valid"}),
    ((1, 4, 9, 8), (6, 4, 3, 3), {"padding": ((2, 0), (0, 1)), "stride": 3}),
    ((2, 6, 9, 8), (12, 1, 3, 3), {"groups": 6, "padding": 1}),
    ((0, 3, 9, 8), (5, 3, 3, 3), {}),
    ((1, 2, 5, 6, 7), (4, 2, 2, 3, 3), {"stride": (1, 2, 1), "padding": 1}),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("input_shape", "weight_shape", "geometry"), CASES, ids=str)
def test_against_the_oracle(
    input_shape: tuple[int, ...], weight_shape: tuple[int, ...], geometry: dict[str, Any], dtype: str
) -> None:
    spec = cb.ConvSpec(input_shape, weight_shape, **geometry, dtype=dtype)
    convolve = CALLS[spec.ndim]
    x, w, bias = arrays(spec)
    size = float(np.sqrt(oracle(x**2, w**2, bias**2, spec).max(initial=0)))
    for given in (bias, None):
        y = convolve(x, w, given, **geometry)
        assert y.dtype == dtype
        assert y.shape == spec.output_shape
        gap = np.abs(y - oracle(x, w, given, spec))
        assert gap.max(initial=0) <= 8 * direct_error(spec) * size
    for y_n, x_n in zip(convolve(x, w, bias, **geometry), x, strict=True):
        unbatched = convolve(x_n, w, bias, **geometry)
        assert unbatched.shape == spec.output_shape[1:]
        np.testing.assert_allclose(unbatched, y_n, rtol=0, atol=16 * direct_error(spec) * size)


def test_the_order_of_the_arguments_is_torchs() -> None:
    x, w, bias = arrays(cb.ConvSpec((1, 4, 11, 11), (4, 2, 3, 3), groups=2))
    by_place = cb.conv2d(x, w, bias, 2, 1, 2, 2)
    by_name = cb.conv2d(input=x, weight=w, bias=bias, stride=2, padding=1, dilation=2, groups=2)
    assert np.array_equal(by_place, by_name)
    with pytest.raises(TypeError, match="positional argument"):
        cb.conv2d(x, w, bias, 2, 1, 2, 2, "NCHW")  # type: ignore[misc]


def test_the_example_of_the_docstring() -> None:
    for number, convolve in CALLS.items():
        ones = (1,) * (number - 1)
        x = np.array([1.0, 2, 3]).reshape(1, 1, *ones, 3)
        assert convolve(x, np.array([1.0, 0]).reshape(1, 1, *ones, 2)).ravel().tolist() == [1, 2]
        assert "[1, 2, 3]" in (convolve.__doc__ or "")
        assert "cross-correlation" in (convolve.__doc__ or "")


@pytest.mark.parametrize("name", ["direct", "im2col", "winograd_4x4_3x3"])
def test_a_named_algorithm_is_the_one_that_computes(name: str) -> None:
    spec = cb.ConvSpec((1, 8, 20, 20), (8, 8, 3, 3), padding=1)
    operands = arrays(spec)
    want = cb.kernel(spec, name, threads=1)(*operands)
    assert np.array_equal(cb.conv2d(*operands, padding=1, algorithm=name, threads=1), want)


def test_auto_is_what_fastest_says_when_nothing_is_prepared() -> None:
    spec = cb.ConvSpec((1, 8, 20, 20), (8, 8, 3, 3), padding=1)
    operands = arrays(spec)
    want = cb.fastest(spec, threads=1, prepared=False)(*operands)
    assert np.array_equal(cb.conv2d(*operands, padding=1, threads=1), want)


def test_results_have_memory_of_their_own() -> None:
    x, w, bias = arrays(cb.ConvSpec((1, 8, 20, 20), (8, 8, 3, 3)))
    first = cb.conv2d(x, w, bias)
    kept = first.copy()
    second = cb.conv2d(2 * x, w, bias)
    assert np.array_equal(first, kept)
    assert not np.shares_memory(first, second)


@pytest.mark.parametrize("batched", [True, False])
def test_out_is_written_and_returned(batched: bool) -> None:
    spec = cb.ConvSpec((1, 4, 9, 8), (6, 4, 3, 3))
    x, w, bias = arrays(spec)
    x, shape = (x, spec.output_shape) if batched else (x[0], spec.output_shape[1:])
    wide = np.full((*shape[:-1], 2 * shape[-1]), np.nan, np.float32)
    for out in (np.full(shape, np.nan, np.float32), wide[..., ::2]):
        assert cb.conv2d(x, w, bias, out=out) is out
        assert np.array_equal(out, cb.conv2d(x, w, bias))
    assert np.isnan(wide[..., 1::2]).all()


def test_operands_may_be_lists_views_and_read_only() -> None:
    x, w, _ = arrays(cb.ConvSpec((1, 4, 9, 8), (6, 4, 3, 3), dtype="float64"))
    want = cb.conv2d(x.copy(), w.copy())
    assert np.array_equal(cb.conv2d(x, w), want)
    assert np.array_equal(cb.conv2d(x.tolist(), w.tolist()), want)
    assert np.array_equal(cb.conv2d(np.asfortranarray(x), w[::-1][::-1]), want)


@pytest.mark.parametrize("kind", [tuple, list, np.array])
def test_sizes_may_be_tuples_lists_and_arrays(kind: Any) -> None:
    x, w, _ = arrays(cb.ConvSpec((1, 4, 9, 8), (6, 4, 3, 3)))
    want = cb.conv2d(x, w, stride=(2, 1), padding=(1, 2), dilation=(1, 2))
    assert np.array_equal(cb.conv2d(x, w, stride=kind([2, 1]), padding=kind([1, 2]), dilation=kind([1, 2])), want)
    pairs = kind([kind([1, 1]), kind([2, 2])])
    assert np.array_equal(cb.conv2d(x, w, stride=kind([2, 1]), padding=pairs, dilation=kind([1, 2])), want)


def test_integers_may_be_arrays_of_no_dimension() -> None:
    x, w, _ = arrays(cb.ConvSpec((1, 4, 9, 8), (6, 4, 3, 3)))
    one, two, most = np.array(1), np.array(2), np.array(1 << 20)
    want = cb.conv2d(x, w, stride=2, padding=1, dilation=1, groups=1, threads=1, workspace_limit=1 << 20)
    given = cb.conv2d(x, w, stride=two, padding=one, dilation=[one, one], groups=one, threads=one, workspace_limit=most)
    assert np.array_equal(given, want)
    spec = cb.ConvSpec(x.shape, w.shape)
    assert type(cb.kernel(spec, "direct", threads=two, workspace_limit=most).threads) is int
    assert cb.fastest(spec, threads=one) is cb.fastest(spec, threads=1)


@pytest.mark.parametrize("what", ["stride", "padding", "dilation", "threads", "workspace_limit", "layout", "algorithm"])
def test_arrays_in_other_places_are_refused_by_name(what: str) -> None:
    x, w, _ = arrays(cb.ConvSpec((1, 4, 9, 8), (6, 4, 3, 3)))
    with pytest.raises(cb.SpecError, match=what):
        cb.conv2d(x, w, **{what: np.array([1.5, 1.5])})


def test_constraints_reach_the_choice() -> None:
    x, w, bias = arrays(cb.ConvSpec((1, 8, 20, 20), (8, 8, 3, 3)))
    spoilt = x.copy()
    spoilt[0, 0, 10, 10] = np.nan
    y = cb.conv2d(spoilt, w, bias, nonfinite="local", workspace_limit=10**6, max_error=1e-4, threads=2)
    assert np.isnan(y).sum() == 9 * 8


@pytest.mark.parametrize(("conv", "output"), [(cb.conv1d, "(N, K, Q)"), (cb.conv2d, "P, Q"), (cb.conv3d, "O, P, Q")])
def test_every_rank_has_name_text_and_signature_of_its_own(conv, output):
    assert pickle.loads(pickle.dumps(conv)) is conv
    assert conv.__doc__.startswith(f"{conv.__name__[4]}-D convolution")
    assert output in conv.__doc__
    names = list(inspect.signature(conv).parameters)
    assert names[:7] == ["input", "weight", "bias", "stride", "padding", "dilation", "groups"]
    assert names[-1] == "out"


@pytest.mark.parametrize(("ndim", "conv"), [(1, cb.conv1d), (2, cb.conv2d), (3, cb.conv3d)])
def test_arguments_that_do_not_fit_are_answered_in_the_name_that_was_called(ndim: int, conv: Any) -> None:
    x, w = np.zeros((1, 2, *[5] * ndim), np.float32), np.zeros((3, 2, *[3] * ndim), np.float32)
    with pytest.raises(
        TypeError, match=rf"^conv{ndim}d\(\) .*unexpected keyword argument 'pading'; it takes .*padding"
    ):
        conv(x, w, pading=1)
    with pytest.raises(TypeError, match=rf"^conv{ndim}d\(\) missing a required argument: 'weight'"):
        conv(x)


@pytest.mark.parametrize("geometry", [{"stride": 2**40}, {"stride": 10**6, "dilation": 10**6 - 1, "padding": 10**6}])
def test_steps_beyond_any_image_are_planned_at_once(geometry: dict[str, int]) -> None:
    x, w = np.ones((1, 4, 6, 6), np.float32), np.ones((8, 4, 3, 3), np.float32)
    reach = 0 if "padding" in geometry else 36  # 3·3·4 taps at the corner, or none but padding
    assert np.array_equal(cb.conv2d(x, w, **geometry), np.full((1, 8, 1, 1), reach, np.float32))


def test_what_a_filter_of_one_tap_cannot_mean() -> None:
    """Its dilation is no part of the plan, and Winograd has no code for each of its strides."""
    x, w = np.ones((1, 4, 6, 6), np.float32), np.ones((4, 1, 1, 3), np.float32)
    y = cb.conv2d(x, w, groups=4, stride=(2**40, 1), dilation=(2**40 + 1, 1))
    assert np.array_equal(y, np.full((1, 4, 1, 4), 3, np.float32))
    spec = cb.ConvSpec(x.shape, w.shape, groups=4, stride=(3, 1))
    with pytest.raises(cb.Unsupported, match=r"along one tap .* strides 1 and 2, not \(3, 1\)"):
        cb.kernel(spec, "winograd_2x2_3x3")
