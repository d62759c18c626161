"""The arguments of a convolution: integers, shapes, paddings and dtypes, brought to one form or refused."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable
from typing import Any

import numpy as np

DTYPES = {"float32": "f32", "float64": "f64"}  # NumPy's name -> benchdnn's
INT64_MAX = 2**63 - 1
PADDINGS = ", one per dimension, (before, after) pairs, 'same' or 'valid'"


class SpecError(ValueError):
    """The problem makes no sense; the message names the value and what was allowed."""


class DTypeError(TypeError):
    """A dtype other than float32 or float64, or operands of different dtypes."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """The end of an error text: what is allowed, and the choice that `name` may have meant."""
    choices = sorted(choices)
    close = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.5)
    return (f"did you mean {close[0]!r}? " if close else "") + f"allowed: {', '.join(choices)}"


def integer(what: str, value: object, least: int, most: int = INT64_MAX, or_else: str = "") -> int:
    """`value` as an int from `least` to `most`; NumPy's integers too. SpecError for others, bools and floats.

    or_else: what the error says is allowed beside an integer.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or not least <= number <= most:
        limit = "2**63 - 1" if most == INT64_MAX else most
        raise SpecError(f"{what} is {value!r}; allowed: an integer from {least} to {limit}{or_else}")
    return number


def _listed(value: object) -> tuple[Any, ...] | None:
    """The elements of a tuple, list or 1-D array, or None for a scalar."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple(value) if isinstance(value, (tuple, list)) else None


def shape(what: str, form: str, value: object, least: tuple[int, int]) -> tuple[int, ...]:
    """Three to five sizes: the first two at least `least`, the spatial ones at least 1."""
    sizes = _listed(value)
    if sizes is None or not 3 <= len(sizes) <= 5:
        raise SpecError(f"{what} is {value!r}; allowed: {form} with 1 to 3 spatial sizes")
    bounds = least + (1,) * (len(sizes) - 2)
    return tuple(integer(f"{what}[{i}]", size, low) for i, (size, low) in enumerate(zip(sizes, bounds, strict=True)))


def _spread(what: str, value: object, ndim: int) -> tuple[Any, ...]:
    """One element per spatial dimension; a single one serves all."""
    elements = _listed(value)
    if elements is None or len(elements) == 1:
        return (elements or (value,)) * ndim
    if len(elements) != ndim:
        raise SpecError(f"{what} is {value!r}; allowed: one value, or {ndim}, one per spatial dimension")
    return elements


def per_dimension(what: str, value: object, ndim: int, least: int) -> tuple[int, ...]:
    """One integer per spatial dimension, from one for all or one for each."""
    return tuple(integer(what, element, least) for element in _spread(what, value, ndim))


def pairs(
    padding: object, filter: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    """(before, after) per spatial dimension; "same" adds the odd one behind, as torch does."""
    if isinstance(padding, str):
        if padding == "valid":
            return ((0, 0),) * len(filter)
        if padding != "same":
            raise SpecError(f"padding is {padding!r}; {nearest(padding, ['same', 'valid'])}, integers or pairs")
        if any(s != 1 for s in stride):
            raise SpecError(f"padding is 'same' with stride {stride}; allowed: stride 1, as in torch")
        totals = [(k - 1) * d for k, d in zip(filter, dilation, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    sides = []
    for side in _spread("padding", padding, len(filter)):
        pair = _listed(side) or (side, side)
        if len(pair) != 2:
            raise SpecError(f"padding is {padding!r}; allowed: integers or (before, after) pairs")
        before, after = (integer("padding", side, 0, or_else=PADDINGS) for side in pair)
        sides.append((before, after))
    return tuple(sides)


def dtype_name(dtype: object) -> str:
    """ "float32" or "float64" for that name, a NumPy dtype or a scalar type; DTypeError for anything else."""
    if isinstance(dtype, str) and dtype in DTYPES:
        return dtype
    try:
        name = "None" if dtype is None else np.dtype(dtype).name  # type: ignore[call-overload]
    except TypeError:
        name = "unknown"
    if name not in DTYPES:
        raise DTypeError(f"dtype is {dtype!r}; allowed: {' or '.join(DTYPES)}")
    return str(name)
