"""Packed filters: every layout against a statement of it in NumPy, exactly; nothing beyond the operands is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from convbench.kernels.gemm import panel_width
from convbench.kernels.layout import ALIGNMENT
from convbench.kernels.packing import pack, pack_panels, pack_taps, tile_starts
from convbench.kernels.vector_product import panel_starts

HERE = Path(__file__).parent
by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])
SIZES = [(1, 1, 1), (2, 8, 16), (1, 11, 7), (3, 5, 33), (1, 40, 9), (2, 64, 48), (1, 33, 100), (1, 6, 17), (1, 130, 65)]


def filters(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def stated(w: np.ndarray, starts: np.ndarray, depth: int) -> np.ndarray:
    """packed[g][d₀][t][d][m] = w[g, first(t) + m, d₀ + d], 0 beyond K."""
    padded = np.zeros((w.shape[0], starts[-1], w.shape[2]), w.dtype)
    padded[:, : w.shape[1]] = w
    return np.concatenate([
        group[first:end, d : d + depth].T.ravel()
        for group in padded for d in range(0, w.shape[2], depth) for first, end in pairwise(starts)
    ])  # fmt: skip


@by_dtype
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("height", [1, 2, 3, 4, 6, 8, 14, 16, 32])
def test_tiles_of_one_height(dtype: str, size: tuple[int, int, int], height: int) -> None:
    w, each = filters(size, dtype), tile_starts(size[1], height)
    assert each[-1] - size[1] in range(height)
    for depth in (1, 5, 16, size[2]):
        packed = pack(w, each, depth, threads=2)
        assert packed.ctypes.data % ALIGNMENT == 0
        assert np.array_equal(packed, stated(w, each, depth))


@by_dtype
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_panels_of_many_widths(dtype: str, size: tuple[int, int, int]) -> None:
    w = filters(size, dtype)
    each = panel_starts(size[1], w.dtype)
    assert np.array_equal(pack(w, each, size[2]), stated(w, each, size[2]))


@by_dtype
def test_panels_of_brgemm(dtype: str) -> None:
    w = filters((2, 45, 19), dtype)
    width = panel_width(w.dtype)
    panels = pack_panels(w)
    assert panels.shape == (2, -(-45 // width), 19, width)
    assert np.array_equal(np.moveaxis(panels, 2, 3).reshape(2, -1, 19)[:, :45], w)
    assert np.array_equal(pack_panels(w[0, ::2]), pack_panels(w[:1, ::2].copy())[0])


def test_large_filters_are_shared_among_threads() -> None:
    w = filters((1, 600, 700), "float32")
    assert np.array_equal(pack(w, tile_starts(600, 8), 128, threads=3), stated(w, tile_starts(600, 8), 128))


@by_dtype
def test_taps_in_another_order(dtype: str) -> None:
    w, order = filters((7, 25), dtype), np.random.default_rng(1).permutation(25)
    assert np.array_equal(pack_taps(w, order).reshape(7, 25), w[:, order])
    pairs = pack_taps(w, order, 2).reshape(4, 25, 2)
    for k in range(8):
        assert np.array_equal(pairs[k // 2, :, k % 2], w[min(k, 6), order])


@pytest.mark.skipif(sys.platform == "win32", reason="mprotect is POSIX's")
@by_dtype
def test_nothing_beyond_the_operands_is_touched(dtype: str) -> None:
    """Filters and packed filters flush against pages that cannot be read, before and behind."""
    source = f"""
import numpy as np
from guarded import Guard
from convbench.kernels.packing import pack_tiles, tile_starts
guard = Guard()
for height in (1, 2, 4, 6, 8, 16, 32):
    for K, D in ((1, 1), (8, 16), (11, 7), (5, 33), (40, 9), (33, 100)):
        w, starts = np.random.default_rng(0).standard_normal((K, D)).astype({dtype!r}), tile_starts(K, height)
        for at_end in (False, True):
            packed = guard.empty("packed", (int(starts[-1]) * D,), w.dtype, at_end)
            pack_tiles(0, len(starts) - 1, guard.copy("w", w.ravel(), at_end), K, D, starts, 5, packed)
            assert np.isclose(packed.sum(), w.sum(), rtol=1e-3, atol=1e-3)
print("done")
"""
    done = subprocess.run([sys.executable, "-c", source], cwd=HERE, env={**os.environ, "PYTHONPATH": str(HERE.parent)},
                          capture_output=True, text=True)  # fmt: skip
    assert done.stdout == "done\n", done.stderr
