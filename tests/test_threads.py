"""Threads of kernels: every task once, also when no more threads can be started."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np
import pytest

from convbench.kernels import threads
from convbench.kernels.threads import OneThread, allowed, parallel


def _count(begin: int, end: int, seen: np.ndarray) -> None:
    seen[begin:end] += 1


@pytest.mark.parametrize("tasks", [1, 2, 7, 100])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_task_is_run_once(tasks: int, count: int) -> None:
    seen = np.zeros(tasks, np.int64)
    parallel(_count, tasks, count, seen)
    np.testing.assert_array_equal(seen, 1)


@pytest.mark.parametrize("started", [0, 1, 2])
def test_an_interpreter_that_starts_no_more_threads_does_the_rest_itself(
    started: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    parallel(_count, 4, 4, np.zeros(4, np.int64))
    submit, left = threads._pool.submit, [None] * started

    def refuse(*work: object) -> object:
        if not left:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        left.pop()
        return submit(*work)

    monkeypatch.setattr(threads._pool, "submit", refuse)
    seen = np.zeros(100, np.int64)
    parallel(_count, 100, 4, seen)
    np.testing.assert_array_equal(seen, 1)


def test_a_thread_that_gets_no_core_holds_nobody_up() -> None:
    """The calling thread takes the shares that the others have not begun."""
    parallel(_count, 2, 2, np.zeros(2, np.int64))
    free = threading.Event()
    busy = [threads._pool.submit(free.wait, 60) for _ in range(threads._pool._max_workers)]
    try:
        seen = np.zeros(100, np.int64)
        parallel(_count, 100, 4, seen)
        np.testing.assert_array_equal(seen, 1)
        assert not any(future.done() for future in busy)
    finally:
        free.set()


@pytest.mark.parametrize("others", [0, 1])
def test_what_no_thread_could_be_started_for_is_not_run_later(others: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool queues work and then fails: it must neither keep the arrays nor run the share a second time."""
    monkeypatch.setattr(threads, "_pool", pool := ThreadPoolExecutor(4))
    free = threading.Event()
    busy = [pool.submit(free.wait, 60) for _ in range(others)]

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    seen = np.zeros(100, np.int64)
    known = sys.getrefcount(seen)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        parallel(_count, 100, 3, seen)
    assert sys.getrefcount(seen) == known
    free.set()
    pool.shutdown()
    assert all(future.done() for future in busy)
    np.testing.assert_array_equal(seen, 1)


def test_work_of_a_thread_that_could_not_be_started_is_waited_for_if_another_has_begun_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pool gives no future for what it queued before it failed."""
    free, begun, ended = threading.Event(), threading.Event(), threading.Event()
    known, seen = [], np.zeros(4, np.int64)
    with ThreadPoolExecutor(2) as pool, monkeypatch.context() as patch:
        patch.setattr(threads, "_pool", pool)
        pool.submit(free.wait, 60)

        def refuse(thread: threading.Thread) -> None:
            free.set()
            assert begun.wait(60)
            raise RuntimeError("can't start new thread")

        def count(begin: int, end: int) -> None:
            if threading.current_thread() is not threading.main_thread():
                begun.set()
                assert ended.wait(60)
            seen[begin:end] += 1

        def wait_for(helpers: list[Future[None]]) -> None:
            known.append(len(helpers))
            ended.set()
            wait(helpers)

        patch.setattr(threading.Thread, "start", refuse)
        patch.setattr(threads, "wait", wait_for)
        parallel(count, 4, 2)
    assert known == [1]
    np.testing.assert_array_equal(seen, 1)


def test_an_error_waits_for_the_other_threads() -> None:
    """Their scratch is lent to somebody else next."""
    begun, ended = threading.Event(), []

    def fail(begin: int, end: int) -> None:
        if begin == 0:
            assert begun.wait(60)
            raise ZeroDivisionError
        begun.set()
        ended.append(sum(range(10**6)))

    with pytest.raises(ZeroDivisionError):
        parallel(fail, 4, 2)
    assert len(ended) == 1


def test_one_error_waits_for_all_other_threads() -> None:
    """Of several that fail, none is left behind."""
    begun, failed, ended = threading.Barrier(3), threading.Event(), []

    def fail(begin: int, end: int) -> None:
        begun.wait(60)
        if begin == 1:
            failed.set()
            raise ZeroDivisionError
        failed.wait(60)
        ended.append(sum(range(10**6)))

    with ThreadPoolExecutor(3) as pool, pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "_pool", pool)
        with pytest.raises(ZeroDivisionError):
            parallel(fail, 3, 3)
        assert len(ended) == 2


def test_one_thread_nests() -> None:
    with OneThread():
        with OneThread():
            assert allowed(4) == 1
        assert allowed(4) == 1
    assert allowed(4) == 4
