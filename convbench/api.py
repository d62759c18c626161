"""conv1d, conv2d, conv3d: torch.nn.functional's names, order and meaning, on NumPy arrays."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from inspect import signature
from typing import Any, Concatenate, ParamSpec

import numpy as np

from convbench.algorithm import generation
from convbench.driver import Kernel, kernel
from convbench.kernels.threads import available
from convbench.layouts import LAYOUTS, fitting, logical_shape
from convbench.operands import unmasked
from convbench.select import choices, fastest
from convbench.spec import ConvSpec, DTypeError, SpecError

Given = ParamSpec("Given")
Sizes = int | Sequence[int]
Padding = int | str | Sequence[int] | Sequence[Sequence[int]]

_DOC = """{ndim}-D convolution of NumPy arrays by the fastest kernel known for the problem.

    As in every framework this is cross-correlation: the filter is not turned round. With input [1, 2, 3] and weight
    [1, 0] (N = C = K = 1) the output is [1, 2].

    input (N, C, {image}) or unbatched (C, {image}); weight (K, C / groups, {filter}); bias (K,) or None; float32 or
    float64, one dtype for all, any strides. layout: "NCHW", "NHWC" (channels last) or "NCHW16c" (``layouts.py``), the
    names of 2-D at any rank, says how the axes of input and output lie; weight stays as it is. stride, padding,
    dilation: an integer or one per dimension; padding also "same", "valid" or (before, after) pairs.
    Returns (N, K, {output}), in ``out`` if given.

    algorithm: "auto", or a name of ``list_algorithms()``. threads: up to 16 or the machine's processors; None for
    Numba's current limit capped by the CPU affinity. max_error, nonfinite, workspace_limit: constraints on "auto", as
    in ``fastest``.
    Raises SpecError (shapes, values, names), Unsupported (no or not this algorithm), DTypeError (dtypes).
    Accuracy: ``fastest(spec).error_bound``; unasked, at most 8 × the direct sum's bound.
    """


def _array(value: Any, what: str) -> np.ndarray:
    if type(value) is np.ndarray:
        return value
    if value is None:
        raise SpecError(f"{what} is None; it must be an array")
    unmasked(value, what)
    try:
        return np.asarray(value)
    except ValueError as error:
        raise SpecError(f"{what} is not an array: {error}") from error


def _hashable(value: Any) -> Hashable:
    if isinstance(value, np.ndarray):
        value = value.tolist()  # of no dimension, too
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


def _types(value: Any) -> tuple[Any, ...] | type:
    return tuple(map(_types, value)) if isinstance(value, tuple) else type(value)


def _key(geometry: tuple[Any, ...]) -> tuple[Any, Hashable]:
    """The geometry with tuples for lists, and its types: 1, 1.0 and True are one key of a cache, not one argument."""
    try:
        hash(geometry)
        return geometry, marshal.dumps(geometry, 2)  # the format without references, which tell equal tuples apart
    except (TypeError, ValueError):  # lists and arrays, or numbers that are not Python's own
        geometry = tuple(map(_hashable, geometry))
        return geometry, _types(geometry)


@lru_cache(maxsize=1024, typed=True)
def _planned(
    ndim: int,
    x: tuple[int, ...],
    w: tuple[int, ...],
    x_dtype: np.dtype,
    w_dtype: np.dtype,
    layout: str,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    algorithm: str,
    threads: int | None,
    max_error: float | None,
    nonfinite: str | None,
    workspace_limit: int | None,
    *state: object,
) -> tuple[Kernel, bool]:
    """The kernel for these arguments, and whether x has a batch; remembered as long as ``state`` stays the same."""
    for what, dtype in (("input", x_dtype), ("weight", w_dtype)):
        if dtype not in (np.float32, np.float64):
            raise DTypeError(f"{what} has dtype {dtype}; allowed: float32, float64")
    if len(w) != ndim + 2:
        raise SpecError(f"weight has {len(w)} dimensions {w}; conv{ndim}d takes {ndim + 2}")
    if not isinstance(layout, str) or layout not in LAYOUTS:
        raise SpecError(f"layout is {layout!r}; allowed: {', '.join(LAYOUTS)}")
    rank = ndim + 2 + (layout == "NCHW16c")
    if len(x) not in (rank - 1, rank):
        raise SpecError(
            f"input has {len(x)} dimensions {x}; conv{ndim}d takes {rank}, or {rank - 1} unbatched, in {layout}"
            + _fits(x, w, groups, layout)
        )
    if x_dtype != w_dtype:
        raise DTypeError(f"input is {x_dtype} and weight {w_dtype}; both must have the same dtype")
    channels = w[1] * groups if isinstance(groups, int | np.integer) else w[1]
    shape = logical_shape(x if len(x) == rank else (1, *x), layout, channels)
    try:
        spec = ConvSpec(shape, w, stride, padding, dilation, groups, x_dtype, layout)
    except SpecError as error:
        raise SpecError(f"{error}{_fits(x, w, groups, layout)}") from None
    return _chosen(spec, algorithm, threads, max_error, nonfinite, workspace_limit), len(x) == rank


def _fits(x: tuple[int, ...], w: tuple[int, ...], groups: Any, layout: str) -> str:
    """The end of an error: other layouts that an input of this shape fits, if it does not fit ``layout``."""
    found = fitting(x, w[1] * groups, len(w) - 2) if isinstance(groups, int | np.integer) else []
    return f"; input {x} fits layout {' or '.join(found)}" if found and layout not in found else ""


def _chosen(
    spec: ConvSpec,
    name: str,
    threads: int | None,
    max_error: float | None,
    nonfinite: str | None,
    workspace_limit: int | None,
) -> Kernel:
    """The kernel that pays preparation in every call: the named one, or the fastest."""
    if isinstance(name, str) and name == "auto":
        return fastest(spec, threads=threads, max_error=max_error, nonfinite=nonfinite,
                       workspace_limit=workspace_limit, prepared=False)  # fmt: skip
    if max_error is not None or nonfinite is not None:
        raise SpecError(f"max_error and nonfinite constrain algorithm='auto'; algorithm is {name!r}")
    return kernel(spec, name, threads=threads, workspace_limit=workspace_limit)


def _conv(
    ndim: int,
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    *,
    layout: str = "NCHW",
    algorithm: str = "auto",
    threads: int | None = None,
    max_error: float | None = None,
    nonfinite: str | None = None,
    workspace_limit: int | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    x, w = _array(input, "input"), _array(weight, "weight")
    geometry: Any = stride, padding, dilation
    types: Hashable = None
    if not (type(stride) is type(padding) is type(dilation) is int):
        geometry, types = _key(geometry)
    problem = (ndim, x.shape, w.shape, x.dtype, w.dtype, layout, *geometry, groups, algorithm, threads, max_error,
               nonfinite, workspace_limit)  # fmt: skip
    try:
        solve, batched = _planned(*problem, types, available(threads), generation(), choices.recent_version())
    except TypeError:  # a set, say, where a number belongs, is no key: planning says which
        solve, batched = _planned.__wrapped__(*problem)
    if batched:
        return solve(x, w, bias, out)
    if out is None:
        return solve(x[None], w, bias)[0]
    if not isinstance(out, np.ndarray):
        raise SpecError(f"out must be a NumPy array, not {type(out).__name__}")
    if out.shape != solve.spec.stored_output_shape[1:]:
        raise SpecError(f"out has shape {out.shape}; this problem gives {solve.spec.stored_output_shape[1:]}")
    solve(x[None], w, bias, out[None])
    return out


def _of_rank(
    ndim: int, image: str, filter: str, output: str, conv: Callable[Concatenate[int, Given], np.ndarray]
) -> Callable[Given, np.ndarray]:
    """``conv`` for one number of dimensions, with name, text and signature of its own."""

    def of_rank(*args: Given.args, **kwargs: Given.kwargs) -> np.ndarray:
        try:
            return conv(ndim, *args, **kwargs)
        except TypeError:
            try:
                taken.bind(*args, **kwargs)
            except TypeError as unfit:
                raise TypeError(f"conv{ndim}d() {unfit}; it takes {', '.join(taken.parameters)}") from None
            raise

    whole = signature(conv)
    taken = whole.replace(parameters=[*whole.parameters.values()][1:])
    of_rank.__name__ = of_rank.__qualname__ = f"conv{ndim}d"
    of_rank.__doc__ = _DOC.format(ndim=ndim, image=image, filter=filter, output=output)
    vars(of_rank)["__signature__"] = taken
    return of_rank


conv1d = _of_rank(1, "W", "S", "Q", _conv)
conv2d = _of_rank(2, "H, W", "R, S", "P, Q", _conv)
conv3d = _of_rank(3, "D, H, W", "T, R, S", "O, P, Q", _conv)
