"""Matrices as sums of outer products: the factorisation behind ``separable`` and ``depthwise_separable``."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Factors(NamedTuple):
    """Matrix b of a stack is Σ_i left[i, :, None] · right[i, None, :] over i in first[b] … first[b + 1] − 1."""

    left: np.ndarray  # (terms, m)
    right: np.ndarray  # (terms, n)
    first: np.ndarray  # int64 (B + 1,)


def truncation(taps: int, dtype: str) -> float:
    """τ = √taps · u: how much of ‖W‖_F may be dropped, no more than the rounding of the direct sum over these taps."""
    return float(np.sqrt(taps) * np.finfo(dtype).eps / 2)


def factorise(matrices: np.ndarray, tolerance: float) -> Factors:
    """The fewest outer products within ``tolerance``: ‖W − Σ_i left_i ⊗ right_i‖_F ≤ tolerance · ‖W‖_F for each W.

    matrices (B, m, n) float32 or float64 -> Factors in that dtype. The SVD runs in float64 and gives the least
    number of terms (Eckart & Young 1936); each singular value is shared evenly by its two factors. The left factors
    then take up what rounding the right ones, and the SVD itself, left missing: a least-squares step in more
    precision. A matrix with NaN or infinity gets one term of NaN: whatever it meets is not finite either; one of
    zeros gets one term of zeros.
    """
    dtype = matrices.dtype
    finite = np.isfinite(matrices).all(axis=(1, 2))
    matrices = np.where(finite[:, None, None], matrices, 0)
    u, sigma, vt = np.linalg.svd(matrices.astype(np.float64), full_matrices=False)
    dropped = np.sqrt(np.cumsum(sigma[:, ::-1] ** 2, axis=1))[:, ::-1]  # of ‖W‖_F when term i and those after it go
    kept = dropped > tolerance * dropped[:, :1]
    kept[:, 0] = True
    share = np.sqrt(np.where(kept, sigma, 0))[:, :, None]

    right = (vt * share).astype(dtype)
    wide = np.float64 if dtype == np.float32 else np.longdouble
    left = (u.transpose(0, 2, 1) * share).astype(wide)
    missing = matrices - left.transpose(0, 2, 1) @ right.astype(wide)
    inverse = np.divide(vt, share, out=np.zeros_like(vt), where=share > 0)
    left = left + (missing @ inverse.transpose(0, 2, 1)).transpose(0, 2, 1)

    left[~finite] = np.nan
    first = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int64)
    return Factors(_normal(left[kept].astype(dtype)), _normal(right[kept]), first)


def factorise_time(count: int, m: int, n: int) -> float:
    """Seconds that :func:`factorise` takes for ``count`` m × n matrices, within a factor of four."""
    return count * (5e-6 + 1e-8 * m * n * min(m, n))


def _normal(factors: np.ndarray) -> np.ndarray:
    """Without denormals, which slow every product down."""
    return np.where(np.abs(factors) < np.finfo(factors.dtype).tiny, factors.dtype.type(0), factors)
