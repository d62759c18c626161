"""How long Numba compiled, and loaded from its cache: what must not leak into any other time."""

from __future__ import annotations

from types import TracebackType

from numba.core import event


class JitClock:
    """Counts while the context is active: ``total`` seconds under Numba's compiler lock, ``compiling`` of them."""

    def __init__(self) -> None:
        self._lock, self._compile = event.TimingListener(), event.TimingListener()

    def __enter__(self) -> JitClock:
        event.register("numba:compiler_lock", self._lock)
        event.register("numba:compile", self._compile)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        event.unregister("numba:compiler_lock", self._lock)
        event.unregister("numba:compile", self._compile)

    @property
    def total(self) -> float:
        return float(self._lock.duration) if self._lock.done else 0.0

    @property
    def compiling(self) -> float:
        return float(self._compile.duration) if self._compile.done else 0.0

    @property
    def loading(self) -> float:
        """Seconds spent on code that was found compiled."""
        return self.total - self.compiling
