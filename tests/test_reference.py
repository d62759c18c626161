"""The oracle against worked examples and SciPy; its sampled form against its whole one."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal

from convbench import suites
from convbench.data import arrays
from convbench.reference import oracle, outputs
from convbench.spec import ConvSpec
from convbench.suites import Problem

by_problem = pytest.mark.parametrize("problem", suites.load("correctness"), ids=str)


def test_a_worked_example() -> None:
    """Cross-correlation: the filter is not turned round."""
    spec = ConvSpec((1, 1, 3), (1, 1, 2))
    y = oracle(np.array([[[1, 2, 3]]]), np.array([[[1, 0]]]), None, spec)
    assert y.tolist() == [[[1, 2]]]
    y = oracle(np.array([[[1, 2, 3]]]), np.array([[[0, 10]]]), np.array([5]), spec.replace(padding=1))
    assert y.tolist() == [[[15, 25, 35, 5]]]


def test_a_worked_example_with_groups_stride_and_dilation() -> None:
    x = np.arange(1, 11, dtype=float).reshape(1, 2, 5)
    w = np.array([[[1.0, 100]], [[10, 1000]]])
    spec = ConvSpec(x.shape, w.shape, stride=2, dilation=2, groups=2, dtype="float64")
    assert oracle(x, w, None, spec).tolist() == [[[1 + 300, 3 + 500], [60 + 8000, 80 + 10000]]]


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_dense_problems_are_sums_of_scipys_correlations(ndim: int) -> None:
    sizes, filter = (9, 8, 7)[:ndim], (4, 3, 2)[:ndim]
    spec = ConvSpec((2, 3, *sizes), (5, 3, *filter), dtype="float64")
    x, w, bias = arrays(spec)
    want = np.array([
        [
            sum(scipy.signal.correlate(x[n, c], w[k, c], "valid", "direct") for c in range(3)) + bias[k]
            for k in range(5)
        ]
        for n in range(2)
    ])  # fmt: skip
    np.testing.assert_allclose(oracle(x, w, bias, spec).astype(float), want, rtol=1e-12, atol=1e-12)


def test_padding_stride_and_dilation_are_scipys_full_correlation_sampled() -> None:
    spec = ConvSpec((1, 1, 11, 10), (1, 1, 3, 4), stride=(2, 3), padding=((1, 3), (0, 2)), dilation=(2, 1),
                    dtype="float64")  # fmt: skip
    x, w, _ = arrays(spec)
    spread = np.zeros(spec.effective_filter)
    spread[:: spec.dilation[0], :: spec.dilation[1]] = w[0, 0]
    padded = np.pad(x[0, 0], spec.padding)
    want = scipy.signal.correlate(padded, spread, "valid", "direct")[::2, ::3]
    np.testing.assert_allclose(oracle(x, w, None, spec)[0, 0].astype(float), want, rtol=1e-12, atol=1e-12)


@by_problem
def test_chosen_outputs_agree_with_all(problem: Problem) -> None:
    spec = problem.spec
    operands = arrays(spec)
    at = np.argwhere(np.ones((spec.N, *spec.output_spatial), bool))[::-3]
    whole = np.moveaxis(oracle(*operands, spec), 1, -1)[tuple(at.T)]
    chosen = outputs(*operands, spec, at)
    assert chosen.shape == (len(at), spec.K)
    np.testing.assert_allclose(chosen.astype(float), whole.astype(float), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("dtype", "wide"), [("float32", np.float64), ("float64", np.longdouble)])
def test_sums_are_wider_than_the_problem(dtype: str, wide: type) -> None:
    spec = ConvSpec((1, 2, 4, 4), (3, 2, 3, 3), dtype=dtype)
    x, w, bias = arrays(spec)
    assert oracle(x, w, bias, spec).dtype == wide
    assert outputs(x, w, bias, spec, np.zeros((1, 3), int)).dtype == wide


def test_an_empty_batch_has_an_empty_answer() -> None:
    spec = ConvSpec((0, 2, 4, 4), (3, 2, 3, 3))
    assert oracle(*arrays(spec), spec).shape == (0, 3, 2, 2)
