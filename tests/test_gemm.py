"""brgemm keeps its contract: the sums, which elements it reads and writes, and no accumulator on the stack."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numba
import numpy as np
import pytest
from llvmlite import binding

from convbench.algorithm import unit_roundoff
from convbench.kernels.gemm import TILE_ROWS, brgemm, panel_width
from convbench.kernels.jit import OPTIONS
from convbench.kernels.layout import ALIGNMENT
from convbench.kernels.packing import pack_panels
from convbench.kernels.simd import VECTOR_BYTES

by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


class Product:
    """Operands of one call, scattered in flat arrays that are NaN wherever the contract allows no read."""

    def __init__(self, rows: int, depth: int, batch: int, dtype: str) -> None:
        rng = np.random.default_rng([rows, depth, batch])
        self.rows, self.depth, self.batch, self.width = rows, depth, batch, panel_width(dtype)
        self.a_start, self.a_step, self.b_start, self.c_start, self.c_step = 3, rows + 2, 5, 7, self.width + 3
        a_block, b_block = depth * self.a_step + 1, depth * self.width + 4
        self.a_off = rng.permutation(batch) * a_block
        self.b_off = rng.permutation(batch) * b_block
        self.A = rng.standard_normal((batch, depth, rows)).astype(dtype)
        self.B = rng.standard_normal((batch, depth, self.width)).astype(dtype)
        self.C = rng.standard_normal((rows, self.width)).astype(dtype)
        self.a = np.full(self.a_start + batch * a_block, np.nan, dtype)
        self.b = np.full(self.b_start + batch * b_block, np.nan, dtype)
        self.c = np.full(self.c_start + rows * self.c_step, np.nan, dtype)
        for i in range(batch):
            for k in range(depth):
                start = self.a_start + self.a_off[i] + k * self.a_step
                self.a[start : start + rows] = self.A[i, k]
                start = self.b_start + self.b_off[i] + k * self.width
                self.b[start : start + self.width] = self.B[i, k]

    def lanes(self) -> np.ndarray:
        """Indices (rows, NR) of C in c."""
        return self.c_start + np.arange(self.rows)[:, None] * self.c_step + np.arange(self.width)

    def run(self, accumulate: bool, function: Callable[..., None] = brgemm) -> None:
        """C (+)= A · B by ``brgemm``, or by another compilation of it."""
        function(self.rows, self.depth, self.batch, self.a, self.a_start, self.a_off, self.a_step,
                 self.b, self.b_start, self.b_off, self.c, self.c_start, self.c_step, accumulate)  # fmt: skip


#: every height of a register tile, odd rows, and shares of several tiles
ROWS = [*range(1, TILE_ROWS - 1), TILE_ROWS - 1, TILE_ROWS, TILE_ROWS + 1, TILE_ROWS + 6, 2 * TILE_ROWS + 7, 53]


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize(("depth", "batch"), [(1, 1), (3, 1), (1, 9), (17, 4), (64, 9)])
@pytest.mark.parametrize("rows", ROWS)
@by_dtype
def test_sums(rows: int, depth: int, batch: int, accumulate: bool, dtype: str) -> None:
    product = Product(rows, depth, batch, dtype)
    if accumulate:
        product.c[product.lanes()] = product.C
    product.run(accumulate)
    a, b = product.A.astype(np.float64), product.B.astype(np.float64)
    want = np.einsum("bkm,bkn->mn", a, b) + accumulate * product.C
    size = np.sqrt(np.einsum("bkm,bkn->mn", a**2, b**2) + accumulate * product.C.astype(np.float64) ** 2)
    got = product.c[product.lanes()]
    assert np.isfinite(got).all(), "an element outside the operands was read"
    assert (np.abs(got - want) <= unit_roundoff(dtype) * (5 * np.sqrt(depth * batch) + 8) * size).all()


@pytest.mark.parametrize("rows", ROWS)
@by_dtype
def test_only_the_rows_of_c_are_written(rows: int, dtype: str) -> None:
    product = Product(rows, 2, 2, dtype)
    product.run(False)
    untouched = np.ones(product.c.size, bool)
    untouched[product.lanes()] = False
    assert np.isnan(product.c[untouched]).all()


@by_dtype
def test_offsets_may_be_left_out_and_the_next_panel_fetched(dtype: str) -> None:
    """None is offset 0; a position to fetch, whichever, changes nothing."""
    product = Product(2 * TILE_ROWS + 3, 7, 1, dtype)
    product.run(False)
    want = product.c.copy()
    for ahead in (0, product.b.size, 1 << 40):
        product.c[:] = np.nan
        brgemm(product.rows, product.depth, 1, product.a, product.a_start, None, product.a_step, product.b,
               product.b_start, None, product.c, product.c_start, product.c_step, False, ahead)  # fmt: skip
        assert np.array_equal(product.c, want, equal_nan=True)


@by_dtype
def test_integers_are_exact(dtype: str) -> None:
    product = Product(31, 20, 3, dtype)
    for array in (product.a, product.b):
        np.rint(3 * array, out=array)
    a, b = np.rint(3 * product.A), np.rint(3 * product.B)
    product.run(False)
    assert np.array_equal(product.c[product.lanes()], np.einsum("bkm,bkn->mn", a, b))


@pytest.mark.parametrize("channels", [1, 5, 16, 31, 32, 33, 70])
@by_dtype
def test_packed_panels(channels: int, dtype: str) -> None:
    matrix = np.random.default_rng(0).standard_normal((channels, 6)).astype(dtype)
    panels, width = pack_panels(matrix), panel_width(dtype)
    assert panels.shape == (-(-channels // width), 6, width)
    assert panels.dtype == dtype
    assert panels.ctypes.data % ALIGNMENT == 0
    by_channel = panels.swapaxes(1, 2).reshape(-1, 6)
    assert np.array_equal(by_channel[:channels], matrix)
    assert not by_channel[channels:].any()


def test_panel_width_is_two_vectors_of_this_host() -> None:
    features = binding.get_host_cpu_features()
    assert (64 if features.get("avx512f") else 32 if features.get("avx") else 16) == VECTOR_BYTES
    assert panel_width(np.float32) * 4 == panel_width("float64") * 8 == 2 * VECTOR_BYTES


def inner_loops(assembly: str) -> Iterator[list[str]]:
    """Basic blocks that jump back to their own label."""
    label, block = "", []
    for line in assembly.splitlines():
        if match := re.match(r"(\S+):", line):
            label, block = match[1], []
        elif line.strip():
            block.append(line.strip())
            if re.match(r"\s*j\w+\s", line):
                if line.split()[-1] == label:
                    yield block
                label, block = "", []


@pytest.mark.skipif(VECTOR_BYTES != 64, reason="the registers counted are those of AVX-512")
@by_dtype
def test_accumulators_stay_in_registers(dtype: str) -> None:
    """The loop over depth of the 14-row tile: 28 multiply-adds, and no 64-byte vector to or from the stack."""
    fresh = numba.njit(**{**OPTIONS, "cache": False})(brgemm.py_func)  # code from the cache cannot be inspected
    Product(TILE_ROWS, 2, 2, dtype).run(False, fresh)
    (assembly,) = fresh.inspect_asm().values()
    product = "vfmadd[0-9]+" + {"float32": "ps", "float64": "pd"}[dtype]
    loops = {
        sum(bool(re.match(rf"{product}\b.*zmm", line)) for line in block): block for block in inner_loops(assembly)
    }
    assert 2 * TILE_ROWS in loops, f"loops with {sorted(loops)} multiply-adds"
    for count, block in loops.items():
        spills = [line for line in block if re.match(r"vmov\w+\s.*zmm", line) and re.search(r"\(%r[sb]p", line)]
        assert not (count and spills), spills
