"""What the runner tells its worker processes, as JSON lines."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Setup:
    """What the workers of a run have in common: the kernels they may need, and files that register more of them.

    ``calibrate``: measure and store this machine's constants if none are stored.
    """

    contenders: tuple[str, ...]
    specs: tuple[str, ...]
    threads: int = 1
    files: tuple[str, ...] = ()
    calibrate: bool = False


@dataclass(frozen=True)
class Job:
    """One problem for one worker process. ``seconds``: its share of the budget, oracle and planning not counted.

    ``affinity``: processors to run on, empty for those allowed anyway; ``workspace_limit``: bytes, None for no limit.
    """

    spec: str
    weights: str
    contenders: tuple[str, ...]
    seconds: float
    threads: int = 1
    affinity: tuple[int, ...] = ()
    workspace_limit: int | None = None
    seed: int = 0


def to_line(order: Setup | Job) -> str:
    return json.dumps(asdict(order)) + "\n"


def from_line(line: str) -> dict[str, Any]:
    """Keyword arguments of the order that ``to_line`` wrote."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(line).items()}
