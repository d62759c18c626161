"""The contract every algorithm keeps, and the registry.

An algorithm is a frozen record of plain functions (:class:`Algorithm`). Any module in ``convbench/algorithms`` that
holds such a record at module level is registered by being there; :func:`register` and :func:`load_file` do the same
for records from elsewhere. No algorithm is in this file.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod, sqrt
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from convbench.machine import Machine
from convbench.spec import ConvSpec, SpecError, nearest


class Unsupported(ValueError):
    """This algorithm cannot solve this problem (or not within the workspace allowed); the message says why."""


class UnknownAlgorithm(SpecError):
    """No algorithm has this name; the message gives the nearest one."""


@dataclass(frozen=True)
class Phases:
    """A ``run`` that marks the ends of its phases (``kernels/ticks.py``): it takes a seventh argument, ``ticks=OFF``.

    The phases are numbered from 1 on, in the order of their names; 0 is what Python does beside them.
    """

    run: Callable[..., None]
    names: tuple[str, ...]

    def __call__(self, *arguments: Any) -> None:
        self.run(*arguments)


def phases(run: Callable[..., None], *names: str) -> Phases:
    """``run=phases(run, "pad", "multiply")``: see :class:`Phases`."""
    return Phases(run, names)


def unit_roundoff(dtype: str) -> float:
    """u = ε/2: 2⁻²⁴ for float32, 2⁻⁵³ for float64."""
    return float(np.finfo(dtype).eps) / 2


def terms(spec: ConvSpec) -> int:
    """Products summed into one output: C/G · R · S."""
    return prod(spec.weight_shape[1:])


def spec_of(plan: Any) -> ConvSpec:
    return plan if isinstance(plan, ConvSpec) else plan.spec


def direct_error(plan: Any) -> float:
    """Bound for n products summed in working precision: u · (5·√n + 8).

    Rounding errors of partial sums add up like a random walk: rms 0.41·√n·u of √(x² ⋆ w²) for independent data
    (Higham & Mary 2019, "A New Approach to Probabilistic Rounding Error Analysis", §2); twelve standard deviations
    cover millions of outputs, the constant covers the roundings of product, bias and result at small n.
    Where nearly all products have one sign, as of positive inputs with positive filters, partial sums grow with n
    rather than with √n, and so may the error: above this bound from some hundred products on.
    """
    spec = spec_of(plan)
    return unit_roundoff(spec.dtype) * (5 * sqrt(terms(spec)) + 8)


def default_cost(plan: Any, machine: Machine) -> float:
    """Seconds when nothing is known of the algorithm: a tenth of one core's peak."""
    spec = spec_of(plan)
    return machine.call_overhead + machine.flop_time(spec.flop, spec, 1, 0.1)


def default_prepare_cost(plan: Any, machine: Machine) -> float:
    """Seconds to read the filter and write its packed form once."""
    spec = spec_of(plan)
    return machine.call_overhead + machine.byte_time(2 * prod(spec.weight_shape) * spec.itemsize)


