"""A clock that only moves when told, and work that takes exactly so long on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class FakeClock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def spend(self, seconds: float) -> Callable[..., None]:
        def call(*_: object, **__: object) -> None:
            self.now += seconds

        return call
