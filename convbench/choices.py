"""What was measured on this machine: a versioned JSON file in the user's cache directory.

Times are kept per problem text (dtype and layout included), thread count and algorithm. The file belongs to one
machine fingerprint and one state of the kernel sources: after a change of either it is stale, reported once and
ignored until the next run replaces it. Writes are atomic, and merged under a lock, so several processes may record.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from convbench.kernels.jit import sources_hash
from convbench.machine import cache_dir, fingerprint, write_atomic
from convbench.spec import ConvSpec

VERSION = 1
GLANCE = 0.02  # seconds: to look at the file takes as long as a small convolution
_recent: tuple[float, tuple[str, int]] | None = None  # when to look again, and what was seen


class Measured(NamedTuple):
    """Seconds of one algorithm on one problem; ``rank`` orders the contenders, ties broken, best first."""

    steady: float  # prepared, per call
    prepare: float
    rank: int


Choices = dict[str, dict[str, Measured]]  # problem key -> algorithm -> times


def key(spec: ConvSpec, threads: int) -> str:
    return f"{spec} threads={threads}"


def path() -> Path:
    return cache_dir() / "choices.json"


@cache
def kernels_hash() -> str:
    """Names the state of the sources that times depend on."""
    here = Path(__file__).parent
    return sources_hash(here / "kernels", here / "algorithms")


@cache
def _stamp() -> dict[str, str | int]:
    return {"version": VERSION, "machine": fingerprint(), "kernels": kernels_hash()}


def version() -> tuple[str, int]:
    """Changes whenever the file does: what a cache of decisions must be keyed by."""
    file = path()
    try:
        return str(file), file.stat().st_mtime_ns
    except OSError:
        return str(file), 0


def recent_version() -> tuple[str, int]:
    """:func:`version` of at most ``GLANCE`` seconds ago, for the call path; this process's records show at once."""
    global _recent
    now = monotonic()
    if _recent is None or now > _recent[0]:
        _recent = now + GLANCE, version()
    return _recent[1]


def load() -> Mapping[str, Mapping[str, Measured]]:
    """Everything measured that still applies; empty, with one warning, where the file is stale or corrupt."""
    return _read(*version())


@cache
def _read(file: str, modified: int) -> Choices:
    if not modified:
        return {}
    try:
        record = json.loads(Path(file).read_text(encoding="utf-8"))
        found = {name: record[name] for name in _stamp()}
        if found != _stamp():
            old = ", ".join(f"{k} {found[k]!r} is not {v!r}" for k, v in _stamp().items() if found[k] != v)
            raise ValueError(f"stale: {old}")
        return {
            problem: {name: _measured(*numbers) for name, numbers in times.items()}
            for problem, times in record["choices"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        warnings.warn(f"measured choices in {file} are ignored ({error}); run a benchmark to renew them", stacklevel=2)
        return {}


def _measured(steady: Any, prepare: Any, rank: Any) -> Measured:
    """Numbers of the file as they must be; ValueError names the one that is not."""
    for what, value, kinds in (
        ("time", steady, int | float),
        ("preparation", prepare, int | float),
        ("rank", rank, int),
    ):
        if isinstance(value, bool) or not isinstance(value, kinds) or not 0 <= value < inf:
            raise ValueError(f"{what} {value!r} is not a number ≥ 0")
    return Measured(float(steady), float(prepare), rank)


def record(measured: Mapping[str, Mapping[str, Measured]]) -> Path:
    """Add measurements (problem key -> algorithm -> times) to the file; those of the same problem are replaced.

    Raises OSError when the cache directory cannot be written.
    """
    global _recent
    file = path()
    file.parent.mkdir(parents=True, exist_ok=True)
    with _lock(file.with_suffix(".lock")), warnings.catch_warnings(action="ignore"):
        merged = {**load(), **measured}
        write_atomic(file, json.dumps({**_stamp(), "choices": merged}, indent=1) + "\n")
    _recent = None
    return file


@contextmanager
def _lock(file: Path) -> Iterator[None]:
    """Held by one process at a time, where the platform has advisory locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
