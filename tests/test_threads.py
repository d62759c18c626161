"""Threads of kernels: every task once, also when no more threads can be started."""

from __future__ import annotations

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


def test_one_thread_nests() -> None:
    with OneThread():
        with OneThread():
            assert allowed(4) == 1
        assert allowed(4) == 1
    assert allowed(4) == 4
