"""Aligned buffers, scratch carving, and the polyphase image: every tap is a shift of it."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest

from convbench.data import arrays
from convbench.kernels.jit import njit
from convbench.kernels.layout import (
    ALIGNMENT,
    Polyphase,
    aligned_empty,
    carve,
    polyphase_pad,
    round_up,
    scratch_bytes,
)
from convbench.kernels.simd import viewed
from convbench.reductions import lift
from convbench.spec import ConvSpec


@pytest.mark.parametrize(("value", "multiple", "result"), [(0, 8, 0), (1, 8, 8), (8, 8, 8), (9, 8, 16), (7, 1, 7)])
def test_round_up(value: int, multiple: int, result: int) -> None:
    assert round_up(value, multiple) == result


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (7, 5), (64,), (1000, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64", "int64", "complex128"])
def test_aligned_empty(shape: tuple[int, ...], dtype: str) -> None:
    array = aligned_empty(shape, dtype)
    assert array.shape == shape
    assert array.dtype == dtype
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert array.size == 0 or array.ctypes.data % ALIGNMENT == 0  # without elements there is no first one


def test_parts_of_the_scratch_are_aligned_and_apart() -> None:
    parts = [((3, 5), np.dtype("float32")), ((0,), np.dtype("float64")), ((7,), np.dtype("int64")), ((2, 2), "uint8")]
    work = aligned_empty((scratch_bytes(parts),), np.uint8)
    views = carve(work, parts)
    for number, (view, (shape, dtype)) in enumerate(zip(views, parts, strict=True)):
        assert view.shape == shape
        assert view.dtype == dtype
        assert view.ctypes.data % ALIGNMENT == 0
        assert np.shares_memory(view, work) == bool(view.size)
        view[...] = number + 1
    assert [set(np.unique(view)) for view in views] == [{1}, set(), {3}, {4}]


def test_scratch_too_small_for_its_parts_is_refused() -> None:
    parts = [((100,), np.dtype("float32"))]
    with pytest.raises(ValueError, match="reshape"):
        carve(aligned_empty((scratch_bytes(parts) - ALIGNMENT,), np.uint8), parts)


SPECS = [
    ConvSpec((2, 3, 9), (4, 3, 4), stride=3, padding=2, dilation=2),
    ConvSpec((1, 2, 7, 9), (4, 2, 3, 3), padding=1),
    ConvSpec((1, 2, 8, 11), (4, 2, 3, 2), stride=(2, 3), padding=((0, 2), (3, 1)), dilation=(3, 2)),
    ConvSpec((2, 1, 10, 6), (4, 1, 1, 1), stride=4),
    ConvSpec((1, 2, 5, 6, 7), (4, 2, 2, 3, 3), stride=(1, 2, 3), padding=(1, 0, 2), dilation=(2, 1, 1)),
    ConvSpec((1, 2, 32, 64), (4, 2, 1, 1), padding=1),
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_tap_is_a_shift_of_the_polyphase_image(spec: ConvSpec, dtype: str) -> None:
    spec = lift(spec.replace(dtype=dtype), 3)
    image = Polyphase.of(spec)
    assert not image.in_place
    assert image.plane * spec.itemsize % ALIGNMENT == 0
    assert image.plane * spec.itemsize % 4096 != 0
    x, _, _ = arrays(spec)
    before = tuple(before for before, _ in spec.padding)
    channels = x.reshape(-1, *spec.spatial).copy()
    padded = np.full(len(channels) * image.plane, np.nan, dtype)
    polyphase_pad(0, len(channels), channels, padded, image.plane, image.phases, image.size, spec.stride, before)
    zeros = np.pad(channels, [(0, 0), *spec.padding])
    for channel in range(len(channels)):
        for offset, tap in zip(image.taps, product(*map(range, spec.filter)), strict=True):
            for pixel in product(*map(range, spec.output_spatial)):
                position = (pixel[0] * image.size[1] + pixel[1]) * image.size[2] + pixel[2]
                assert position < image.pixels
                at = tuple(p * s + t * d for p, s, t, d in zip(pixel, spec.stride, tap, spec.dilation, strict=True))
                assert padded[channel * image.plane + offset + position] == zeros[(channel, *at)]
    last = prod(image.size) * prod(image.phases)
    assert image.taps.max() + image.pixels <= last, "a tile would read beyond its channel's image"


@pytest.mark.parametrize("spec", [ConvSpec((2, 3, 6, 7), (4, 3, 3, 2)), ConvSpec((1, 1, 9), (1, 1, 3), dilation=4)])
def test_without_stride_and_padding_the_input_is_the_image(spec: ConvSpec) -> None:
    spec = lift(spec, 3)
    image = Polyphase.of(spec)
    assert image.in_place
    assert image.plane == prod(spec.spatial)
    assert image.taps.max() + image.pixels <= image.plane


def test_a_part_of_the_channels_leaves_the_others_alone() -> None:
    spec = lift(SPECS[1], 3)
    image = Polyphase.of(spec)
    x = arrays(spec)[0].reshape(-1, *spec.spatial).copy()
    padded = np.full(2 * image.plane, np.nan, spec.dtype)
    polyphase_pad(1, 2, x, padded, image.plane, image.phases, image.size, spec.stride, (0, 1, 1))
    assert np.isnan(padded[: image.plane]).all()
    assert np.isfinite(padded[image.plane : image.plane + prod(image.phases) * prod(image.size)]).all()


@njit
def _viewed(buffer, start, like):
    return viewed(buffer[start:], like)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_compiled_code_sees_bytes_as_numbers(dtype: str) -> None:
    buffer = aligned_empty((84,), np.uint8)
    buffer[:] = np.arange(84)
    seen = _viewed(buffer, 8, np.empty(0, dtype))
    whole = 76 // seen.itemsize * seen.itemsize
    assert np.array_equal(seen, buffer[8 : 8 + whole].view(dtype))
    seen[0] = 1
    assert buffer[8 : 8 + seen.itemsize].view(dtype)[0] == 1
