"""Factors multiply back to their matrices, with as few terms as the tolerance allows."""

from __future__ import annotations

import numpy as np
import pytest

from convbench.algorithm import unit_roundoff
from convbench.kernels.low_rank import factorise, truncation

by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def matrices(rank: int, shape: tuple[int, int, int], dtype: str) -> np.ndarray:
    rng = np.random.default_rng([rank, *shape])
    left, right = rng.standard_normal((shape[0], shape[1], rank)), rng.standard_normal((shape[0], rank, shape[2]))
    return (left @ right).astype(dtype)


@by_dtype
@pytest.mark.parametrize("shape", [(4, 3, 3), (3, 15, 15), (2, 40, 9), (5, 1, 9), (2, 7, 1)])
@pytest.mark.parametrize("rank", [1, 2, 9])
def test_the_product_is_the_matrix(rank: int, shape: tuple[int, int, int], dtype: str) -> None:
    given = matrices(rank, shape, dtype)
    tolerance = truncation(shape[1] * shape[2], dtype)
    left, right, first = factorise(given, tolerance)
    assert (np.diff(first) == min(rank, *shape[1:])).all()
    assert left.dtype == right.dtype == given.dtype
    wide = np.longdouble
    for matrix, begin, end in zip(given, first[:-1], first[1:], strict=True):
        missing = matrix - left[begin:end].astype(wide).T @ right[begin:end].astype(wide)
        allowed = (tolerance + 3 * unit_roundoff(dtype)) * np.linalg.norm(matrix.astype(np.float64))
        assert np.sqrt((missing**2).sum()) <= allowed


def test_a_small_second_term_is_kept_or_dropped_by_the_tolerance() -> None:
    u, v = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0][:2]
    for size, terms in ((1e-4, 2), (1e-6, 1)):
        matrix = np.outer(u, v) + size * np.outer(v, u)
        assert factorise(matrix[None], 1e-5).first.tolist() == [0, terms]


@by_dtype
def test_zeros_and_values_that_are_not_finite_are_matrices_too(dtype: str) -> None:
    given = np.ones((4, 3, 3), dtype)
    given[0] = 0
    given[1, 2, 2] = np.nan
    given[2, 0, 1] = np.inf
    left, right, first = factorise(given, truncation(9, dtype))
    assert first.tolist() == [0, 1, 2, 3, 4]
    products = np.einsum("bm,bn->bmn", left, right)
    assert (products[0] == 0).all()
    assert np.isnan(left[1:3]).all()
    np.testing.assert_allclose(products[3], 1, rtol=4 * unit_roundoff(dtype))
