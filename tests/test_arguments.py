"""What ConvSpec accepts, and how it refuses everything else: one clear line each."""

from __future__ import annotations

import numpy as np
import pytest

from convbench.arguments import nearest
from convbench.spec import ConvSpec, DTypeError, SpecError

X, W = (1, 8, 12, 10), (16, 8, 3, 3)
BIG = 2**40


@pytest.mark.parametrize("stride", [2, np.int64(2), (2,), (2, 2), [2, 2], np.array([2, 2], dtype=np.int32)])
def test_forms_of_stride(stride):
    spec = ConvSpec(X, W, stride=stride)
    assert spec.stride == (2, 2)
    assert all(type(value) is int for value in spec.stride)


@pytest.mark.parametrize(
    ("padding", "pairs"),
    [
        (1, ((1, 1), (1, 1))),
        ((1, 2), ((1, 1), (2, 2))),
        ([[0, 1], [2, 3]], ((0, 1), (2, 3))),
        (((0, 1),), ((0, 1), (0, 1))),
        (np.array([[0, 1], [2, 3]]), ((0, 1), (2, 3))),
        ("valid", ((0, 0), (0, 0))),
        ("same", ((1, 1), (1, 1))),
    ],
)
def test_forms_of_padding(padding, pairs):
    assert ConvSpec(X, W, padding=padding).padding == pairs


def test_same_puts_the_odd_one_behind_as_torch_does():
    spec = ConvSpec((1, 1, 12, 12), (1, 1, 4, 2), padding="same", dilation=(1, 3))
    assert spec.padding == ((1, 2), (1, 2))
    assert spec.output_spatial == (12, 12)


def test_shapes_may_be_lists_and_numpy_integers():
    spec = ConvSpec(list(np.array(X)), np.array(W))
    assert (spec.input_shape, spec.weight_shape) == (X, W)


@pytest.mark.parametrize("dtype", ["float64", np.float64, np.dtype("float64"), np.dtype(">f8")])
def test_forms_of_dtype(dtype):
    assert ConvSpec(X, W, dtype=dtype).dtype == "float64"


@pytest.mark.parametrize("dtype", ["float16", "int32", "complex64", "bfloat16", None, bool, np.int8, 32, object()])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(DTypeError, match="allowed: float32 or float64"):
        ConvSpec(X, W, dtype=dtype)


REFUSED = [
    ({"input_shape": (1, 8)}, r"input_shape is \(1, 8\); allowed: \(N, C, \*spatial\) with 1 to 3"),
    ({"input_shape": (1, 8, 2, 2, 2, 2)}, "with 1 to 3 spatial sizes"),
    ({"input_shape": 12}, "input_shape is 12"),
    ({"input_shape": None}, "input_shape is None"),
    ({"input_shape": "1234"}, "input_shape is '1234'"),
    ({"input_shape": (1, 8, 12)}, r"weight_shape is \(16, 8, 3, 3\); allowed: 3 sizes"),
    ({"input_shape": (-1, 8, 12, 10)}, r"input_shape\[0\] is -1; allowed: an integer from 0"),
    ({"input_shape": (1, 0, 12, 10)}, r"input_shape\[1\] is 0; allowed: an integer from 1"),
    ({"input_shape": (1, 8, 0, 10)}, r"input_shape\[2\] is 0"),
    ({"input_shape": (1, 8, 12.0, 10)}, r"input_shape\[2\] is 12.0; allowed: an integer"),
    ({"input_shape": (True, 8, 12, 10)}, r"input_shape\[0\] is True; allowed: an integer"),
    ({"input_shape": np.array(X, dtype=float)}, r"input_shape\[0\] is 1.0"),
    ({"weight_shape": (0, 8, 3, 3)}, r"weight_shape\[0\] is 0"),
    ({"weight_shape": (16, 8, 3, 0)}, r"weight_shape\[3\] is 0"),
    ({"weight_shape": (16, 8, -3, 3)}, r"weight_shape\[2\] is -3"),
    ({"weight_shape": (16, 4, 3, 3)}, r"weight_shape\[1\] is 4; allowed: C / groups = 8 / 1 = 8"),
    ({"weight_shape": (16, 8, 13, 3)}, r"filter is \(13, 3\), .* allowed: at most the padded input, \(12, 10\)"),
    ({"weight_shape": (16, 8, 3, 7), "dilation": 2}, r"\(5, 13\) when dilated"),
    ({"stride": 0}, "stride is 0; allowed: an integer from 1"),
    ({"stride": -1}, "stride is -1"),
    ({"stride": 1.0}, "stride is 1.0"),
    ({"stride": True}, "stride is True"),
    ({"stride": np.True_}, "stride is .*True"),
    ({"stride": None}, "stride is None"),
    ({"stride": "2"}, "stride is '2'"),
    ({"stride": (1, 2, 3)}, r"stride is \(1, 2, 3\); allowed: one value, or 2"),
    ({"stride": ()}, r"stride is \(\); allowed: one value, or 2"),
    ({"dilation": 0}, "dilation is 0"),
    ({"dilation": (1, -1)}, "dilation is -1"),
    ({"padding": -1}, "padding is -1; allowed: an integer from 0"),
    ({"padding": ((0, -1), (0, 0))}, "padding is -1"),
    ({"padding": 0.5}, "padding is 0.5"),
    ({"padding": (1, 2, 3)}, "padding is .* allowed: one value, or 2"),
    ({"padding": ((1, 2, 3), (0, 0))}, r"allowed: integers or \(before, after\) pairs"),
    ({"padding": "smae"}, "padding is 'smae'; did you mean 'same'"),
    ({"padding": "same", "stride": 2}, r"padding is 'same' with stride \(2, 2\); allowed: stride 1"),
    ({"groups": 0}, "groups is 0"),
    ({"groups": 3}, "groups is 3; allowed: a divisor of both C = 8 and K = 16"),
    ({"groups": 2}, r"weight_shape\[1\] is 8; allowed: C / groups = 8 / 2 = 4"),
    ({"groups": "2"}, "groups is '2'"),
    ({"layout": "NWHC"}, "layout is 'NWHC'; allowed: NCHW, NHWC, NCHW16c"),
    ({"repeats": 0}, "repeats is 0"),
    ({"stride": 2**63}, "stride is 9223372036854775808"),
    ({"input_shape": (BIG, 8, BIG, BIG)}, "allowed: up to 2..63 - 1"),
    ({"input_shape": (0, 8, BIG, BIG)}, "padded input bytes: "),
    ({"padding": BIG}, "padded input bytes: .* allowed: up to 2..63 - 1"),
    ({"input_shape": (1, BIG, 1, 1), "weight_shape": (BIG, BIG, 1, 1)}, "input, weight and output bytes: "),
    ({"input_shape": (2**20, 2**20, 64, 64), "weight_shape": (2**10, 2**20, 1, 1)}, "flop: "),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_senseless_problems_are_refused_in_one_line(changes, message):
    with pytest.raises(SpecError, match=message) as error:
        ConvSpec(**{"input_shape": X, "weight_shape": W} | changes)
    assert "\n" not in str(error.value)


def test_the_filter_may_fill_the_padded_input():
    assert ConvSpec((1, 1, 3, 3), (1, 1, 5, 5), padding=1).output_spatial == (1, 1)


def test_nearest_suggests_only_what_is_near():
    assert nearest("winogard", ["direct", "winograd"]) == "did you mean 'winograd'? allowed: direct, winograd"
    assert nearest("xyz", ["winograd", "direct"]) == "allowed: direct, winograd"
