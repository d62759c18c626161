"""The oracle: the definition of convolution in a dozen obvious lines, in more precision than what it judges."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import Any

import numpy as np

from convbench.spec import ConvSpec


def oracle(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, spec: ConvSpec) -> np.ndarray:
    """y*[n, k, p] = bias[k] + Σ_c Σ_r x[n, g·C/G + c, p·stride + r·dilation − padding] · w[k, c, r], g = ⌊k·G/K⌋.

    x (N, C, …), w (K, C/G, …) of any float dtype -> (N, K, …) in float64 for float32 problems, else long double.
    """
    wide: Any = np.float64 if spec.dtype == "float32" else np.longdouble
    padded: Any = np.pad(x.astype(wide), [(0, 0), (0, 0), *spec.padding])
    padded = padded.reshape(spec.N, spec.groups, spec.C // spec.groups, *padded.shape[2:])
    filters: Any = w.astype(wide).reshape(spec.groups, -1, *w.shape[1:])
    y = np.zeros((spec.N, spec.groups, filters.shape[1], *spec.output_spatial), wide)
    for tap in product(*map(range, spec.filter)):
        at: Any = tuple(
            slice(r * d, r * d + (p - 1) * s + 1, s)
            for r, d, p, s in zip(tap, spec.dilation, spec.output_spatial, spec.stride, strict=True)
        )
        pixels = padded[(..., *at)].reshape(*padded.shape[:3], prod(spec.output_spatial))
        y += (filters[(..., *tap)] @ pixels).reshape(y.shape)
    y = y.reshape(spec.output_shape)
    return y if bias is None else y + bias.astype(wide).reshape(-1, *(1 for _ in spec.filter))


def outputs(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, spec: ConvSpec, at: np.ndarray) -> np.ndarray:
    """:func:`oracle` at chosen pixels only: ``at`` (m, 1 + ndim) holds indices (n, p, …); the result is (m, K)."""
    wide: Any = np.float64 if spec.dtype == "float32" else np.longdouble
    filters: Any = w.astype(wide).reshape(spec.groups, -1, *w.shape[1:])
    y: Any = np.zeros((spec.groups, len(at), filters.shape[1]), wide)
    for tap in product(*map(range, spec.filter)):
        position = [
            at[:, 1 + i] * spec.stride[i] + tap[i] * spec.dilation[i] - spec.padding[i][0] for i in range(spec.ndim)
        ]
        inside = np.logical_and.reduce([(i >= 0) & (i < n) for i, n in zip(position, spec.spatial, strict=True)])
        index = tuple(i[inside] for i in position)
        pixels: Any = np.zeros((len(at), spec.C), wide)
        pixels[inside] = np.moveaxis(x, 1, -1)[(at[inside, 0], *index)]
        pixels = np.moveaxis(pixels.reshape(len(at), spec.groups, filters.shape[2]), 1, 0)
        y += pixels @ np.moveaxis(filters[(..., *tap)], 1, 2)
    result = np.moveaxis(y, 0, 1).reshape(len(at), spec.K)
    return result if bias is None else result + bias.astype(wide)
