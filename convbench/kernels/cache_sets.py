"""Planes that lie apart so that what a tile reads of many of them fills the sets of L1 evenly; lengths in lines."""

from __future__ import annotations

import numpy as np

SETS = 64  # of L1: lines so many apart share one
BLOCK = 384  # lines that are read together: half of a small L1
MOST = 8  # of them in one set: as many as a small L1 holds there
FARTHER = 16  # lines that a plane is lengthened by at most


def spread(lines: int) -> int:
    """At least so many lines, an odd number, and a long way from the next multiple of the sets.

    One line of each of some planes then lies in a set of its own, and so do their neighbours.
    """
    lines |= 1
    while lines > SETS and not 5 <= lines % SETS <= 59:
        lines += 2
    return lines


def uncrowded(lines: int, touched: np.ndarray, planes: int) -> int:
    """``lines`` or a little more, of the same parity, where no set has to hold more than it can.

    ``touched`` are the lines of a plane that are read together with the same ones of the next ``planes``, or of fewer
    when those make up a block. Rows of a plane that fall on other rows of its neighbours crowd some of the sets.
    """
    number = np.arange(max(1, min(planes, BLOCK // len(touched))))[:, None]

    def most(lines: int) -> int:
        return int(np.bincount((number * lines + touched).reshape(-1) % SETS).max())

    some = range(lines, lines + FARTHER, 2)
    return next((lines for lines in some if most(lines) <= MOST), None) or min(some, key=most)
