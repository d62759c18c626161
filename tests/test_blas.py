"""BLAS's own threads: capped inside the context, as they were outside it, whoever leaves last."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from convbench.kernels.blas import blas_name, blas_threads


def limits() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.mark.parametrize("threads", [1, 2])
def test_the_limit_holds_inside_and_is_restored(threads: int) -> None:
    before = limits()
    with blas_threads(threads):
        assert limits() == {threads}
        with blas_threads(threads):
            assert limits() == {threads}
        assert limits() == {threads}
    assert limits() == before


def test_concurrent_callers_restore_what_was() -> None:
    with blas_threads(2):
        before = limits()
    with blas_threads(2):
        pass
    start = Barrier(3)
    matrix = np.ones((64, 64), np.float32)

    def work(_: int) -> None:
        start.wait()
        for _ in range(200):
            with blas_threads(1):
                matrix @ matrix

    outside = limits()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
    assert limits() == outside
    assert before == {2}


def test_an_error_inside_restores_too() -> None:
    before = limits()
    with pytest.raises(ZeroDivisionError), blas_threads(1):
        raise ZeroDivisionError
    assert limits() == before


def test_the_name_says_which_blas() -> None:
    assert blas_name()
