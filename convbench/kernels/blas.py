"""NumPy's matrix product with its own threads capped: BLAS is the one pool that no argument reaches."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def blas_threads(threads: int) -> AbstractContextManager[object]:
    """Within this context NumPy's and SciPy's BLAS use ``threads`` threads."""
    if all(library.num_threads == threads for library in _controller().lib_controllers):
        return nullcontext()
    return _controller().limit(limits=threads)


def blas_name() -> str:
    """The BLAS behind NumPy and the kernel it runs, such as "openblas 0.3.31 SkylakeX"."""
    found = {
        f"{info['internal_api']} {info.get('version')} {info.get('architecture', '')}".strip()
        for info in _controller().info()
    }
    return "; ".join(sorted(found)) or "unknown"
