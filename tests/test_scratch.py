"""Scratch between calls: bounded in number and bytes, let go when recent calls need far less, never lent twice."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from convbench import scratch
from convbench.scratch import COUNT, FAR, RECENT, SMALL, Pool

LARGE = 64 * SMALL


def call(pool: Pool, size: int) -> np.ndarray:
    buffer = pool.borrow(size)
    pool.give_back(buffer)
    return buffer


def test_a_buffer_is_used_again() -> None:
    pool = Pool()
    first = call(pool, 1000)
    assert len(first) == 1000
    assert first.ctypes.data % 64 == 0
    assert pool.borrow(10) is first
    assert pool.borrow(10) is not first


def test_a_buffer_too_small_makes_room_for_a_larger_one() -> None:
    pool = Pool()
    call(pool, 10)
    larger = call(pool, 1000)
    assert [id(buffer) for buffer in pool.kept()] == [id(larger)]


def test_so_many_are_kept_and_no_more() -> None:
    pool = Pool()
    for buffer in [pool.borrow(100) for _ in range(2 * COUNT)]:
        pool.give_back(buffer)
    assert len(pool.kept()) == COUNT


def test_so_many_bytes_are_kept_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "BYTES", 10 * SMALL)
    pool = Pool()
    for buffer in [pool.borrow(4 * SMALL) for _ in range(3)]:
        pool.give_back(buffer)
    assert sum(map(len, pool.kept())) == 8 * SMALL
    pool = Pool()
    call(pool, 11 * SMALL)
    assert pool.kept() == ()


def test_what_is_far_larger_than_recent_calls_need_is_let_go() -> None:
    pool = Pool()
    call(pool, LARGE)
    for _ in range(RECENT - 2):
        call(pool, 10)
    assert len(pool.borrow(10)) == LARGE
    pool = Pool()
    call(pool, LARGE)
    for _ in range(3 * RECENT):
        call(pool, 10)
    assert [len(buffer) for buffer in pool.kept()] == [10]


@pytest.mark.parametrize(("size", "needed"), [(LARGE, LARGE // FAR), (SMALL, 10)])
def test_what_is_not_far_larger_stays(size: int, needed: int) -> None:
    pool = Pool()
    first = call(pool, size)
    for _ in range(3 * RECENT):
        call(pool, needed)
    assert pool.borrow(needed) is first


def test_a_large_buffer_that_one_call_in_many_needs_stays() -> None:
    pool = Pool()
    first = call(pool, LARGE)
    for i in range(5 * RECENT):
        call(pool, LARGE if i % RECENT == 0 else 10)
    assert pool.borrow(LARGE) is first


def test_buffers_below_others_are_let_go_too() -> None:
    pool = Pool()
    for buffer in [pool.borrow(LARGE) for _ in range(COUNT)]:
        pool.give_back(buffer)
    for _ in range((COUNT + 2) * RECENT):
        call(pool, 10)
    assert max(len(buffer) for buffer in pool.kept()) == 10


def test_no_buffer_is_lent_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "RECENT", 3)
    pool, lent = Pool(), set[int]()

    def borrow(i: int) -> bool:
        buffer = pool.borrow(8 + i % 5)
        new = id(buffer) not in lent
        lent.add(id(buffer))
        time.sleep(0)
        lent.discard(id(buffer))
        pool.give_back(buffer)
        return new

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(borrow, range(5000)))
