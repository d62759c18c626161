"""Spec-to-spec algebra: small equalities that give every algorithm more of the problem space."""

from __future__ import annotations

from functools import lru_cache

from convbench.spec import ConvSpec


@lru_cache(maxsize=64)
def lift(spec: ConvSpec, ndim: int) -> ConvSpec:
    """The same problem with ``ndim`` spatial dimensions: 1-D is 2-D with H = 1, 2-D is 3-D with D = 1.

    Proof: a leading dimension of size 1, filter size 1, stride 1, dilation 1 and padding 0 adds one position to
    every index set and changes no sum; memory order is unchanged, so arrays are reshaped, never copied.
    """
    extra = ndim - spec.ndim
    ones = (1,) * extra
    return spec.replace(
        input_shape=(*spec.input_shape[:2], *ones, *spec.input_shape[2:]),
        weight_shape=(*spec.weight_shape[:2], *ones, *spec.weight_shape[2:]),
        stride=ones + spec.stride,
        dilation=ones + spec.dilation,
        padding=((0, 0),) * extra + spec.padding,
    )
