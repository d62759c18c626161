"""expand keeps its contract: padded images as np.pad makes them, and nothing read that is not in them."""

from __future__ import annotations

import numpy as np
import pytest

from convbench.kernels.expansion import EXPANDS, expand, expansion
from convbench.kernels.jit import njit
from convbench.kernels.simd import VECTOR_BYTES
from convbench.kernels.strips import strip_of
from convbench.reductions import lift
from convbench.spec import ConvSpec


@njit
def expanded(x, start, x_plane, out, plane, channels, table):
    expand(x, start, x_plane, out, plane, channels, table)


@pytest.mark.skipif(not EXPANDS, reason="images are expanded by one instruction or not at all")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "problem",
    [
        "mb1ic3ih7oc4oh7kh3ph1",
        "mb1ic3ih14iw9oc4oh14ow9kh3kw3ph1pw1",
        "mb1ic2ih20oc4oh16kh5",
        "mb1ic2ih9oc4oh9kh3dh1ph2",
    ],
)
def test_panels_are_padded_images(problem: str, dtype: str) -> None:
    spec = lift(ConvSpec.parse(problem), 3).replace(dtype=dtype)
    _, H, W = spec.spatial
    (top, _), (left, _) = spec.padding[1:]
    strip = strip_of(spec, *spec.output_spatial[1:])
    table = expansion(strip.sources(), VECTOR_BYTES // spec.itemsize)
    assert table is not None
    x = np.full(5 + spec.C * H * W, np.nan, dtype)
    images = x[5:].reshape(spec.C, H, W)
    images[:] = np.random.default_rng(0).standard_normal(images.shape)
    panel = np.full(strip.panel, np.nan, dtype)
    expanded(x, 5, H * W, panel, strip.plane, spec.C, table)
    for image, plane in zip(images, panel.reshape(spec.C, -1), strict=True):
        rows = np.zeros(strip.plane + W, dtype)
        for h in range(H):
            at = (top + h) * strip.pitch + left
            rows[at : at + W] = image[h] if at < strip.plane else 0
        np.testing.assert_array_equal(plane, rows[: strip.plane])


def test_slices_that_are_padding_come_from_nowhere() -> None:
    spec = ConvSpec.parse("mb1ic2id1ih7iw7oc4od1oh7ow7kd3kh3kw3pd1ph1pw1")
    strip = strip_of(spec, *spec.output_spatial[1:])
    before, only, behind = np.split(strip.sources()[: 3 * strip.phase], 3)
    assert (before == -1).all()
    assert (np.sort(only[only >= 0]) == np.arange(7 * 7)).all()
    assert (behind == -1).all()


def test_rows_that_lie_apart_have_no_table() -> None:
    assert expansion(np.array([0, 1, -1, 2, 4, 5, -1, -1]), 4) is not None
    assert expansion(np.array([0, 1, -1, 3, 4, 5, -1, -1]), 4) is None
