"""tile keeps its contract: the sums, the lanes that it stores, and no sum on the stack."""

from __future__ import annotations

import re

import numba
import numpy as np
import pytest
from test_gemm import inner_loops

from convbench.algorithm import unit_roundoff
from convbench.kernels.jit import OPTIONS, njit
from convbench.kernels.pixel_tiles import TILES, tile
from convbench.kernels.simd import VECTOR_BYTES

by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
SHAPES = [(height, width) for height, widths in TILES.items() for width in widths]


@njit
def compute(height, width, terms, x, x_start, starts, offsets, w, w_start, initial, initial_start, sums, sums_start,
            resume, finish, y, y_start, y_plane, valid, vector, lines, masks, places, source, ahead, pace):  # fmt: skip
    tile(height, width, terms, x, x_start, starts, offsets, w, w_start, initial, initial_start, sums, sums_start,
         resume, finish, y, y_start, y_plane, valid, vector, lines, masks, places, source, ahead, pace)  # fmt: skip


class Tile:
    """Operands of one M × V tile over ``terms`` terms, NaN wherever the contract allows no read."""

    def __init__(self, height: int, width: int, terms: int, dtype: str) -> None:
        rng = np.random.default_rng([height, width, terms])
        self.height, self.width, self.lanes = height, width, VECTOR_BYTES // np.dtype(dtype).itemsize
        n, self.pixels = 3, width * self.lanes
        apart = self.lanes + 2  # the last vector lies first
        self.starts = np.array([0, *(apart * v for v in reversed(range(width)))])  # its own from 1 on
        self.offsets = rng.permutation(terms) * (width * apart + n)
        self.X, self.W, self.initial = (
            rng.standard_normal(shape).astype(dtype) for shape in ((terms, self.pixels), (terms, height), height)
        )
        self.x = np.full(n + terms * (width * apart + n), np.nan, dtype)
        for offset, pixels in zip(self.offsets, self.X, strict=True):
            for start, vector in zip(self.starts[1:], pixels.reshape(width, -1), strict=True):
                self.x[n + offset + start :][: self.lanes] = vector
        self.w = np.concatenate([[np.nan], self.W.reshape(-1)]).astype(dtype)
        self.sums = np.full(2 + height * self.pixels, np.nan, dtype)
        self.plane = 3 * self.pixels + 5
        self.y = np.full(height * self.plane, np.nan, dtype)
        half = (
            self.lanes // 2
        )  # every vector in two lines: its lower half, and the upper but the last lane, 3 further on
        self.lines = 2 * np.arange(width + 2)
        low, high = (1 << half) - 1, (1 << (self.lanes - 1)) - (1 << half)
        self.masks = np.array([low, high] * (width + 1))
        step = self.lanes + 4
        self.places = np.array([v * step + shift for v in range(-1, width) for shift in (0, 3)]) + 1
        self.written = [
            (v * self.lanes + i, v * step + i + 1 + (3 if i >= half else 0))
            for v in range(width) for i in range(self.lanes - 1)
        ]  # fmt: skip

    def run(self, resume: bool, finish: bool, valid: int, function=compute) -> None:
        function(self.height, self.width, len(self.X), self.x, 3, self.starts, self.offsets, self.w, 1, self.initial, 0,
                 self.sums, 2, resume, finish, self.y, 0, self.plane, valid, 1, self.lines, self.masks, self.places,
                 self.x, 0, 5)  # fmt: skip

    def close(self, got: np.ndarray, start: np.ndarray) -> None:
        x, w = self.X.astype(np.float64), self.W.astype(np.float64)
        size = np.sqrt((w**2).T @ x**2 + start.astype(np.float64) ** 2)
        bound = unit_roundoff(str(got.dtype)) * (5 * np.sqrt(len(x)) + 8) * size
        assert (np.abs(got - (w.T @ x + start)) <= bound).all()


@pytest.mark.parametrize("terms", [1, 2, 37])
@pytest.mark.parametrize(("height", "width"), SHAPES)
@by_dtype
def test_sums_kept_and_resumed(height: int, width: int, terms: int, dtype: str) -> None:
    one = Tile(height, width, terms, dtype)
    one.run(False, False, height)
    first = one.sums[2:].reshape(height, -1).copy()
    one.close(first, one.initial[:, None])
    one.run(True, False, height)
    one.close(one.sums[2:].reshape(height, -1), first)
    assert np.isnan(one.sums[:2]).all()
    assert np.isnan(one.y).all()


@pytest.mark.parametrize("missing", [0, 1])
@pytest.mark.parametrize(("height", "width"), SHAPES)
@by_dtype
def test_only_the_lines_lanes_of_valid_channels_are_stored(height: int, width: int, missing: int, dtype: str) -> None:
    one = Tile(height, width, 5, dtype)
    one.run(False, True, height - missing)
    y = one.y.reshape(height, one.plane)
    got = np.zeros((height, one.pixels), dtype)
    stored = np.zeros(y.shape, bool)
    for pixel, place in one.written:
        got[:, pixel] = y[:, place]
        stored[: height - missing, place] = True
    assert np.isnan(y[~stored]).all()
    known = [pixel for pixel, _ in one.written]
    want = one.W.astype(np.float64).T @ one.X + one.initial[:, None]
    assert np.allclose(got[: height - missing, known], want[: height - missing, known], rtol=0, atol=1e-4)
    assert np.isnan(one.sums).all()


@pytest.mark.skipif(VECTOR_BYTES != 64, reason="the registers counted are those of AVX-512")
@by_dtype
def test_sums_stay_in_registers(dtype: str) -> None:
    """No loop that multiplies moves a vector to or from the stack, and every tile has its loop."""
    fresh = numba.njit(**{**OPTIONS, "cache": False})(compute.py_func)  # code from the cache cannot be inspected
    Tile(8, 3, 2, dtype).run(False, True, 8, fresh)
    (assembly,) = fresh.inspect_asm().values()
    product = re.compile("vfmadd[0-9]+" + {"float32": "ps", "float64": "pd"}[dtype] + r"\b.*zmm")
    loops = [block for block in inner_loops(assembly) if any(product.match(line) for line in block)]
    for height, width in SHAPES:
        counts = [sum(bool(product.match(line)) for line in block) for block in loops]
        assert any(count % (height * width) == 0 for count in counts), (height, width, counts)
    for block in loops:
        vectors = [line for line in block if not re.search(r"broadcast|{1to", line)]  # those are filters
        spills = [line for line in vectors if re.search(r"\(%r[sb]p.*zmm|zmm.*\(%r[sb]p", line)]
        assert not spills, spills
