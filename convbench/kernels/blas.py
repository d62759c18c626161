"""NumPy's matrix product with its own threads capped: BLAS is the one pool that no argument reaches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


_lock = Lock()
_callers = 0  # inside blas_threads now
_limit: Any = None  # what the first of them set


@contextmanager
def blas_threads(threads: int) -> Iterator[None]:
    """Within this context NumPy's and SciPy's BLAS use ``threads`` threads.

    The limit is the process's: of concurrent callers the first one's holds, and the last to leave restores what was.
    """
    global _callers, _limit
    with _lock:
        if not _callers and any(library.num_threads != threads for library in _controller().lib_controllers):
            _limit = _controller().limit(limits=threads)
        _callers += 1
    try:
        yield
    finally:
        with _lock:
            _callers -= 1
            if not _callers and _limit is not None:
                _limit.restore_original_limits()
                _limit = None


def blas_name() -> str:
    """The BLAS behind NumPy and the kernel it runs, such as "openblas 0.3.31 SkylakeX"."""
    found = {
        f"{info['internal_api']} {info.get('version')} {info.get('architecture', '')}".strip()
        for info in _controller().info()
    }
    return "; ".join(sorted(found)) or "unknown"
