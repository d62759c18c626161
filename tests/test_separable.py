"""Separable and depthwise-separable: the numerical rank they find, and that any weights come out right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convbench.algorithm import Unsupported, get
from convbench.data import arrays
from convbench.driver import kernel
from convbench.spec import ConvSpec
from convbench.verify import check

IMAGE = ConvSpec((1, 1, 40, 60), (1, 1, 15, 15), padding=7)
LAYER = ConvSpec((2, 6, 12, 13), (10, 6, 3, 3), padding=1)


def state(name: str, spec: ConvSpec, weight: np.ndarray) -> Any:
    return get(name).prepare(kernel(spec, name, threads=1).plan, weight.astype(spec.np_dtype))


def gaussian(size: int, dtype: str) -> np.ndarray:
    """As users write it: exp of squared distances in the dtype, then normalised."""
    i = np.arange(size, dtype=dtype) - size // 2
    g = np.exp(-(i[:, None] ** 2 + i[None] ** 2) / np.dtype(dtype).type(2 * 2.5**2))
    return (g / g.sum())[None, None]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_common_filters_have_the_rank_they_should(dtype: str) -> None:
    spec = IMAGE.replace(dtype=dtype)
    assert state("separable", spec, gaussian(15, dtype)).first.tolist() == [0, 1]
    small = spec.replace(weight_shape=(1, 1, 3, 3), padding=1)
    for rows, rank in (
        ([[1, 0, -1], [2, 0, -2], [1, 0, -1]], 1),  # Sobel
        ([[1, 1, 1], [1, 1, 1], [1, 1, 1]], 1),  # box
        ([[0, 1, 0], [1, -4, 1], [0, 1, 0]], 2),  # Laplace
        ([[0, 0, 0], [0, 0, 0], [0, 0, 0]], 1),
    ):
        assert state("separable", small, np.array([[rows]])).first.tolist() == [0, rank]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_data_of_rank_one_takes_one_term_a_filter(dtype: str) -> None:
    spec = LAYER.replace(dtype=dtype)
    weight = arrays(spec, kind="rank1")[1]
    assert np.diff(state("separable", spec, weight).first).tolist() == [1] * (spec.K * spec.C)
    assert state("depthwise_separable", spec, weight).first.tolist() == [0, spec.C]
    dense = arrays(spec)[1]
    assert np.diff(state("separable", spec, dense).first).tolist() == [3] * (spec.K * spec.C)
    assert state("depthwise_separable", spec, dense).first.tolist() == [0, spec.C * 9]


@pytest.mark.parametrize("kind", ["normal", "rank1", "scaled", "relu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["separable", "depthwise_separable"])
def test_any_weights(name: str, dtype: str, kind: str) -> None:
    for spec in (
        LAYER,
        LAYER.replace(weight_shape=(10, 2, 3, 3), input_shape=(1, 4, 9, 70), groups=2, stride=(2, 3), dilation=2),
        IMAGE.replace(padding=(0, 9), stride=2),
        ConvSpec((1, 40, 9, 11), (70, 40, 3, 5), padding=2),
    ):
        verdict = check(name, spec.replace(dtype=dtype), kind=kind)
        assert verdict.ok, verdict


def test_filters_of_different_rank_side_by_side() -> None:
    """A dense filter, an outer product, zeros and a single tap in one bank."""
    spec = ConvSpec((1, 2, 20, 20), (4, 2, 5, 5), padding=2, dtype="float64")
    x, dense, bias = arrays(spec)
    weight = dense.copy()
    weight[1] = arrays(spec, kind="rank1")[1][1]
    weight[2] = 0
    weight[3] = 0
    weight[3, 1, 4, 0] = 2
    expected = kernel(spec, "naive", threads=1)(x, weight, bias)
    for name in ("separable", "depthwise_separable"):
        np.testing.assert_allclose(kernel(spec, name, threads=1)(x, weight, bias), expected, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(expected[0, 2], np.broadcast_to(bias[2], (20, 20)))
    assert np.diff(state("separable", spec, weight).first).tolist() == [5, 5, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["separable", "depthwise_separable"])
def test_weights_that_are_not_finite_are_not_refused(name: str, value: float) -> None:
    x, weight, bias = arrays(LAYER)
    weight = weight.copy()
    weight[3, 2, 0, 0] = value
    y = kernel(LAYER, name, threads=1)(x, weight, bias)
    assert not np.isfinite(y[:, 3]).any()
    if name == "separable":
        assert np.isfinite(np.delete(y, 3, axis=1)).all()


def test_a_value_that_is_not_finite_stays_with_the_outputs_that_read_it() -> None:
    x, weight, bias = arrays(LAYER)
    x = x.copy()
    x[0, 1, 5, 6] = np.inf
    for name in ("separable", "depthwise_separable"):
        bad = ~np.isfinite(kernel(LAYER, name, threads=1)(x, weight, bias))
        assert bad[0, :, 4:7, 5:8].all()
        assert bad.sum() == LAYER.K * 9


def test_chunks_of_terms_add_up() -> None:
    """More terms than a chunk holds, at full rank and with little workspace."""
    spec = ConvSpec((1, 50, 9, 40), (33, 50, 3, 3), padding=1)
    plan = kernel(spec, "depthwise_separable", threads=1).plan
    assert plan.depth < spec.C * 9
    small = kernel(spec, "depthwise_separable", threads=1, workspace_limit=100_000)
    assert small.plan.depth < plan.depth
    for limit in (None, 100_000):
        verdict = check("depthwise_separable", spec, workspace_limit=limit)
        assert verdict.ok, verdict


def test_one_and_three_dimensions_are_refused_with_the_number() -> None:
    for spec in (ConvSpec((1, 1, 9), (1, 1, 3)), ConvSpec((1, 1, 5, 5, 5), (1, 1, 3, 3, 3))):
        with pytest.raises(Unsupported, match=rf"takes 2 dimensions; this problem has {spec.ndim}"):
            kernel(spec, "separable")
