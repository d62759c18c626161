"""The Winograd transforms prove themselves in exact rationals; then the kernels meet the oracle."""

from __future__ import annotations

from fractions import Fraction

import pytest

from convbench.kernels.winograd import cook_toom, input_transform, output_transform

SIZES = [(m, r) for m in range(1, 8) for r in range(1, 6)]


class Exact:
    """Straight-line code on rationals."""

    add = staticmethod(lambda x, y: x + y)
    subtract = staticmethod(lambda x, y: x - y)
    scale = staticmethod(lambda c, x: c * x)
    multiply_add = staticmethod(lambda c, x, y: c * x + y)


def basis(n):
    return [[Fraction(i == j) for j in range(n)] for i in range(n)]


def times(matrix, vector):
    return [sum(c * v for c, v in zip(row, vector, strict=True)) for row in matrix]


@pytest.mark.parametrize(("m", "r"), SIZES)
def test_transform_is_the_fir_filter_exactly(m, r):
    """Aᵀ[(G g) ⊙ (Bᵀ d)] is bilinear in g and d, so agreement on every pair of basis vectors is a proof."""
    f = cook_toom(m, r)
    for j, g in enumerate(basis(r)):
        for k, d in enumerate(basis(f.alpha)):
            products = [u * v for u, v in zip(times(f.G, g), times(f.BT, d), strict=True)]
            assert times(f.AT, products) == [Fraction(i + j == k) for i in range(m)]


@pytest.mark.parametrize(("m", "r"), SIZES)
def test_straight_line_code_is_the_matrix_exactly(m, r):
    f = cook_toom(m, r)
    for e in basis(f.alpha):
        assert input_transform(f, e, Exact) == times(f.BT, e)
        assert output_transform(f, e, Exact) == times(f.AT, e)


def test_points_must_be_different_and_enough():
    with pytest.raises(ValueError, match=r"takes 3 different finite points, not \('0', '1', '1'\)"):
        cook_toom(2, 3, (Fraction(0), Fraction(1), Fraction(1)))
    with pytest.raises(ValueError, match="takes 5 different finite points"):
        cook_toom(4, 3, (Fraction(0),))
