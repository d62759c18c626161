"""Static parallelism: a range of tasks split over Python threads that run a ``nogil`` kernel.

Python threads rather than ``prange``: one compiled form serves one thread and many, no threading layer is started
(Numba's workqueue aborts the process when two threads enter it), and the caller's own threads are safe.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

import numba

from convbench.machine import processors

ALWAYS = 16  # threads that may be asked for on any machine; what is beyond its processors takes turns


_pool: ThreadPoolExecutor | None = None
_here = threading.local()


def _reset() -> None:
    global _pool
    _pool = None


os.register_at_fork(after_in_child=_reset)


def available(threads: int | None = None) -> int:
    """Threads to use: ``threads``, or Numba's current limit, capped by the process's CPU affinity."""
    if threads is not None:
        return threads
    return max(1, min(numba.get_num_threads(), processors()))


def most() -> int:
    """The largest number of threads that may be asked for: the processors, Numba's pool or ``ALWAYS``."""
    return max(ALWAYS, os.cpu_count() or 1, numba.config.NUMBA_NUM_THREADS)


class OneThread:
    """Within it, what this thread calls runs on no other thread, whatever it was planned for."""

    def __enter__(self) -> None:
        self._before = getattr(_here, "alone", False)
        _here.alone = True

    def __exit__(self, *error: object) -> None:
        _here.alone = self._before


def allowed(threads: int) -> int:
    """``threads``, or 1 within ``OneThread``."""
    return 1 if threads > 1 and getattr(_here, "alone", False) else threads


def parallel(kernel: Callable[..., None], tasks: int, threads: int, *args: Any, private: Any = None) -> None:
    """Call ``kernel(begin, end, *args)`` so that every task in ``range(tasks)`` is run exactly once.

    ``private[t]``, if given, is passed as the last argument of thread t: its scratch. The calling thread works too, and
    takes what no other has begun when its own share is done: a thread that waits for a busy core holds nobody up.
    """
    global _pool
    threads = min(threads, tasks)
    if threads <= 1 or allowed(threads) == 1:
        if private is None:
            kernel(0, tasks, *args)
        else:
            kernel(0, tasks, *args, private[0])
        return
    if _pool is None:
        _pool = ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="convbench")
    calls: deque[tuple[Any, ...]] = deque()
    for t in range(threads):
        scratch = () if private is None else (private[t],)
        calls.append((tasks * t // threads, tasks * (t + 1) // threads, *args, *scratch))
    helpers: list[Future[None]] = []
    try:
        with suppress(RuntimeError):  # no more threads can be started; what the pool keeps then will find no calls
            for _ in range(threads - 1):
                _pool.submit(_help, kernel, calls, helpers)
        _drain(kernel, calls)
    finally:
        calls.clear()
        begun = [*helpers]  # whoever comes later finds no calls
        wait(begun)  # all have ended before one is raised: their scratch is lent to somebody else next
    for helper in begun:
        helper.result()


def _help(kernel: Callable[..., None], calls: deque[tuple[Any, ...]], helpers: list[Future[None]]) -> None:
    """Drain calls on a thread of the pool.

    It reports itself before it takes one: a pool that cannot start a thread gives no future, but keeps the work, and
    another thread may begin it.
    """
    helper: Future[None] = Future()
    helpers.append(helper)
    try:
        _drain(kernel, calls)
    except BaseException as error:
        helper.set_exception(error)
    else:
        helper.set_result(None)


def _drain(kernel: Callable[..., None], calls: deque[tuple[Any, ...]]) -> None:
    """Make the calls that nobody has taken yet."""
    while True:
        try:
            call = calls.popleft()
        except IndexError:
            return
        kernel(*call)
