"""The stencil keeps its contract: the sums, which elements it writes, and no accumulator on the stack."""

from __future__ import annotations

import re

import numba
import numpy as np
import pytest

from convbench.algorithm import unit_roundoff
from convbench.kernels.jit import OPTIONS
from convbench.kernels.simd import VECTOR_BYTES
from convbench.kernels.stencil import ROWS, WIDTH, chains, lanes_of, stencil, stencil_add

LANES = VECTOR_BYTES // 4
EXTENTS = [1, 2, LANES - 1, LANES, LANES + 1, WIDTH * LANES + 3]

by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


class Rows:
    """An x of NaN around what the contract lets ``stencil`` use, and a y of which rows × cols elements are its."""

    def __init__(self, taps: tuple[int, int], rows: int, cols: int, last: int, dtype: str) -> None:
        rng = np.random.default_rng([*taps, rows, cols])
        self.rows, self.cols, self.last, self.lanes = rows, cols, last, lanes_of(np.dtype(dtype))
        R, S = taps
        height, self.width = -(-rows // ROWS) * ROWS + R - 1, cols + S - 1 + 2 * self.lanes
        self.x = np.full((height, self.width), np.nan, dtype)
        self.x[: rows + R - 1, : cols + S - 1] = rng.standard_normal((rows + R - 1, cols + S - 1))
        self.w = rng.standard_normal((R, S)).astype(dtype)
        self.y = np.full((rows, cols + 5), np.nan, dtype)
        self.chains = chains([r * self.width + s for r in range(R) for s in range(S)], self.width)

    def expected(self) -> tuple[np.ndarray, np.ndarray]:
        """The sums, and √(Σ x² w²) beside each, in float64."""
        views = np.lib.stride_tricks.sliding_window_view(
            self.x[:, : self.width - 2 * self.lanes].astype(np.float64), self.w.shape
        )[: self.rows, : self.cols]
        w = self.w.astype(np.float64)
        return np.einsum("pqrs,rs->pq", views, w), np.sqrt(np.einsum("pqrs,rs->pq", views**2, w**2))

    def run(self, function=stencil) -> None:
        order, offsets, counts = self.chains
        bias = self.y.dtype.type(0.5)
        function(self.x.ravel(), 0, self.width, self.w.ravel()[order], 0, offsets, counts, bias, self.y.ravel(), 0,
                 self.y.shape[1], self.rows, self.cols, self.last, self.lanes)  # fmt: skip

    def add(self) -> None:
        order, offsets, counts = self.chains
        stencil_add(self.x.ravel(), 0, self.width, self.w.ravel()[order], 0, offsets, counts, self.y.ravel(), 0,
                    self.y.shape[1], self.rows, self.cols, self.lanes)  # fmt: skip


@by_dtype
@pytest.mark.parametrize("cols", EXTENTS)
@pytest.mark.parametrize("rows", [1, ROWS - 1, ROWS, ROWS + 1])
@pytest.mark.parametrize("taps", [(1, 1), (2, 3), (3, 1), (4, 2), (5, 5), (7, 2)])
def test_sums_and_writes(taps: tuple[int, int], rows: int, cols: int, dtype: str) -> None:
    case = Rows(taps, rows, cols, cols, dtype)
    case.run()
    sums, scale = case.expected()
    tolerance = unit_roundoff(dtype) * 5 * (taps[0] * taps[1] + 1)
    assert (abs(case.y[:, :cols] - sums - 0.5) <= tolerance * (scale + 0.5)).all()
    assert np.isnan(case.y[:, cols:]).all()
    case.add()
    assert (abs(case.y[:, :cols] - 2 * sums - 0.5) <= 2 * tolerance * (scale + 0.5)).all()
    assert np.isnan(case.y[:, cols:]).all()


@by_dtype
def test_the_last_row_may_be_shorter(dtype: str) -> None:
    for rows in (1, 2, ROWS + 2):
        case = Rows((3, 3), rows, 20, 3, dtype)
        case.run()
        sums, _ = case.expected()
        np.testing.assert_allclose(case.y[:-1, :20], sums[:-1] + 0.5, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(case.y[-1, :3], sums[-1, :3] + 0.5, rtol=1e-4, atol=1e-4)
        assert np.isnan(case.y[-1, 3:]).all()


@pytest.mark.parametrize("R", range(1, 12))
def test_columns_of_taps_become_chains_of_two_and_three(R: int) -> None:
    """Single taps only where the column has one: they load a vector for every product."""
    order, offsets, (threes, twos, ones) = chains([r * 100 + s for r in range(R) for s in range(2)], 100)
    assert 3 * threes + 2 * twos + ones == 2 * R
    assert ones == (2 if R == 1 else 0)
    assert sorted(order) == list(range(2 * R))
    lengths = [3] * threes + [2] * twos + [1] * ones
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    for start, length, offset in zip(starts, lengths, offsets, strict=True):
        taps = order[start : start + length]
        assert [t // 2 * 100 + t % 2 for t in taps] == [offset + 100 * m for m in range(length)]


@pytest.mark.skipif(VECTOR_BYTES < 64, reason="sized for 32 vector registers")
@by_dtype
def test_sums_stay_in_registers(dtype: str) -> None:
    fresh = numba.njit(**{**OPTIONS, "cache": False})(stencil.py_func)  # code from the cache cannot be inspected
    Rows((3, 3), ROWS, 40, 40, dtype).run(fresh)
    (assembly,) = fresh.inspect_asm().values()
    product = "vfmadd[0-9]+" + {"float32": "ps", "float64": "pd"}[dtype]
    assert len(re.findall(rf"{product}\s.*zmm", assembly)) >= (3 + 2 + 1) * ROWS * (WIDTH + 1)
    stack = r"(?:\(%rsp|\(%rbp\))"  # rbp with an index register is a row of pixels
    assert not re.findall(rf"vmov\w+\s.*(?:zmm.*{stack}|{stack}.*zmm)", assembly)
