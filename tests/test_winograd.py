"""The Winograd transforms prove themselves in exact rationals; then the kernels meet the oracle."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from convbench.algorithm import default_prepare_cost, get
from convbench.algorithms import winograd
from convbench.data import arrays
from convbench.driver import kernel
from convbench.kernels import winograd_grid
from convbench.kernels.jit import njit
from convbench.kernels.simd import VECTOR_BYTES
from convbench.kernels.winograd import Transform, cook_toom, input_transform, output_transform, points, strided
from convbench.kernels.winograd_code import invert_tile, sized, split_line, transform_tiles
from convbench.machine import SHIPPED
from convbench.spec import ConvSpec
from convbench.verify import check

SIZES = [(m, r) for m in range(1, 8) for r in range(1, 6)]
STRIDED = [(m, r, stride) for m in (1, 2, 3) for r in (1, 2, 3, 5) for stride in (2, 3) if stride <= r or m == 1]


class Exact:
    """Straight-line code on rationals."""

    add = staticmethod(lambda x, y: x + y)
    subtract = staticmethod(lambda x, y: x - y)
    scale = staticmethod(lambda c, x: c * x)
    multiply_add = staticmethod(lambda c, x, y: c * x + y)


class Float32:
    """Straight-line code on float32 arrays, a multiply-add rounded once."""

    add = staticmethod(lambda x, y: x + y)
    subtract = staticmethod(lambda x, y: x - y)
    scale = staticmethod(lambda c, x: np.float32(c) * x)
    multiply_add = staticmethod(lambda c, x, y: (np.float64(np.float32(c)) * x + y).astype(np.float32))


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


@pytest.mark.parametrize(("m", "r", "stride"), STRIDED)
def test_strided_transform_is_the_strided_filter_exactly(m, r, stride):
    f = strided(m, r, stride)
    for j, g in enumerate(basis(r)):
        for k, d in enumerate(basis(f.alpha)):
            products = [u * v for u, v in zip(times(f.G, g), times(f.BT, d), strict=True)]
            assert times(f.AT, products) == [Fraction(stride * i + j == k) for i in range(m)]


@pytest.mark.parametrize(("m", "r", "stride"), [(m, r, 1) for m, r in SIZES] + STRIDED)
def test_straight_line_code_is_the_matrix_exactly(m, r, stride):
    f = strided(m, r, stride)
    for e in basis(f.alpha):
        assert input_transform(f, e, Exact) == times(f.BT, e)
        assert output_transform(f, e, Exact) == times(f.AT, e)


def test_points_must_be_different_and_enough():
    with pytest.raises(ValueError, match=r"takes 3 different finite points, not \('0', '1', '1'\)"):
        cook_toom(2, 3, (Fraction(0), Fraction(1), Fraction(1)))
    with pytest.raises(ValueError, match="takes 5 different finite points"):
        cook_toom(4, 3, (Fraction(0),))
    with pytest.raises(ValueError, match="skips inputs"):
        strided(2, 2, 3)


def both(apply, f, tile, on):
    """``apply`` along both dimensions of ``tile``, a list of rows of values."""
    columns = zip(*[apply(f, row, on) for row in tile], strict=True)
    return [list(row) for row in zip(*[apply(f, column, on) for column in columns], strict=True)]


def rms_error(f: Transform, channels=16, tiles=200) -> float:
    """Of F(m × m, r × r) on N(0, 1) data in float32, relative to √(x² ⋆ w²)'s mean, in units of roundoff."""
    rng = np.random.default_rng(0)
    d = rng.standard_normal((channels, f.alpha, f.alpha, tiles)).astype(np.float32)
    g = rng.standard_normal((channels, f.r, f.r)).astype(np.float32)
    G = np.array(f.G, float)
    U = (G @ g @ G.T).astype(np.float32)
    sums = np.zeros((f.alpha, f.alpha, tiles), np.float32)
    for c in range(channels):
        V = np.array(both(input_transform, f, list(d[c]), Float32))
        sums = (sums + U[c, :, :, None].astype(float) * V).astype(np.float32)
    y = np.array(both(output_transform, f, list(sums), Float32))
    exact = sum(
        np.einsum("cijt,c->ijt", d[:, i : i + f.m, j : j + f.m].astype(float), g[:, i, j].astype(float))
        for i in range(f.r)
        for j in range(f.r)
    )
    return float(np.sqrt(np.mean((y - exact) ** 2) / (channels * f.r**2)) * 2**24)


def pairs(*values):
    return (Fraction(0), *(sign * Fraction(v) for v in values for sign in (1, -1)))


def test_points_beat_their_neighbours():
    """The choices of ``POINTS``, with the straight-line code's own rounding; 99/70 stands for √2."""
    chosen = rms_error(cook_toom(4, 3))
    assert chosen < 0.6 * rms_error(cook_toom(4, 3, pairs(1, 2)))
    assert chosen < 1.05 * rms_error(cook_toom(4, 3, pairs("70/99", "99/70")))
    assert rms_error(cook_toom(3, 3)) < 0.75 * rms_error(cook_toom(3, 3, (*pairs(1), Fraction(2))))
    chosen = rms_error(cook_toom(6, 3))
    for a in ("1/3", "5/9", "3/5", "2/3"):
        assert chosen < rms_error(cook_toom(6, 3, pairs(1, a, 1 / Fraction(a)))), a


