"""Layouts other than NCHW: shapes, round trips, convolution in them, and their errors."""

from __future__ import annotations

import numpy as np
import pytest

import convbench as cb
from convbench.algorithm import algorithms
from convbench.kernels.relayout import from_planes, to_planes
from convbench.layouts import BLOCK, LAYOUTS, fitting, logical, logical_shape, stored, stored_shape
from convbench.verify import check

OTHER = [layout for layout in LAYOUTS if layout != "NCHW"]
by_layout = pytest.mark.parametrize("layout", OTHER)
TEXTS = (
    "mb2ic5ih9oc18oh9kh3ph1", "mb1ic7iw20oc3kw3", "mb1g6ic6ih8oc6kh3", "mb1ic18ih5oc20kh1", "mb1ic3ih9oc5kh5",
    "mb1ic3ih9oc5kh7", "--dt=f64 mb1ic3ih8oc2kh3",
)  # fmt: skip
SHAPES = [(1, 1, 1), (2, 3, 5, 7), (1, 16, 4, 4), (2, 17, 33), (1, 40, 3, 5, 6), (0, 5, 4, 4)]


@pytest.mark.parametrize("shape", SHAPES)
@by_layout
def test_shapes_and_values_round_trip(shape: tuple[int, ...], layout: str) -> None:
    image = np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)
    there = stored(image, layout)
    assert there.shape == stored_shape(shape, layout)
    assert logical_shape(there.shape, layout, shape[1]) == shape
    assert np.array_equal(logical(there, layout, shape[1]), image)
    assert there.sum() == image.sum()


@pytest.mark.parametrize(
    ("shape", "channels", "ndim", "layouts"),
    [
        ((1, 64, 56, 56), 64, 2, ["NCHW"]),
        ((1, 56, 56, 64), 64, 2, ["NHWC"]),
        ((56, 56, 64), 64, 2, ["NHWC"]),
        ((2, 8, 8, 8), 8, 2, ["NCHW", "NHWC"]),
        ((1, 2, 7, 7, 16), 20, 2, ["NCHW16c"]),
        ((1, 2, 7, 7, 8), 16, 2, []),
        ((1, 3, 56, 56), 64, 2, []),
        ((7, 5), 5, 1, ["NHWC"]),
    ],
)
def test_layouts_that_an_array_fits(shape: tuple[int, ...], channels: int, ndim: int, layouts: list[str]) -> None:
    assert fitting(shape, channels, ndim) == layouts


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[0]])
@by_layout
def test_kernels_move_what_numpy_moves(layout: str, shape: tuple[int, ...], threads: int, dtype: str) -> None:
    image = np.random.default_rng(0).normal(size=shape).astype(dtype)
    there, planes = np.full(stored_shape(shape, layout), np.nan, dtype), np.full(shape, np.nan, dtype)
    from_planes(image, there, layout, threads)
    assert np.array_equal(there, stored(image, layout))
    to_planes(there, planes, layout, threads)
    assert np.array_equal(planes, image)


@pytest.mark.parametrize("name", algorithms())
@by_layout
def test_every_algorithm_is_right_in_every_layout(name: str, layout: str) -> None:
    ran = 0
    for text in TEXTS:
        spec = cb.ConvSpec.parse(text).replace(layout=layout)
        try:
            verdict = check(name, spec)
        except cb.Unsupported:
            continue
        ran += 1
        assert verdict.ok, verdict
    assert ran


@by_layout
def test_conv2d_takes_and_gives_the_layout(layout: str) -> None:
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(2, 20, 9, 8)), rng.normal(size=(6, 10, 3, 3))
    expected = cb.conv2d(x, w, padding=1, groups=2, algorithm="naive")
    there = stored(x, layout)
    y = cb.conv2d(there, w, padding=1, groups=2, layout=layout)
    assert y.shape == stored_shape(expected.shape, layout)
    assert np.allclose(logical(y, layout, 6), expected)
    out = np.full(y.shape[1:], np.nan)
    assert np.allclose(cb.conv2d(there[0], w, padding=1, groups=2, layout=layout, out=out), y[0])
    if layout == "NCHW16c":
        assert not y[..., 6 % BLOCK :].any()


@by_layout
def test_the_layout_is_part_of_the_problem(layout: str) -> None:
    spec = cb.ConvSpec.parse("mb1ic5ih9oc18kh3")
    other = spec.replace(layout=layout)
    assert other != spec
    assert str(other) == f"--layout={layout} {spec}"
    assert cb.ConvSpec.parse(str(other.replace(dtype="float64"))) == other.replace(dtype="float64")
    assert other.output_shape == spec.output_shape
    assert cb.fastest(other).workspace_bytes >= spec.itemsize * (9 * 9 * 5 + 7 * 7 * 18)


@by_layout
def test_limits_and_shapes_are_refused_by_value(layout: str) -> None:
    spec = cb.ConvSpec.parse("mb1ic5ih9oc18kh3").replace(layout=layout)
    with pytest.raises(cb.Unsupported, match="the limit is 100"):
        cb.kernel(spec, "naive", workspace_limit=100)
    with pytest.raises(cb.SpecError, match="layout is 'NWHC'"):
        spec.replace(layout="NWHC")
    with pytest.raises(cb.SpecError, match="layout is 'nhwc'"):
        cb.conv2d(np.zeros((1, 5, 9, 9)), np.zeros((18, 5, 3, 3)), layout="nhwc")
    with pytest.raises(cb.SpecError, match="weight_shape"):
        cb.conv2d(np.zeros((1, 5, 9, 9)), np.zeros((18, 5, 3, 3)), layout="NHWC")
