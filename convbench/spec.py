"""One convolution problem: its shapes, and the sizes that follow from them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from convbench import descriptor
from convbench.arguments import (
    INT64_MAX,
    DTypeError,
    SpecError,
    dtype_name,
    integer,
    nearest,
    pairs,
    per_dimension,
    shape,
)
from convbench.descriptor import DescriptorError
from convbench.layouts import LAYOUTS, stored_shape

__all__ = ["ConvSpec", "DTypeError", "DescriptorError", "SpecError", "nearest"]


@dataclasses.dataclass(frozen=True, init=False, eq=False)
class ConvSpec:
    """A 1-, 2- or 3-D cross-correlation as in torch.nn.functional.conv1d/2d/3d, without the bias.

    input_shape (N, C, *spatial), N may be 0; weight_shape (K, C / groups, *filter).
    stride, dilation: an integer, or one per spatial dimension.
    padding: an integer, one per spatial dimension, "same", "valid", or a (before, after) pair per dimension;
    kept as pairs. dtype: float32 or float64. layout: "NCHW", "NHWC" or "NCHW16c" (``layouts.py``): how input and output
    lie in memory, at any rank; shapes here stay logical, and filters are (K, C / groups, *filter) always.
    name and repeats (how often a network runs the problem) say where it comes from and are not compared.

    Specs that differ only in trailing padding that no filter position reads are equal.
    Raises SpecError for shapes that make no sense and DTypeError for other dtypes.
    """

    input_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int
    dtype: str
    layout: str
    name: str
    repeats: int

    def __init__(
        self,
        input_shape: Sequence[int],
        weight_shape: Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | str | Sequence[int] | Sequence[Sequence[int]] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        dtype: Any = "float32",
        layout: str = "NCHW",
        *,
        name: str = "",
        repeats: int = 1,
    ) -> None:
        inputs = shape("input_shape", "(N, C, *spatial)", input_shape, (0, 1))
        weights = shape("weight_shape", "(K, C / groups, *filter)", weight_shape, (1, 1))
        ndim = len(inputs) - 2
        if len(weights) != len(inputs):
            raise SpecError(f"weight_shape is {weights}; allowed: {len(inputs)} sizes, as in input_shape {inputs}")
        strides = per_dimension("stride", stride, ndim, 1)
        dilations = per_dimension("dilation", dilation, ndim, 1)
        self.__dict__.update(
            input_shape=inputs,
            weight_shape=weights,
            stride=strides,
            padding=pairs(padding, weights[2:], strides, dilations),
            dilation=dilations,
            groups=integer("groups", groups, 1),
            dtype=dtype_name(dtype),
            layout=layout,
            name=name,
            repeats=integer("repeats", repeats, 1),
        )
        self._validate()

    def _validate(self) -> None:
        if self.layout not in LAYOUTS:
            raise SpecError(f"layout is {self.layout!r}; allowed: {', '.join(LAYOUTS)}")
        if self.C % self.G or self.K % self.G:
            raise SpecError(f"groups is {self.G}; allowed: a divisor of both C = {self.C} and K = {self.K}")
        if self.weight_shape[1] * self.G != self.C:
            raise SpecError(
                f"weight_shape[1] is {self.weight_shape[1]}; "
                f"allowed: C / groups = {self.C} / {self.G} = {self.C // self.G}"
            )
        padded = tuple(i + before + after for i, (before, after) in zip(self.spatial, self.padding, strict=True))
        if any(k > size for k, size in zip(self.effective_filter, padded, strict=True)):
            raise SpecError(
                f"filter is {self.filter}, {self.effective_filter} when dilated; "
                f"allowed: at most the padded input, {padded}"
            )
        sizes = {
            "padded input bytes": max(self.N, 1) * self.C * math.prod(padded) * self.itemsize,
            "input, weight and output bytes": self.min_bytes,
            "flop": self.flop,
        }
        for what, size in sizes.items():
            if size > INT64_MAX:
                raise SpecError(f"{what}: {size}; allowed: up to 2**63 - 1")

    @property
    def ndim(self) -> int:
        """Number of spatial dimensions: 1, 2 or 3."""
        return len(self.stride)

    @property
    def N(self) -> int:
        """Batch size."""
        return self.input_shape[0]

    @property
    def C(self) -> int:
        """Input channels, all groups together."""
        return self.input_shape[1]

    @property
    def K(self) -> int:
        """Output channels, all groups together."""
        return self.weight_shape[0]

    @property
    def G(self) -> int:
        """Groups."""
        return self.groups

    @property
    def spatial(self) -> tuple[int, ...]:
        """Input size per spatial dimension, (H, W) in 2-D."""
        return self.input_shape[2:]

    @property
    def filter(self) -> tuple[int, ...]:
        """Filter size per spatial dimension, (R, S) in 2-D."""
        return self.weight_shape[2:]

    @cached_property
    def effective_filter(self) -> tuple[int, ...]:
        """Extent of the dilated filter: (R - 1) * dilation + 1 per spatial dimension."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.filter, self.dilation, strict=True))

    @cached_property
    def output_spatial(self) -> tuple[int, ...]:
        """Output size per spatial dimension, (P, Q) in 2-D."""
        axes = zip(self.spatial, self.padding, self.effective_filter, self.stride, strict=True)
        return tuple((i + before + after - k) // s + 1 for i, (before, after), k, s in axes)

    @property
    def stored_input_shape(self) -> tuple[int, ...]:
        """Shape of the input array: `input_shape` with the axes of the layout."""
        return stored_shape(self.input_shape, self.layout)

    @property
    def stored_output_shape(self) -> tuple[int, ...]:
        """Shape of the output array: `output_shape` with the axes of the layout."""
        return stored_shape(self.output_shape, self.layout)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """(N, K, *output_spatial)."""
        return (self.N, self.K, *self.output_spatial)

    @cached_property
    def canonical_padding(self) -> tuple[tuple[int, int], ...]:
        """(before, after) pairs with the least `after` >= 0 that gives the same output size."""
        axes = zip(self.output_spatial, self.stride, self.effective_filter, self.spatial, self.padding, strict=True)
        return tuple((before, max(0, (o - 1) * s + k - i - before)) for o, s, k, i, (before, _) in axes)

    @property
    def symmetric_padding(self) -> tuple[int, ...] | None:
        """One padding per dimension, for both its sides, that gives the same problem; None if there is none."""
        axes = zip(self.spatial, self.padding, self.effective_filter, self.stride, self.output_spatial, strict=True)
        same = all((i + 2 * before - k) // s + 1 == o for i, (before, _), k, s, o in axes)
        return tuple(before for before, _ in self.padding) if same else None

    @property
    def macs(self) -> int:
        """Multiply-adds of the direct sum, padding included: N K P Q (C / G) R S."""
        return math.prod(self.output_shape) * math.prod(self.weight_shape[1:])

    @property
    def flop(self) -> int:
        """Two per multiply-add of the direct sum."""
        return 2 * self.macs

    @property
    def np_dtype(self) -> np.dtype[Any]:
        """The NumPy dtype of input, weight and output."""
        return np.dtype(self.dtype)

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return 8 if self.dtype == "float64" else 4

    @property
    def min_bytes(self) -> int:
        """Bytes of input, weight and output, each moved once."""
        shapes = (self.input_shape, self.weight_shape, self.output_shape)
        return self.itemsize * sum(math.prod(shape) for shape in shapes)

    @property
    def arithmetic_intensity(self) -> float:
        """flop per byte of `min_bytes`."""
        return self.flop / self.min_bytes

    @cached_property
    def _key(self) -> tuple[Any, ...]:
        shapes = (self.input_shape, self.weight_shape, self.stride, self.canonical_padding, self.dilation)
        return (*shapes, self.groups, self.dtype, self.layout)

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, ConvSpec) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    def replace(self, **changes: Any) -> ConvSpec:
        """The same problem but for `changes`; padding is carried over as (before, after) pairs."""
        return dataclasses.replace(self, **changes)

    def __str__(self) -> str:
        """The shortest descriptor that reads back as this problem, without its name."""
        before = [pair[0] for pair in self.padding]
        sizes = zip(self.spatial, self.output_spatial, self.filter, self.stride, before, self.dilation, strict=True)
        axes = [descriptor.Axis(*axis) for axis in sizes]
        return descriptor.text(self.N, self.C, self.K, self.G, self.dtype, self.layout, axes)

    @classmethod
    def parse(cls, text: str) -> ConvSpec:
        """The problem of one descriptor, name and repeats included: `--dt=f64 mb1ic3ih8oc4kh3n"net:conv1*2"`.

        `--dt=f64` and `--layout=NHWC` may stand in front.

        Raises DescriptorError with the column of what could not be read.
        """
        if not isinstance(text, str):
            raise SpecError(f"a descriptor is a string, not {text!r}")
        arguments = descriptor.parse(text)
        try:
            return cls(**arguments)
        except SpecError as error:
            raise DescriptorError(str(error), 1) from error