def test_amplification_is_that_of_independent_errors():
    """Perturb each product by an independent relative error: the worst output's rms error is κ times as large."""
    rng = np.random.default_rng(0)
    for f in (*(cook_toom(m, 3) for m in (2, 4, 6)), strided(2, 3, 2)):
        AT, G, BT = (np.array(matrix, float) for matrix in (f.AT, f.G, f.BT))
        products = (G @ rng.standard_normal((3, 100_000))) * (BT @ rng.standard_normal((f.alpha, 100_000)))
        errors = AT @ (products * rng.standard_normal(products.shape))
        assert np.sqrt((errors**2).mean(axis=1)).max() / np.sqrt(3) == pytest.approx(f.amplification, rel=0.03)


def test_every_size_has_its_points():
    for m, r in SIZES:
        assert len(set(points(m, r))) == m + r - 2


@njit
def split_and_transform(rows, columns, lines, reach, count, split, element, v, step):
    """Lines (rows, length) of a run of strips of ``count`` tiles each: split, then transformed."""
    step_h, step_w, lanes = len(rows[0]) * len(rows[2]), len(columns[0]) * len(columns[2]), step
    alpha_w = step_w + len(columns[1]) - len(columns[2])
    for row in range(lines.shape[0]):
        at = row % step_h * alpha_w * element + row // step_h * count
        for t in range(0, count + (alpha_w - 1) // step_w, lanes):
            j = step_w * t
            split_line(columns, lines.reshape(lines.size), row * lines.shape[1] + j, 1, 0, max(0, reach - j), 0, split,
                       at, element, t, count)  # fmt: skip
    transform_tiles(rows, columns, split, 0, element, count, v, 0, step)


@njit
def invert_once(rows, columns, products, step, pixels, row_step):
    invert_tile(rows, columns, products, 0, step, pixels, 0, row_step)


@pytest.mark.parametrize(("m", "r", "stride"), [(2, 4, 1), (3, 2, 1), (4, 3, 1), (1, 1, 1), (2, 3, 2), (1, 1, 2)])
def test_vector_code_is_the_matrices(m, r, stride):
    """Any F(m, r), different in the two dimensions: one tile a lane going in, one channel a lane coming out."""
    down, across, lanes = strided(3, 2, stride), strided(m, r, stride), VECTOR_BYTES // 8
    sizes = sized(down.m, down.r, stride), sized(across.m, across.r, stride)
    (B_h, A_h), (B_w, A_w) = (([np.array(matrix, float) for matrix in (f.BT, f.AT)]) for f in (down, across))
    rng = np.random.default_rng(0)
    strips, count = 2, max(1, lanes // 2)
    lines = rng.standard_normal(tuple(f.step * n + f.r - stride for f, n in ((down, strips), (across, count))))
    v = np.full((down.alpha, across.alpha, lanes), np.nan)
    element = (strips + (down.alpha - 1) // down.step) * count + lanes
    split = np.full(down.step * across.alpha * element, np.nan)
    split_and_transform(*sizes, lines, lines.shape[1], count, split, element, v.reshape(-1), lanes)
    for strip in range(min(strips, lanes // count)):
        for t in range(count):
            tile = lines[down.step * strip :, across.step * t :][: down.alpha, : across.alpha]
            np.testing.assert_allclose(v[..., strip * count + t], B_h @ tile @ B_w.T, atol=1e-12)

    products = rng.standard_normal(v.shape)
    pixels = np.empty((down.m, across.m, lanes))
    invert_once(*sizes, products.ravel(), lanes, pixels.reshape(-1), pixels[0].size)
    np.testing.assert_allclose(pixels, np.einsum("ix,xyl,jy->ijl", A_h, products, A_w), atol=1e-12)


SPEC = ConvSpec((2, 5, 19, 41), (70, 5, 3, 3), padding=((2, 1), (0, 3)), dilation=(1, 2))


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("tiles", [1, 7, 56])
def test_blocks_and_threads_change_no_bit(monkeypatch, tiles, threads):
    """A tile's result does not depend on its neighbours: neither on those in its block nor on who computed them."""
    x, w, bias = arrays(SPEC)
    expected = kernel(SPEC, "winograd_4x4_3x3", threads=1)(x, w, bias)
    monkeypatch.setattr(winograd, "FEWEST", tiles)
    monkeypatch.setattr(winograd, "MOST", tiles)
    planned = kernel(SPEC, "winograd_4x4_3x3", threads=threads)
    assert planned.plan.grid.blocks > 1
    np.testing.assert_array_equal(planned(x, w, bias), expected)


def test_channels_are_summed_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(winograd_grid, "DEPTH", 2)
    assert kernel(SPEC, "winograd_4x4_3x3").plan.grid.depth == 2
    assert check("winograd_4x4_3x3", SPEC).ok


@pytest.mark.parametrize(("m", "factor"), [(2, 2.25), (4, 4.0), (6, 81 / 16)])
def test_products_fall_by_the_papers_factor(m, factor):
    """Lavin & Gray, §4: where tiles and panels leave no remainder, multiplications are 9·m² / (m + 2)² times fewer."""
    spec = ConvSpec((1, 64, 14 * m, 4 * m), (64, 64, 3, 3), padding=1)
    plan = get(f"winograd_{m}x{m}_3x3").plan(spec, 1, None)
    assert spec.flop / winograd.flop_by_phase(plan)[1] == pytest.approx(factor)


def test_preparation_costs_more_the_larger_the_tile() -> None:
    spec = ConvSpec.parse("mb1ic256ih14oc256oh14kh3ph1")
    costs = [
        algorithm.prepare_cost(algorithm.plan(spec, 1, None), SHIPPED)
        for algorithm in map(get, ("winograd_2x2_3x3", "winograd_3x3_3x3", "winograd_4x4_3x3", "winograd_6x6_3x3"))
    ]
    assert [default_prepare_cost(spec, SHIPPED), *costs] == sorted({default_prepare_cost(spec, SHIPPED), *costs})
