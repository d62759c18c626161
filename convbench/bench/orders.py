"""What the runner tells its worker processes, as JSON lines."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

HOT, COLD_WEIGHTS, ALL_COLD = CACHES = ("hot", "cold-weights", "all-cold")
"""What the caches hold when a timed call begins: what the last call left there, all but the prepared weights, nothing.

Cold weights are what a network meets that calls each layer once; ``all-cold`` also puts input, output and scratch out.
"""


@dataclass(frozen=True)
class Setup:
    """What the workers of a run have in common: the kernels they may need, and files that register more of them.

    ``calibrate``: measure and store this machine's constants if none are stored. ``cache``: one of ``CACHES``.
    """

    contenders: tuple[str, ...]
    specs: tuple[str, ...]
    threads: int = 1
    files: tuple[str, ...] = ()
    calibrate: bool = False
    cache: str = HOT


@dataclass(frozen=True)
class Job:
    """One problem for one worker process. ``seconds``: its share of the budget, oracle and planning not counted.

    ``affinity``: processors to run on, empty for those allowed anyway; ``workspace_limit``: bytes, None for no limit.
    ``cache``: one of ``CACHES``. ``details``: phases and memory of all that are raced, not only of as many as fit into
    a small share of the time. ``scaling``: numbers of threads on which all that are raced are timed too.
    """

    spec: str
    weights: str
    contenders: tuple[str, ...]
    seconds: float
    threads: int = 1
    affinity: tuple[int, ...] = ()
    workspace_limit: int | None = None
    seed: int = 0
    cache: str = HOT
    details: bool = False
    scaling: tuple[int, ...] = ()


def to_line(order: Setup | Job) -> str:
    return json.dumps(asdict(order)) + "\n"


def from_line(line: str) -> dict[str, Any]:
    """Keyword arguments of the order that ``to_line`` wrote."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(line).items()}
