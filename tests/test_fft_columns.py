"""Sums along rows of column spectra: the vector code against numpy, its registers, its reach, and when it is chosen."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from convbench.algorithms import fft_tiled
from convbench.kernels.column_passes import TOGETHER, correlate_row
from convbench.kernels.fft import lanes
from convbench.kernels.jit import OPTIONS, njit
from convbench.kernels.layout import aligned_empty
from convbench.kernels.simd import VECTOR_BYTES
from convbench.spec import ConvSpec

HERE = Path(__file__).parent
DTYPES = ("float32", "float64")


@njit
def _correlated(t, im, w, pairs, blocks, singles):
    places = np.int64(0), np.int64(0)
    correlate_row(t, np.int64(0), im, w, np.int64(0), pairs, blocks, singles, t, places, t, places, TOGETHER)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("pairs", "blocks", "singles"), [(1, 0, 1), (2, 1, 0), (5, 2, 1), (7, 0, 3), (15, 1, 3)])
def test_a_row_is_correlated_in_place(pairs: int, blocks: int, singles: int, dtype: str) -> None:
    width, taps = lanes(dtype), 2 * pairs + 1
    vectors = blocks * TOGETHER + singles
    length = vectors * width + -(-2 * pairs // width) * width
    rng = np.random.default_rng(pairs)
    t, w = (rng.standard_normal((2, n)).astype(dtype) for n in (length, taps))
    x, f = (a[0].astype(np.complex128) + 1j * a[1] for a in (t, w))
    flat = aligned_empty((2 * length,), np.dtype(dtype))
    flat[:] = t.reshape(-1)
    _correlated(flat, length, np.ascontiguousarray(w.T).reshape(-1), pairs, blocks, singles)
    outputs = vectors * width - 1
    expected = np.sum([f[s] * x[s : s + outputs] for s in range(taps)], axis=0)
    got = flat[:outputs] + 1j * flat[length : length + outputs]
    np.testing.assert_allclose(got, expected, rtol=0, atol=20 * taps * np.finfo(dtype).eps)


@pytest.mark.skipif(VECTOR_BYTES != 64, reason="counts registers of 64 bytes")
@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_stay_in_registers(dtype: str) -> None:
    fresh = numba.njit(**{**OPTIONS, "cache": False})(_correlated.py_func)  # code from the cache cannot be inspected
    t = np.zeros(1024, dtype)
    fresh(t, 512, t[:6].copy(), 1, 1, 1)
    (assembly,) = fresh.inspect_asm().values()
    loops = re.findall(r"\n(\.LBB\w+):((?:(?!\n\.LBB)[\s\S])*?)\tj\w+\t\1\n", assembly)
    product = "vfn?m(?:add|sub)[0-9]+" + {"float32": "ps", "float64": "pd"}[dtype]
    inner = [body for _, body in loops if len(re.findall(rf"{product}\s.*zmm", body)) >= 8 * TOGETHER]
    assert inner
    assert not any(re.search(r"zmm.*%rsp|%rsp.*zmm", body) for body in inner)


def test_operands_flush_against_unreadable_pages() -> None:
    source = """
import random, sys
import guarded
from convbench.algorithms import fft_tiled
from convbench.spec import ConvSpec, SpecError

def draw(rng):
    while True:
        C, filter = rng.randint(1, 3), [rng.randint(2, 20), rng.randint(1, 20)]
        try:
            return ConvSpec((rng.randint(1, 2), C, rng.randint(1, 99), rng.randint(1, 99)), (C, 1, *filter), groups=C,
                            padding=[(rng.randint(0, k), rng.randint(0, k)) for k in filter],
                            dilation=[rng.choice((1, 1, 2)), 1], dtype=rng.choice(("float32", "float64")))
        except SpecError:
            continue

every = fft_tiled.tiles
fft_tiled.tiles = lambda spec: (pair for pair in every(spec) if pair[0].name == "columns")
guarded.draw = draw
sys.exit(guarded.main("fft_tiled", 30, 0))
"""
    done = subprocess.run([sys.executable, "-c", source], cwd=HERE, env={**os.environ, "PYTHONPATH": str(HERE.parent)},
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]
    assert len(done.stdout.splitlines()) == 60


def test_columns_are_for_one_channel_and_filters_of_several_rows() -> None:
    image = ConvSpec((1, 1, 1024, 1024), (1, 1, 11, 11), padding=5)
    assert fft_tiled.plan(image, 1, None).form.name == "columns"
    for spec in (
        ConvSpec((1, 2, 64, 64), (2, 2, 11, 11)),
        ConvSpec((1, 1, 64, 64), (1, 1, 1, 11)),
        ConvSpec((1, 1, 64, 64), (1, 1, 11, 11), dilation=(1, 2)),
        ConvSpec((1, 1, 64, 64), (1, 1, 11, 11), stride=2),
    ):
        assert all(form.name != "columns" for form, _ in fft_tiled.tiles(spec))
