"""The arrays of a call: input, weight and bias brought to one Numba type or refused, an output checked."""

from __future__ import annotations

from typing import Any

import numpy as np

from convbench.layouts import LAYOUTS, stored_shape
from convbench.spec import ConvSpec, DTypeError, SpecError


class _Writable:
    """Borrowed memory presented without the read-only flag, so that kernels see a single Numba type."""

    __slots__ = ("__array_interface__", "owner")

    def __init__(self, array: np.ndarray) -> None:
        interface = array.__array_interface__
        self.owner = array
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}


def operand(
    array: Any, shape: tuple[int, ...], dtype: np.dtype, what: str, image: ConvSpec | None = None
) -> np.ndarray:
    """``array`` as a C-contiguous, aligned array of one Numba type; a copy only where its strides demand one.

    ``image``: the problem whose input it should be.
    """
    if type(array) is np.ndarray and array.dtype == dtype and array.shape == shape and array.flags.carray:
        return array  # contiguous, aligned and writable: the common case, in half a microsecond
    if array is None:
        raise SpecError(f"{what} is None; it must be an array of shape {shape}")
    unmasked(array, what)
    try:
        array = np.asarray(array)
    except ValueError as error:
        raise SpecError(f"{what} is not an array: {error}") from error
    if array.dtype != dtype:
        raise DTypeError(f"{what} has dtype {array.dtype}; this problem takes {dtype}")
    if array.shape != shape:
        others = [name for name in LAYOUTS if image and stored_shape(image.input_shape, name) == array.shape]
        hint = f" in {image.layout}; it fits layout {' or '.join(others)}" if image and others else ""
        raise SpecError(f"{what} has shape {array.shape}; this problem takes {shape}{hint}")
    flags = array.flags
    if not (flags.c_contiguous and flags.aligned):
        return array.copy(order="C")
    return array if flags.writeable else np.asarray(_Writable(array))


def output(out: Any, shape: tuple[int, ...], dtype: np.dtype, reads: tuple[Any, ...]) -> np.ndarray:
    """A C-contiguous array to compute into: ``out`` itself where its memory allows. reads: the operands as given."""
    usable = type(out) is np.ndarray and out.dtype == dtype and out.shape == shape and out.flags.carray
    if not usable:  # as seldom as for an operand
        _check(out, shape, dtype)
    for read in reads:
        if read is not None and _overlap(out, read if type(read) is np.ndarray else np.asarray(read)):
            raise SpecError("out overlaps an input; it must have memory of its own")
    return out if usable or out.flags.carray else np.empty(shape, dtype)


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays share an element; where that is hard to tell, whether their extents meet."""
    if a is not b and a.flags.owndata and b.flags.owndata:
        return False  # the common case
    if not np.may_share_memory(a, b):
        return False
    try:
        return np.shares_memory(a, b, 1000)  # type: ignore[arg-type]  # the stubs know two of the values allowed
    except (np.exceptions.TooHardError, OverflowError):
        return True


def unmasked(array: Any, what: str) -> None:
    """SpecError for a masked array, or a list with one in it."""
    if _masked(array):
        raise SpecError(f"{what} is a masked array, whose mask would be lost; .filled() gives an array without one")


def _check(out: Any, shape: tuple[int, ...], dtype: np.dtype) -> None:
    if not isinstance(out, np.ndarray):
        raise SpecError(f"out must be a NumPy array, not {type(out).__name__}")
    unmasked(out, "out")
    if out.dtype != dtype:
        raise DTypeError(f"out has dtype {out.dtype}; this problem gives {dtype}")
    if out.shape != shape:
        raise SpecError(f"out has shape {out.shape}; this problem gives {shape}")
    if not out.flags.writeable:
        raise SpecError("out is read-only; it must be writable")
    if out.flags.carray or not out.size:
        return
    if any(stride == 0 and size > 1 for stride, size in zip(out.strides, out.shape, strict=True)):
        raise SpecError(f"out has strides {out.strides}; elements must not share memory")


def _masked(value: Any) -> bool:
    return any(map(_masked, value)) if isinstance(value, list | tuple) else isinstance(value, np.ma.MaskedArray)
