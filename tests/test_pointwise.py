"""The building blocks of pointwise: sums, edges and packing against NumPy, the form chosen, no sum on the stack."""

from __future__ import annotations

import re

import numba
import numpy as np
import pytest

from convbench.algorithm import unit_roundoff
from convbench.algorithms.pointwise import Plan, pointwise
from convbench.kernels import channel_product, plane_product, vector_product
from convbench.kernels.channel_product import multiply_channels
from convbench.kernels.gemm import TILE_ROWS, panel_width
from convbench.kernels.jit import OPTIONS
from convbench.kernels.layout import aligned_empty
from convbench.kernels.lines import copy_every_second
from convbench.kernels.plane_product import multiply_planes
from convbench.kernels.product_forms import Form, channels, planes, rows, vector
from convbench.kernels.simd import VECTOR_BYTES
from convbench.spec import ConvSpec
from convbench.verify import check
from tests.test_gemm import inner_loops

LANES = VECTOR_BYTES // 4
HEIGHT = plane_product.HEIGHT

by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


class Product:
    """Operands of one form's kernel, x of NaN beyond the pixels of every channel and y of NaN before the run."""

    def __init__(self, images: int, G: int, C: int, K: int, pixels: int, gap: int, dtype: str) -> None:
        rng = np.random.default_rng([images, G, C, K, pixels])
        self.spec = ConvSpec((images, G * C, pixels), (G * K, C, 1), groups=G, dtype=dtype)
        self.pixels, self.x_step = pixels, pixels + gap
        self.x = np.full((images, G, C, self.x_step), np.nan, dtype)
        self.x[..., :pixels] = rng.standard_normal((images, G, C, pixels))
        self.w = rng.standard_normal((G, K, C)).astype(dtype)
        self.bias = rng.standard_normal(G * K).astype(dtype)
        self.y = np.full((images, G, K, pixels), np.nan, dtype)

    def run(self, form: Form, pieces: int = 2) -> None:
        """All tasks, in ``pieces`` calls of the kernel."""
        scratch = [np.full(form.scratch, np.nan, self.y.dtype)] if form.scratch else []
        for piece in range(pieces):
            begin, end = (form.tasks * i // pieces for i in (piece, piece + 1))
            form.kernel(begin, end, self.x.ravel(), form.pack(self.w), self.bias, self.y.ravel(), form.sizes, *scratch)

    def check(self) -> None:
        x, w = self.x[..., : self.pixels].astype(np.float64), self.w.astype(np.float64)
        bias = self.bias.reshape(self.y.shape[1:3])[None, :, :, None].astype(np.float64)
        want = np.einsum("gkc,ngcp->ngkp", w, x) + bias
        size = np.sqrt(np.einsum("gkc,ngcp->ngkp", w**2, x**2) + bias**2)
        assert np.isfinite(self.y).all(), "an element outside the operands was read, or an output left out"
        assert (np.abs(self.y - want) <= unit_roundoff(str(self.y.dtype)) * (5 * w.shape[2] ** 0.5 + 8) * size).all()


@pytest.mark.parametrize("C", [1, 5, 41, plane_product.DEPTH + 3])
@pytest.mark.parametrize("K", [1, HEIGHT - 1, HEIGHT, 2 * HEIGHT + 3])
@pytest.mark.parametrize("pixels", [LANES + 1, 2 * LANES, 3 * LANES, 4 * LANES + 1, 11 * LANES - 1])
@by_dtype
def test_planes(pixels: int, K: int, C: int, dtype: str) -> None:
    product = Product(1, 1, C, K, pixels, 3, dtype)
    product.run(planes(product.spec, 1, pixels, product.x_step, 1, None))
    product.check()


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("limit", [None, 30_000, 0])
def test_planes_of_many_runs_groups_images_and_parts(threads: int, limit: int | None) -> None:
    product = Product(2, 3, 40, 3 * HEIGHT + 1, 20 * LANES + 3, 0, "float32")
    product.run(planes(product.spec, 2, product.pixels, product.x_step, threads, limit), 3)
    product.check()


SIZES = "SHORT_ROW", "NEAR_BYTES", "MIDDLING_BYTES", "FAR_BYTES"


@pytest.mark.parametrize("near", [0, 1 << 30])
@pytest.mark.parametrize("pixels", [plane_product.ALIGNED * LANES, 70 * LANES, 70 * LANES - 1])
@pytest.mark.parametrize("offset", [0, 1, LANES - 1])
@by_dtype
def test_planes_wherever_the_output_begins(
    dtype: str, offset: int, pixels: int, near: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long rows are written to whole cache lines; in both orders of the loops nothing beside them is touched."""
    for name in SIZES:
        monkeypatch.setattr(f"convbench.kernels.product_forms.{name}", near)
    product = Product(2, 1, 46, 2 * HEIGHT + 3, pixels, 0, dtype)
    size, lanes = product.y.size, VECTOR_BYTES // product.y.itemsize
    whole = aligned_empty((size + 3 * lanes,), product.y.dtype)
    whole[:] = np.nan
    product.y = whole[lanes + offset : lanes + offset + size].reshape(product.y.shape)
    product.run(planes(product.spec, 2, pixels, pixels, 1, None))
    product.check()
    assert np.isnan(whole[: lanes + offset]).all()
    assert np.isnan(whole[lanes + offset + size :]).all()


@pytest.mark.parametrize(("images", "most", "together"), [(4, 4, 4), (4, 3, 2), (3, 2, 1)])
@pytest.mark.parametrize(("pixels", "gap"), [(LANES + 2, 0), (5 * LANES, 7)])
@pytest.mark.parametrize("threads", [1, 2])
def test_planes_of_sets_of_images_that_are_far(
    threads: int, pixels: int, gap: int, images: int, most: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    K = 2 * HEIGHT + 1
    for name, value in {"NEAR_BYTES": 0, "FAR_BYTES": 0, "SUMS_BYTES": most * K * pixels * 4}.items():
        monkeypatch.setattr(f"convbench.kernels.product_forms.{name}", value)
    product = Product(images, 2, plane_product.DEPTH + 5, K, pixels, gap, "float32")
    form = planes(product.spec, images, pixels, product.x_step, threads, None)
    assert form.sizes[10] == together
    product.run(form)
    product.check()


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("H", "W"), [(9, 2 * LANES - 1), (6, 6 * LANES), (13, 31), (1, 2 * LANES + 5)])
@pytest.mark.parametrize("far", [0, 1 << 30])
@by_dtype
def test_planes_gathered_as_they_are_needed(
    dtype: str, far: int, H: int, W: int, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"FAR_BYTES": far, "DEEP": 8, "GATHERED_BYTES": 40_000}.items():
        monkeypatch.setattr(f"convbench.kernels.product_forms.{name}", value)
    spec = ConvSpec((3, 42, H, W), (2 * HEIGHT + 6, 21, 1, 1), stride=(stride, 2), groups=2, dtype=dtype)
    plan = pointwise.plan(spec, 1, None)
    assert isinstance(plan, Plan)
    assert plan.as_needed == (spec.output_shape[2] * spec.output_shape[3] > VECTOR_BYTES // spec.itemsize)
    verdict = check("pointwise", spec)
    assert verdict.ok, verdict


@pytest.mark.parametrize("K", range(1, 5 * HEIGHT))
def test_tiles_are_even_in_height(K: int) -> None:
    starts = plane_product.tile_starts(K)
    heights = np.diff(starts)
    assert K <= starts[-1] <= max(K + 1, plane_product.LEAST)
    assert len(heights) == -(-K // HEIGHT)
    assert set(heights) <= set(range(plane_product.LEAST, HEIGHT + 1, 2))


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 3, 2 * LANES), (2, 2, LANES + 3), (1, 5, 3)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 3)])
@by_dtype
def test_every_second_pixel(size: tuple[int, int, int], stride: tuple[int, int], dtype: str) -> None:
    channels, (D, H, W) = 3, ((size[0] - 1) * stride[0] + 1, (size[1] - 1) * stride[1] + 1, 2 * size[2] - 1)
    source = np.random.default_rng(0).standard_normal((channels, D, H, W)).astype(dtype)
    target = np.full((channels, size[0] * size[1] * size[2] + 2), np.nan, dtype)
    copy_every_second(1, 3, source, target.reshape(-1), 0, target.shape[1], (*stride, 2), size)
    want = source[:, :: stride[0], :: stride[1], ::2].reshape(channels, -1)
    assert np.isnan(target[0]).all()
    assert (target[1:, :-2] == want[1:]).all()
    assert np.isnan(target[1:, -2:]).all()


@pytest.mark.parametrize("C", [1, 6, channel_product.DEPTH + 1])
@pytest.mark.parametrize("K", [1, LANES, panel_width(np.float32) + 1])
@pytest.mark.parametrize("pixels", [1, 4, 5, 9, 25, 36, 49, 100, 121])
@by_dtype
def test_channels(pixels: int, K: int, C: int, dtype: str) -> None:
    product = Product(2, 2, C, K, pixels, 3, dtype)
    product.run(channels(product.spec, 2, pixels, product.x_step, False, 3))
    product.check()


@pytest.mark.parametrize(("images", "together"), [(3, 1), (4, 2)])
@pytest.mark.parametrize("threads", [1, 3])
def test_channels_of_sets_of_images(images: int, together: int, threads: int) -> None:
    """More than L2 holds: filters meet as many images at a time as it does, and lines of y are fetched."""
    product = Product(images, 2, 1000, panel_width(np.float32) + 3, 49, 15, "float32")
    form = channels(product.spec, images, 49, product.x_step, False, threads)
    assert list(form.sizes[-2:]) == [together, True]
    product.run(form, pieces=5)
    product.check()


@pytest.mark.parametrize("N", [2, 3, 17])
@pytest.mark.parametrize("K", [1, panel_width(np.float32) + 3])
@by_dtype
def test_columns(N: int, K: int, dtype: str) -> None:
    """A batch of single pixels is one plane, its result a matrix (N, G·K)."""
    product = Product(1, 2, 5, K, N, 16, dtype)
    form = channels(product.spec, 1, N, product.x_step, True, 1)
    y = product.y
    product.y = np.full((N, 2, K), np.nan, dtype)
    product.run(form)
    product.y = np.moveaxis(product.y, 0, -1)[None]
    assert product.y.shape == y.shape
    product.check()


@pytest.mark.parametrize("C", [1, 3, 4, 9, 64, 67])
@pytest.mark.parametrize("K", [1, LANES, 3 * LANES + 1, 7 * LANES, 8 * LANES, 23 * LANES + 5])
@by_dtype
def test_vector(K: int, C: int, dtype: str) -> None:
    product = Product(1, 2, C, K, 1, 0, dtype)
    product.run(vector(product.spec))
    product.check()


@pytest.mark.parametrize("C", [1, LANES - 1, LANES, 2 * LANES, 5 * LANES + 3, 300])
@pytest.mark.parametrize("K", [1, 2, 7, 8, 9, LANES, 2 * LANES + 5])
@by_dtype
def test_rows(K: int, C: int, dtype: str) -> None:
    """What lies beside the filters is NaN, and must not reach a sum."""
    product = Product(1, 2, C, K, 1, 0, dtype)
    beside = np.full(product.w.size + 2 * LANES, np.nan, dtype)
    beside[LANES:-LANES] = product.w.ravel()
    product.w = beside[LANES:-LANES].reshape(product.w.shape)
    product.run(rows(product.spec))
    product.check()


@pytest.mark.parametrize("vectors", range(1, 40))
def test_widths_add_up(vectors: int) -> None:
    found = vector_product.widths(vectors)
    assert sum(found) == vectors
    assert set(found) <= {8, 4, 2, 1}


@pytest.mark.skipif(VECTOR_BYTES != 64, reason="the registers counted are those of AVX-512")
@pytest.mark.parametrize(("kernel", "most"), [(multiply_planes, 3 * HEIGHT), (multiply_channels, 2 * TILE_ROWS)])
def test_sums_stay_in_registers(kernel: numba.core.dispatcher.Dispatcher, most: int) -> None:
    """No loop over depth moves a 64-byte vector to or from the stack."""
    fresh = numba.njit(**{**OPTIONS, "cache": False})(kernel.py_func)  # code from the cache cannot be inspected
    flat, sizes = aligned_empty((8,), np.float32), np.ones(20, np.int64)
    fresh(0, 0, flat, flat, flat, flat, sizes, flat)
    (assembly,) = fresh.inspect_asm().values()
    counts = set()
    for block in inner_loops(assembly):
        if count := sum(bool(re.match(r"vfmadd[0-9]+ps\b.*zmm", line)) for line in block):
            counts.add(count)
            assert not [line for line in block if re.match(r"vmov\w+\s.*zmm", line) and re.search(r"\(%rsp", line)]
    assert most in counts