@dataclass(frozen=True)
class Algorithm:
    """One algorithm: a frozen record of plain functions, all but ``name`` and ``run`` with a default.

    run(plan, x, state, bias, y, work) writes every element of y and reads none; it never writes x, state or bias.
    x is C-contiguous of ``spec.input_shape``; bias None or (K,); y C-contiguous of ``spec.output_shape``; work a
    64-byte aligned uint8 buffer of ``workspace(plan)`` bytes with arbitrary content.

    quick(plan, state, bias) is None or ``call(x, y) -> bool``, for products that take less time than the driver's look
    at their arrays: given arrays of the problem's dtype it does what run does and gives True, or gives False, nothing
    written, where x or y is not what run takes or they share memory. For arrays of another type it may raise.

    unprepared(plan) is the plan of calls that prepare the filter each time, where another one is better for them.
    """

    name: str
    run: Callable[..., None]
    supports: Callable[[ConvSpec], str | None] = lambda spec: None
    plan: Callable[[ConvSpec, int, int | None], Any] = lambda spec, threads, workspace_limit: spec
    prepare: Callable[[Any, np.ndarray], Any] = lambda plan, weight: weight
    unprepared: Callable[[Any], Any] = lambda plan: plan
    workspace: Callable[[Any], int] = lambda plan: 0
    quick: Callable[[Any, Any, Any], Callable[[Any, Any], bool] | None] = lambda plan, state, bias: None
    library_bytes: Callable[[Any], int] = lambda plan: 0  # that SciPy or BLAS allocate within run, at most
    error: Callable[[Any], float] = direct_error
    cost: Callable[[Any, Machine], float] = default_cost
    prepare_cost: Callable[[Any, Machine], float] = default_prepare_cost
    executed_flop: Callable[[Any], float] = lambda plan: float(spec_of(plan).flop)
    local: bool = True  # rounding errors, NaN and infinity stay with the outputs that read them
    exact: bool = True  # a direct sum: bit for bit right on integer-valued data
    claim: str = ""


_registered: dict[str, Algorithm] = {}
_changes = 0


@cache
def _built_in() -> dict[str, Algorithm]:
    import convbench.algorithms as folder

    modules = [_imported(f"{folder.__name__}.{module.name}") for module in pkgutil.iter_modules(folder.__path__)]
    return {a.name: a for module in modules for a in _records(module)}


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise SpecError(f"{name.replace('.', '/')}.py: {type(error).__name__}: {error}") from error


def _records(module: ModuleType) -> list[Algorithm]:
    return [value for value in vars(module).values() if isinstance(value, Algorithm)]


def algorithms() -> Mapping[str, Algorithm]:
    """Every registered algorithm by name, sorted."""
    return dict(sorted({**_built_in(), **_registered}.items()))


def list_algorithms() -> list[str]:
    """Names of every registered algorithm, sorted."""
    return list(algorithms())


def get(name: str) -> Algorithm:
    """The algorithm of that name; :class:`UnknownAlgorithm` with the nearest name otherwise."""
    known = algorithms()
    if not isinstance(name, str) or name not in known:
        raise UnknownAlgorithm(f"unknown algorithm {name!r}; {nearest(str(name), known)}")
    return known[name]


def register(algorithm: Algorithm) -> Algorithm:
    """Add one of the user's own; every part of convbench then knows it. Raises SpecError if the name is taken."""
    if not isinstance(algorithm, Algorithm):
        raise SpecError(f"register takes an Algorithm, not {type(algorithm).__name__}")
    if algorithms().get(algorithm.name, algorithm) != algorithm:
        raise SpecError(f"an algorithm named {algorithm.name!r} is registered already")
    _registered[algorithm.name] = algorithm
    _changed()
    return algorithm


def _changed() -> None:
    global _changes
    _changes += 1


def generation() -> int:
    """Changes whenever an algorithm is registered or forgotten: what a cache of decisions must be keyed by."""
    return _changes


def unregister(name: str) -> None:
    """Forget an algorithm that :func:`register` added."""
    if name not in _registered:
        raise UnknownAlgorithm(f"{name!r} was not registered; registered: {', '.join(_registered) or 'none'}")
    del _registered[name]
    _changed()


def load_file(path: str | Path) -> list[Algorithm]:
    """Run a Python file and register every ``Algorithm`` it holds at module level (the CLI's ``--with FILE.py``)."""
    path = Path(path)
    if not path.is_file():
        raise SpecError(f"cannot read algorithms from {str(path)!r}: {'not a' if path.exists() else 'no such'} file")
    module = ModuleType(f"convbench_user_{path.stem}")
    module.__file__ = str(path)
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))  # never from bytecode of an earlier edit
    except (Exception, SystemExit) as error:
        raise SpecError(f"{path}: {type(error).__name__}: {error}") from error
    found = [register(a) for a in _records(module)]
    if not found:
        raise SpecError(f"{path} holds no Algorithm at module level")
    return found
