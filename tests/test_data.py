"""Seeded operands: the same every time, read-only, of the kind that was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from convbench.data import KINDS, arrays
from convbench.spec import ConvSpec, SpecError

SPECS = [
    ConvSpec((2, 6, 9, 11), (4, 3, 3, 5), groups=2),
    ConvSpec((1, 3, 40), (5, 3, 7)),
    ConvSpec((1, 2, 5, 6, 7), (3, 2, 2, 3, 3)),
]
by_kind = pytest.mark.parametrize("kind", KINDS)
by_spec = pytest.mark.parametrize("spec", SPECS, ids=str)
by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


@by_kind
@by_spec
@by_dtype
def test_shapes_dtype_and_read_only(kind: str, spec: ConvSpec, dtype: str) -> None:
    spec = spec.replace(dtype=dtype)
    operands = arrays(spec, kind=kind)
    assert [operand.shape for operand in operands] == [spec.input_shape, spec.weight_shape, (spec.K,)]
    for operand in operands:
        assert operand.dtype == dtype
        assert operand.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            operand[...] = 0
        values = np.abs(operand[operand != 0])
        assert np.isfinite(values).all()
        assert values.min() >= np.finfo(dtype).tiny, "a denormal"


@by_kind
def test_the_seed_decides(kind: str) -> None:
    first, again, other = (arrays(SPECS[0], seed, kind) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_integers_are_small_and_of_both_signs() -> None:
    for operand in arrays(ConvSpec((4, 8, 20, 20), (50, 8, 3, 3)), kind="integer"):
        assert set(np.unique(operand)) == set(range(-3, 4))


def test_scaled_data_span_many_magnitudes() -> None:
    x, _, _ = arrays(ConvSpec((1, 8, 30, 30), (4, 8, 3, 3)), kind="scaled")
    size = np.abs(x)
    assert size.max() / size.min() > 1e8


def test_relu_data_are_not_negative_and_half_zero() -> None:
    x, w, _ = arrays(ConvSpec((1, 8, 30, 30), (4, 8, 3, 3)), kind="relu")
    assert x.min() == 0
    assert 0.4 < np.mean(x == 0) < 0.6
    assert w.min() < 0


@by_spec
def test_rank1_filters_are_outer_products_both_ways(spec: ConvSpec) -> None:
    """Over (R, S) for each (k, c), and over (K, R·S) for each c: what the separable families live on."""
    _, w, _ = arrays(spec.replace(dtype="float64"), kind="rank1")
    for axis in range(2, w.ndim):
        lines = np.moveaxis(w, axis, 2).reshape(-1, w.shape[axis], w[0, 0].size // w.shape[axis])
        assert all(np.linalg.matrix_rank(matrix) == 1 for matrix in lines)
    for c in range(w.shape[1]):
        assert np.linalg.matrix_rank(w[:, c].reshape(len(w), -1)) == 1


def test_an_unknown_kind_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(SpecError, match=r"unknown kind of data 'integers'.*'integer'"):
        arrays(SPECS[0], kind="integers")


def test_an_empty_batch() -> None:
    x, w, _ = arrays(ConvSpec((0, 2, 4, 4), (3, 2, 3, 3)))
    assert x.shape == (0, 2, 4, 4)
    assert w.size
