"""FFT kernels against numpy.fft, the reductions and tilings around them, and every form and tile of ``fft_tiled``."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from math import gcd

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convbench.algorithm import Unsupported
from convbench.algorithms import fft_tiled
from convbench.algorithms.fft import fft
from convbench.data import arrays
from convbench.driver import Kernel
from convbench.kernels import fft_lanes, spectra
from convbench.kernels.fft import copy_block, forward, frequencies, inverse, lanes, partners, transpose, twiddles
from convbench.kernels.jit import njit
from convbench.kernels.lattice import Lattice, read_rows, write_rows
from convbench.kernels.layout import aligned_empty
from convbench.reductions import lift
from convbench.reference import oracle
from convbench.spec import ConvSpec
from convbench.verify import check

DTYPES = ("float32", "float64")
SIZES = (1, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


@njit
def _transposed(source, start, step, target, at, by):
    transpose(source, start, step, target, at, by)


@njit
def _copied(source, re, im, sign, target, re_to, im_to):
    copy_block(source, re, im, sign, target, re_to, im_to)


def _random(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal(shape)
    result = aligned_empty(shape, np.dtype(dtype))
    result[...] = values
    return result


def _complex(z: np.ndarray, n: int, vectors: int, width: int) -> np.ndarray:
    """(n, vectors, re | im, L) flat -> complex (n, vectors·L) in double precision."""
    parts = z.astype(np.float64).reshape(n, vectors, 2, width)
    return (parts[:, :, 0] + 1j * parts[:, :, 1]).reshape(n, -1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", SIZES)
def test_transforms_agree_with_numpy_and_undo_each_other(n: int, dtype: str) -> None:
    width, vectors = lanes(dtype), 3
    pair = 2 * width
    z = _random((n * vectors * pair,), dtype)
    before = _complex(z, n, vectors, width)
    forward(z, 0, width, n, vectors * pair, vectors, pair, twiddles(n, dtype), 1)
    expected = np.fft.fft(before, axis=0)[frequencies(n)]
    tolerance = 4 * np.finfo(dtype).eps * np.sqrt(n * np.log2(n + 1))
    np.testing.assert_allclose(_complex(z, n, vectors, width), expected, rtol=0, atol=tolerance)
    inverse(z, 0, width, n, vectors * pair, vectors, pair, twiddles(n, dtype), 1)
    np.testing.assert_allclose(_complex(z, n, vectors, width) / n, before, rtol=0, atol=tolerance / np.sqrt(n) * 3)


@pytest.mark.parametrize("n", SIZES)
def test_an_impulse_and_a_constant_are_exact(n: int) -> None:
    width = lanes("float32")
    z = np.zeros(n * 2 * width, np.float32)
    z[:width] = 3
    forward(z, 0, width, n, 2 * width, 1, 2 * width, twiddles(n, "float32"), 1)
    assert (_complex(z, n, 1, width) == 3).all()
    inverse(z, 0, width, n, 2 * width, 1, 2 * width, twiddles(n, "float32"), 1)
    spike = _complex(z, n, 1, width)
    assert (spike[0] == 3 * n).all()
    assert not spike[1:].any()


def test_transforms_touch_only_their_vectors() -> None:
    width, n = lanes("float32"), 16
    z = _random((n * 6 * width,), "float32")
    kept = z.copy()
    forward(z, width, 4 * width, n, 6 * width, 1, 2 * width, twiddles(n, "float32"), 1)
    changed = (z != kept).reshape(n, 6, width).any(axis=(0, 2))
    assert changed.tolist() == [False, True, False, False, True, False]


@pytest.mark.parametrize("n", SIZES)
def test_positions_are_a_permutation_and_partners_negate(n: int) -> None:
    k = frequencies(n)
    assert sorted(k) == list(range(n))
    assert ((k[partners(n)] + k) % n == 0).all()
    assert (partners(n)[partners(n)] == np.arange(n)).all()


@pytest.mark.parametrize("shape", [(1, 16), (8, 8), (16, 32)])
def test_half_positions_hold_every_pair_of_frequencies_once(shape: tuple[int, int]) -> None:
    rows, cols = shape
    half = fft_lanes.half_positions(rows, cols)
    assert sorted(set(half.ravel())) == list(range(rows * cols))
    own = half[half[:, 0] == half[:, 1]]
    assert 2 * len(half) - len(own) == rows * cols
    k = np.stack(np.meshgrid(frequencies(rows), frequencies(cols), indexing="ij"), axis=-1).reshape(-1, 2)
    assert ((k[half[:, 0]] + k[half[:, 1]]) % (rows, cols) == 0).all()
    assert (fft_lanes.signs(rows, cols, np.dtype("float32")) == -1).sum() == len(half) - len(own)


@pytest.mark.parametrize("dtype", DTYPES)
def test_blocks_are_transposed_and_copied_exactly(dtype: str) -> None:
    width = lanes(dtype)
    source, target = _random((3 + width * (width + 5),), dtype), np.zeros(7 + width * (width + 2), dtype)
    _transposed(source, 3, width + 5, target, 7, width + 2)
    square = source[3:].reshape(width, width + 5)[:, :width]
    np.testing.assert_array_equal(target[7:].reshape(width, width + 2)[:, :width], square.T)
    assert not target[7:].reshape(width, width + 2)[:, width:].any()
    target = np.zeros(3 * width, dtype)
    _copied(source, 0, 2 * width, source.dtype.type(-1), target, 2 * width, 0)
    np.testing.assert_array_equal(target[2 * width :], source[:width])
    np.testing.assert_array_equal(target[:width], -source[2 * width : 3 * width])
    assert not target[width : 2 * width].any()


@given(st.integers(-40, 60), st.integers(1, 4), st.integers(0, 25), st.integers(0, 50))
def test_lines_are_zero_outside_the_image(start: int, step: int, size: int, count: int) -> None:
    x = np.arange(1.0, 100.0)
    target = np.full(count + 2, -1.0)
    read_rows(x, 50, 0, start, 0, 0, step, (1, size), target, 1, 0, 1, count)
    positions = start + step * np.arange(count)
    expected = np.where((positions >= 0) & (positions < size), 51.0 + positions, 0)
    np.testing.assert_array_equal(target, [-1, *expected, -1])
    y = np.full(2 + step * count, -1.0)
    write_rows(target, 1, 0, 1, count, y, 1, 0, step, 0.5)
    np.testing.assert_array_equal(y[1 : 1 + step * count : step], expected + 0.5)
    y[1 : 1 + step * count : step] = -1
    assert (y == -1).all()


DENSE = [
    (stride, dilation, filter_size, padding)
    for stride, dilation, filter_size, padding in product((1, 2, 3, 6), (1, 2, 4), (1, 2, 5), (0, 3))
    if dilation * (filter_size - 1) < 29
]


@pytest.mark.parametrize(("stride", "dilation", "filter_size", "padding"), DENSE)
def test_lattice_is_the_same_sum(stride: int, dilation: int, filter_size: int, padding: int) -> None:
    """The formula of its docstring, tap by tap in integers: nothing is lost, nothing counted twice."""
    spec = ConvSpec((1, 2, 29), (3, 2, filter_size), stride, padding, dilation, dtype="float64")
    lattice = Lattice.of(lift(spec, 3))
    assert lattice.step[2] == stride * dilation // gcd(stride, dilation)
    x, w, _ = arrays(spec, kind="integer")
    taps = lattice.dense_taps(w.reshape(3, 2, 1, 1, filter_size))[:, :, 0, 0]
    (A, B), e = (lattice.out_phases[2], lattice.tap_phases[2]), lattice.step[2]
    y = np.full(spec.output_shape, np.nan)
    for a in range(A):
        outputs = len(range(a, spec.output_spatial[0], A))
        image = np.zeros((2 * B, max(0, outputs + taps.shape[2] - 1)))
        for c, b, i in product(range(2), range(B), range(image.shape[1])):
            position = e * i + a * stride + b * dilation - padding
            if 0 <= position < 29:
                image[c * B + b, i] = x[0, c, position]
        for k, i in product(range(3), range(outputs)):
            y[0, k, A * i + a] = (image[:, i : i + taps.shape[2]] * taps[k]).sum()
    np.testing.assert_array_equal(y, oracle(x, w, None, spec))


@pytest.mark.parametrize("dtype", DTYPES)
def test_spectra_are_split_multiplied_and_joined(dtype: str) -> None:
    width = lanes(dtype)
    pair, frequencies_, depth, rows, groups = 2 * width, 2 * width + 1, 3, 6, 2
    blocks = 3
    x = _random((groups * depth, 2 * frequencies_), dtype)
    w = _random((groups * rows * depth, 2 * frequencies_), dtype, 1)
    one = x.dtype.type(1)
    xs, ws = (np.full(len(a) * blocks * pair, np.nan, dtype) for a in (x, w))
    spectra.split(0, len(x), x, 0, depth, blocks, one, xs)
    spectra.split(2, len(w), w, 0, rows * depth, blocks, -one, ws)
    spectra.split(0, 2, w, 0, rows * depth, blocks, -one, ws)
    ys = np.full(groups * rows * blocks * pair, np.nan, dtype)
    for g in range(groups):
        spectra.multiply_spectra(blocks, xs, g * blocks * depth * pair, depth, ws, g * blocks * rows * depth * pair,
                                 ys, g * blocks * rows * pair, rows)  # fmt: skip
    y = np.full((groups * rows, 2 * frequencies_), np.nan, dtype)
    spectra.join(0, len(y), ys, 0, rows, blocks, y)
    cx, cw, cy = (a.astype(np.float64).view(np.complex128) for a in (x, w, y))
    expected = np.einsum(
        "gcf,gkcf->gkf", cx.reshape(groups, depth, -1), cw.reshape(groups, rows, depth, -1).conj()
    ).reshape(cy.shape)
    np.testing.assert_allclose(cy, expected, rtol=0, atol=100 * np.finfo(dtype).eps)


FORMS = {
    "image": ConvSpec((2, 3, 21, 19), (5, 3, 4, 3), padding=2),
    "groups, stride": ConvSpec((1, 4, 25, 23), (6, 2, 3, 5), stride=(2, 3), padding=2, groups=2),
    "dilation": ConvSpec((1, 2, 30, 17), (3, 2, 3, 3), stride=(1, 2), padding=3, dilation=(4, 3)),
    "row": ConvSpec((1, 2, 9, 50), (2, 2, 1, 9), padding=(0, 4)),
    "column": ConvSpec((1, 2, 50, 9), (2, 1, 9, 1), groups=2),
    "depthwise": ConvSpec((1, 18, 20, 20), (18, 1, 7, 7), padding=3, groups=18),
    "batch, even filter": ConvSpec((3, 1, 90, 70), (1, 1, 5, 8), padding=((2, 3), (1, 6))),
    "dilated depthwise": ConvSpec((1, 2, 60, 31), (2, 1, 5, 2), padding=3, dilation=(3, 1), groups=2),
    "line": ConvSpec((1, 2, 3000), (3, 2, 65), stride=2, padding=5),
    "pixel": ConvSpec((3, 1, 1, 1), (2, 1, 1, 1)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spec", FORMS.values(), ids=FORMS)
def test_every_form_and_tile_is_right(spec: ConvSpec, dtype: str) -> None:
    """Not only the one that ``plan`` takes; in several blocks, and on two threads for every other one."""
    spec = spec.replace(dtype=dtype)
    tried = {form.name: 0 for form in fft_tiled.FORMS}
    for form, tiling in fft_tiled.candidates(spec):
        if tiling.rows * tiling.cols <= 4096:
            block = max(1, form.kernels.units(tiling) // 3)

            def plan(spec, threads, limit, form=form, tiling=tiling, block=block):
                return fft_tiled.Plan(spec, threads, form, tiling, block)

            forced = replace(fft_tiled.fft_tiled, plan=plan)
            verdict = check(forced, spec, threads=1 + tried[form.name] % 2)
            assert verdict.ok, f"{form.name} {tiling.rows} × {tiling.cols}: {verdict}"
            tried[form.name] += 1
    assert min(tried["lanes"], tried["planes"]) > 2, tried
    assert (tried["columns"] > 2) == (spec.C == spec.K == spec.G and spec.filter[0] > 1 and spec.ndim > 1), tried


@pytest.mark.parametrize("length", [1 << 14, 1 << 16])
@pytest.mark.parametrize("dtype", DTYPES)
def test_long_lines_take_the_four_step_tile(dtype: str, length: int) -> None:
    spec = ConvSpec((1, 1, length // 2 + 200), (2, 1, length // 2), dtype=dtype)
    chosen = fft_tiled.plan(spec, 1, None)
    assert (chosen.form.name, chosen.tiling.line) == ("planes", True)
    assert chosen.tiling.rows * chosen.tiling.cols == length
    verdict = check(fft_tiled.fft_tiled, spec)
    assert verdict.ok, verdict


def test_filters_beyond_every_tile_are_refused_in_a_sentence() -> None:
    reason = fft_tiled.supports(ConvSpec((1, 1, 600, 600), (1, 1, 513, 3)))
    assert reason is not None
    assert "(513, 3)" in reason
    assert "512" in reason
    assert fft_tiled.supports(ConvSpec((1, 1, 600, 600), (1, 1, 512, 3))) is None
    reason = fft_tiled.supports(ConvSpec((1, 1, 1 << 21), (1, 1, (1 << 20) + 1)))
    assert reason is not None
    assert fft_tiled.supports(ConvSpec((1, 1, 1 << 21), (1, 1, 1 << 20))) is None


@pytest.mark.parametrize(
    ("algorithm", "spec"),
    [
        (fft, ConvSpec((1, 512, 512, 512), (512, 512, 3, 3))),
        (fft_tiled.fft_tiled, ConvSpec((1, 512, 99, 99), (512, 512, 65, 65))),
    ],
    ids=lambda value: getattr(value, "name", "") or str(value),
)
def test_spectra_beyond_memory_are_refused_in_a_sentence(algorithm, spec: ConvSpec) -> None:
    reason = algorithm.supports(spec)
    assert reason is not None
    assert re.search(r"would take \d+\.\d GiB.*; allowed: 0.5 GiB", reason)
    assert algorithm.supports(spec.replace(input_shape=(1, 8, 99, 99), weight_shape=(8, 8, *spec.filter))) is None


@pytest.mark.parametrize("algorithm", [fft, fft_tiled.fft_tiled], ids=lambda a: a.name)
def test_a_workspace_limit_means_smaller_blocks_or_tiles_before_refusal(algorithm) -> None:
    spec = ConvSpec((8, 3, 64, 64), (4, 3, 9, 9))
    free = Kernel(algorithm, spec, 1, None, "")
    tight = Kernel(algorithm, spec, 1, free.workspace_bytes // 2, "")
    assert tight.workspace_bytes <= free.workspace_bytes // 2
    pixels = {"fft": lambda p: p.images, "fft_tiled": lambda p: p.block * p.tiling.rows * p.tiling.cols}[algorithm.name]
    assert pixels(tight.plan) < pixels(free.plan)
    assert check(algorithm, spec, workspace_limit=free.workspace_bytes // 2).ok
    assert hash(tight.plan) != hash(free.plan)
    with pytest.raises(Unsupported, match=r"needs \d+ bytes .* the limit is 1000"):
        Kernel(algorithm, spec, 1, 1000, "")


@pytest.mark.parametrize("channels", [1, 4])
def test_tables_of_any_size_are_of_one_type(channels: int) -> None:
    """Another order in memory would be another type, and kernels compiled again."""
    spec = ConvSpec((2, channels, 40, 40), (channels, channels, 9, 9))
    assert all(table.flags.c_contiguous for table in fft_tiled.plan(spec, 1, None).tiling.tables())


@pytest.mark.parametrize(
    "spec",
    [
        ConvSpec((1, 1, 1, 4000), (1, 1, 1, 31), dilation=2),
        ConvSpec((1, 4, 3, 3000), (4, 1, 1, 200), dilation=2, groups=4),
        ConvSpec((1, 2, 5, 3000), (2, 2, 1, 100), stride=(2, 1), dilation=(4, 3)),
    ],
    ids=str,
)
def test_phases_of_rows_without_outputs_write_nothing(spec: ConvSpec) -> None:
    verdict = check(fft_tiled.fft_tiled, spec)
    assert verdict.ok, verdict
    writes = fft_tiled.plan(spec, 1, None).tiling.tables().writes
    assert (writes[:, 1] * writes[:, 2]).sum() * spec.N * spec.K == np.prod(spec.output_shape)


def test_executed_work_hardly_grows_with_the_filter() -> None:
    """The point of the algorithm: from 5 × 5 to 15 × 15 the direct sum's work is nine times as large."""
    specs = [ConvSpec((1, 64, 112, 112), (64, 64, r, r), padding=r // 2) for r in (5, 15)]
    few, many = (fft_tiled.executed_flop(fft_tiled.plan(spec, 1, None)) for spec in specs)
    assert specs[1].flop == 9 * specs[0].flop
    assert many < 3 * few
    assert many < specs[1].flop / 20
