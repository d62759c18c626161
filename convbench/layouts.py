"""How the axes of an image lie in memory. Shapes in a spec stay logical, (N, C, *spatial); filters are KCRS always.

    NCHW      (N, C, *spatial)
    NHWC      (N, *spatial, C)
    NCHW16c   (N, ⌈C/16⌉, *spatial, 16), the channels beyond C zero (Georganas et al. 2018, arXiv:1808.05567, §II-B)

The names are the 2-D ones at any rank.
"""

from __future__ import annotations

from math import prod

import numpy as np

LAYOUTS = ("NCHW", "NHWC", "NCHW16c")
BLOCK = 16  # channels of one block of NCHW16c


def stored_shape(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """Shape in memory of an image of logical ``shape``."""
    N, C, *spatial = shape
    if layout == "NHWC":
        return (N, *spatial, C)
    return (N, -(-C // BLOCK), *spatial, BLOCK) if layout == "NCHW16c" else shape


def logical_shape(shape: tuple[int, ...], layout: str, channels: int) -> tuple[int, ...]:
    """Logical shape of an image that has ``shape`` in memory; with blocks, ``channels`` says how many are real."""
    if layout == "NHWC":
        return (shape[0], shape[-1], *shape[1:-1])
    if layout == "NCHW16c":
        fits = stored_shape((shape[0], channels, *shape[2:-1]), layout) == shape
        return (shape[0], channels if fits else shape[1] * shape[-1], *shape[2:-1])
    return shape


def fitting(shape: tuple[int, ...], channels: int, ndim: int) -> list[str]:
    """The layouts in which an array of this shape is an image, or a batch of them, with so many channels."""
    found = []
    for layout in LAYOUTS:
        rank = ndim + 2 + (layout == "NCHW16c")
        batch = shape if len(shape) == rank else (1, *shape)
        if len(batch) == rank and (logical := logical_shape(batch, layout, channels))[1] == channels:
            found += [layout] if stored_shape(logical, layout) == batch else []
    return found


def stored(image: np.ndarray, layout: str) -> np.ndarray:
    """A C-contiguous copy of the logical ``image`` in ``layout``."""
    if layout == "NCHW16c":
        N, C, *spatial = image.shape
        blocks = -(-C // BLOCK)
        padded = np.zeros((N, blocks * BLOCK, *spatial), image.dtype)
        padded[:, :C] = image
        image = np.moveaxis(padded.reshape(N, blocks, BLOCK, *spatial), 2, -1)
    elif layout == "NHWC":
        image = np.moveaxis(image, 1, -1)
    return image.copy(order="C")


def logical(image: np.ndarray, layout: str, channels: int) -> np.ndarray:
    """The first ``channels`` channels of an image in ``layout``, as (N, C, *spatial)."""
    if layout == "NHWC":
        return np.moveaxis(image, -1, 1)
    if layout == "NCHW16c":
        blocks = np.moveaxis(image, -1, 2)
        return blocks.reshape(blocks.shape[0], prod(blocks.shape[1:3]), *blocks.shape[3:])[:, :channels]
    return image
