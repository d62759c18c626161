"""Rivals under the same contract: what people use today. Measured beside ours, never chosen by ``auto``.

One rival a file; dropping a file here registers it. A peer is an ``Algorithm`` whose ``run`` is made of three parts, so
that only what its users pay for is timed: ``load`` puts the input into the layout the rival likes best (not timed),
``call`` computes and allocates its result as the rival's own API does (timed), ``export`` shows that result as an array
(not timed). ``prepare`` gets the weights into the rival's form, and ``bind`` the bias, where the rival keeps both as
constants; like everybody's preparation that is timed apart. A rival whose call takes filters of a certain form only
says so by raising ``Unsupported`` from ``prepare``.
"""

from __future__ import annotations

import importlib.util
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from math import log2, prod
from typing import Any

import numpy as np

from convbench.algorithm import Algorithm, spec_of, unit_roundoff
from convbench.kernels.evict import Range, memory
from convbench.spec import ConvSpec, SpecError, nearest


class UnknownPeer(SpecError):
    """No rival has this name; the message gives the nearest one."""


def _identity(plan: Any, value: Any, *rest: Any) -> Any:
    return value


@dataclass(frozen=True)
class Peer(Algorithm):
    """A rival. ``call`` gives its own kind of array; ``available()`` is None, or says why it cannot run here.

    ``memory``: the address ranges of what ``load``, ``prepare`` and ``call`` give, for runs with cold caches; none for
    weights that the rival hides, which such runs then skip.
    """

    load: Callable[[Any, np.ndarray], Any] = _identity
    bind: Callable[[Any, Any, np.ndarray | None], Any] = _identity
    call: Callable[[Any, Any, Any, np.ndarray | None], Any] = lambda plan, x, state, bias: x
    export: Callable[[Any, Any], np.ndarray] = _identity
    memory: Callable[[Any], Iterable[Range]] = memory
    available: Callable[[], str | None] = lambda: None

    @property
    def optional(self) -> bool:
        """Whether it needs a package that convbench itself does without."""
        return self.available is not Peer.available


def peer(name: str, call: Callable[..., Any], **parts: Any) -> Peer:
    """A ``Peer`` whose ``run`` follows from its parts: y = export(call(load(x), bind(state, bias), bias))."""

    def run(plan: Any, x: np.ndarray, state: Any, bias: np.ndarray | None, y: np.ndarray, work: np.ndarray) -> None:
        bound = made.bind(plan, state, bias)
        y[...] = made.export(plan, made.call(plan, made.load(plan, x), bound, bias))

    made = Peer(name=name, run=run, call=call, **{"exact": False, "local": False, "error": transform_error, **parts})
    return made


def transform_error(plan: Any) -> float:
    """Generous bound for a rival that may use transforms: u · (√n for its sums, 8·log2 of the image for FFTs).

    The FFT term is Higham's (Accuracy and Stability of Numerical Algorithms, 2nd ed., §24.1) with a constant of 8.
    """
    spec = spec_of(plan)
    image = prod(s + f for s, f in zip(spec.spatial, spec.filter, strict=True))
    return unit_roundoff(spec.dtype) * (4 * prod(spec.weight_shape[1:]) ** 0.5 + 8 * log2(image) + 8)


@cache
def peers() -> Mapping[str, Peer]:
    """Every rival by name, sorted, installed or not. None is imported by asking."""
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    found = {value.name: value for module in modules for value in vars(module).values() if isinstance(value, Peer)}
    return dict(sorted(found.items()))


def get(name: str) -> Peer:
    """The rival of that name; :class:`UnknownPeer` with the nearest name otherwise."""
    if name not in peers():
        raise UnknownPeer(f"unknown peer {name!r}; {nearest(name, peers())}")
    return peers()[name]


def installed(*packages: str) -> Callable[[], str | None]:
    """``available`` for a rival that lives in other packages."""

    def available() -> str | None:
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        return f"{missing[0]} is not installed; pip install 'convbench[peers]' brings it" if missing else None

    return available


def add_bias(y: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    """y (N, K, …) += bias (K,), for rivals that know no bias."""
    if bias is not None:
        y += bias.reshape(-1, *(1 for _ in y.shape[2:]))
    return y


def symmetric_padding(spec: ConvSpec) -> tuple[int, ...] | None:
    """One padding per dimension that gives this problem's outputs, for rivals that know no other kind; else None."""
    return spec.symmetric_padding
