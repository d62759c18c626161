"""Scratch buffers kept between calls, so that a call need not ask the system for memory and touch every page of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np

from convbench.kernels.layout import aligned_empty

COUNT = 4  # buffers kept
BYTES = 512 << 20  # that they hold together; what needs more than that alone gets memory of its own in every call
RECENT = 1000  # calls: at least so many, at most twice as many, are looked back on
FAR = 4  # times the largest recent need: what is larger is let go
SMALL = 1 << 20  # bytes: what is not larger is kept without a second look
NOTHING = aligned_empty((0,), np.uint8)


class Pool:
    """64-byte aligned uint8 buffers for calls, concurrent ones included: each buffer is with one borrower or here.

    Kept are at most ``COUNT`` of at most ``BYTES`` together, none ``FAR`` larger than any recent call needed.
    """

    def __init__(self) -> None:
        self._kept: list[np.ndarray] = []  # popped and appended only, which threads may do at once
        self._calls = 0
        self._need = self._need_before = 0  # bytes: the largest of this look and of the one before

    def borrow(self, size: int) -> np.ndarray:
        """A buffer of at least ``size`` bytes with arbitrary content."""
        if size > self._need:
            self._need = size
        try:
            buffer = self._kept.pop()
        except IndexError:  # empty, or another thread took the last one
            buffer = NOTHING
        return buffer if len(buffer) >= size else aligned_empty((size,), np.uint8)

    def give_back(self, buffer: np.ndarray) -> None:
        """The end of a loan; the buffer is kept for the next one, or let go."""
        self._calls += 1
        if self._calls >= RECENT:
            self._calls, self._need_before, self._need = 0, self._need, 0
            with suppress(IndexError):
                self._keep(self._kept.pop(0))  # one that may have lain below the others all the time
        self._keep(buffer)

    def put(self, buffer: np.ndarray) -> None:
        """Make ``buffer`` the next one that is borrowed."""
        self._kept.append(buffer)

    def kept(self) -> tuple[np.ndarray, ...]:
        """The buffers that wait for the next calls."""
        return tuple(self._kept)

    def _keep(self, buffer: np.ndarray) -> None:
        size, kept = len(buffer), self._kept
        if len(kept) >= COUNT:
            return
        if size > SMALL:
            needed = max(self._need, self._need_before)
            if size > FAR * needed or size + sum(map(len, kept)) > BYTES:
                return
        kept.append(buffer)


SHARED = Pool()  # for all kernels together


def short_call(
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    nbytes: int,
    run: Callable[[np.ndarray, np.ndarray, np.ndarray], None],
) -> Callable[[np.ndarray, np.ndarray], bool]:
    """call(x, y): run(x, y, work), all flat, and True; False for other shapes and arrays that do not own their memory.

    What a small image costs is largely the way to its kernel. x and y have the right dtype; ``work`` has ``nbytes``.
    """

    def call(x: np.ndarray, y: np.ndarray) -> bool:
        of, to = x.flags, y.flags
        if x.shape != inputs or y.shape != outputs or x is y or not (of.owndata and to.owndata):
            return False
        if not (of.carray and to.carray):
            return False
        if not nbytes:
            run(x.ravel(), y.ravel(), NOTHING)
            return True
        buffer = SHARED.borrow(nbytes)
        run(x.ravel(), y.ravel(), buffer[:nbytes])
        SHARED.give_back(buffer)
        return True

    return call
