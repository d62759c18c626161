"""segment_tile keeps its contract: the sums, what it leaves alone, and no sum on the stack."""

from __future__ import annotations

import re

import numba
import numpy as np
import pytest
from test_gemm import inner_loops

from convbench.algorithm import unit_roundoff
from convbench.kernels.jit import OPTIONS, njit
from convbench.kernels.segment_tiles import SEGMENTS, STEPS, segment_tile
from convbench.kernels.simd import VECTOR_BYTES

pytestmark = pytest.mark.skipif(VECTOR_BYTES != 64, reason="only the widest vectors lose lanes to narrow images")
by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
FORMS = [(length, count) for length, counts in SEGMENTS.items() for count in counts]


@njit
def compute(length, count, step, first, terms, x, x_start, offsets, starts, places, w, w_start, c, c_start, accumulate,
            source, ahead, pace, y, y_start, y_plane):  # fmt: skip
    segment_tile(length, count, step, first, terms, x, x_start, offsets, starts, places, w, w_start, c, c_start,
                 accumulate, source, ahead, pace, y, y_start, y_plane)  # fmt: skip


class Tile:
    """Operands of one tile over ``terms`` terms, NaN wherever the contract allows no read; y is one element."""

    def __init__(self, length: int, count: int, step: int, terms: int, dtype: str) -> None:
        rng = np.random.default_rng([length, count, step, terms])
        self.length, self.count, self.step = length, count, step
        self.lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
        reach, n = (length - 1) * step + 1, 3
        self.offsets = rng.permutation(terms) * (count + 2) * reach
        self.starts = np.append([0], (1 + rng.permutation(count)) * reach + 1)  # the first is another tile's
        self.places = np.append([0], 2 + rng.permutation(count) * (length + 1))
        self.X = rng.standard_normal((terms, count, length)).astype(dtype)
        self.W = rng.standard_normal((terms, self.lanes)).astype(dtype)
        self.x = np.full(n + terms * (count + 2) * reach, np.nan, dtype)
        for j, offset in enumerate(self.offsets):
            for i, start in enumerate(self.starts[1:]):
                self.x[n + offset + start :][:reach:step] = self.X[j, i]
        self.w = np.concatenate([[np.nan], self.W.reshape(-1)]).astype(dtype)
        self.c = np.full((3 + count * (length + 1), self.lanes), np.nan, dtype)

    def run(self, accumulate: bool, function=compute) -> None:
        function(self.length, self.count, self.step, 1, len(self.X), self.x, 3, self.offsets, self.starts, self.places,
                 self.w, 1, self.c.reshape(-1), 0, accumulate, self.x, 0, 5, self.x, 0, 100)  # fmt: skip

    def rows(self) -> list[int]:
        return [place + m for place in self.places[1:] for m in range(self.length)]


@pytest.mark.parametrize("terms", [1, 2, 37])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(("length", "count"), FORMS)
@by_dtype
def test_sums_are_written_then_added_to(length: int, count: int, step: int, terms: int, dtype: str) -> None:
    one = Tile(length, count, step, terms, dtype)
    x, w = one.X.reshape(terms, -1).astype(np.float64), one.W.astype(np.float64)
    bound = unit_roundoff(dtype) * (5 * np.sqrt(terms) + 8) * np.sqrt((x**2).T @ w**2)
    for times in (1, 2):
        one.run(times == 2)
        assert (np.abs(one.c[one.rows()] - times * (x.T @ w)) <= times * bound).all()
    assert np.isnan(np.delete(one.c, one.rows(), axis=0)).all()


@by_dtype
def test_sums_stay_in_registers(dtype: str) -> None:
    """No loop that multiplies moves a vector to or from the stack, and pixels are broadcast by the products."""
    fresh = numba.njit(**{**OPTIONS, "cache": False})(compute.py_func)  # code from the cache cannot be inspected
    Tile(7, 4, 1, 2, dtype).run(False, fresh)
    (assembly,) = fresh.inspect_asm().values()
    product = re.compile("vfmadd[0-9]+" + {"float32": "ps", "float64": "pd"}[dtype] + r"\b.*zmm")
    loops = [block for block in inner_loops(assembly) if any(product.match(line) for line in block)]
    for length, count in FORMS:
        assert any(sum(bool(product.match(line)) for line in block) == length * count for block in loops)
    for block in loops:
        spills = [line for line in block if "vmov" in line and re.search(r"\(%r[sb]p", line)]
        assert not spills, spills
        indexed = [line for line in block if product.match(line) and re.search(r"\(%r\w+,%r\w+", line)]
        assert not indexed, indexed
