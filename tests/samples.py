"""Problems for tests of every algorithm: of each list, the first that an algorithm supports."""

from __future__ import annotations

import pytest

from convbench.algorithm import algorithms
from convbench.spec import ConvSpec

DTYPES = ("float32", "float64")
by_algorithm = pytest.mark.parametrize("name", algorithms())
by_dtype = pytest.mark.parametrize("dtype", DTYPES)


SMALL = [ConvSpec((2, 4, 7, 9), (6, 4, 3, 3), padding=1), ConvSpec((2, 6, 9, 8), (6, 1, 3, 3), groups=6),
         ConvSpec((2, 8, 5, 7), (9, 8, 1, 1), stride=2), ConvSpec((2, 3, 40), (4, 3, 5)),
         ConvSpec((1, 2, 5, 6, 7), (3, 2, 3, 3, 3)), ConvSpec((2, 3, 9, 8), (5, 3, 7, 7), padding=3)]  # fmt: skip
LARGER = [ConvSpec((2, 48, 40, 40), (48, 48, 3, 3), padding=1), ConvSpec((2, 96, 40, 40), (96, 1, 3, 3), groups=96),
          ConvSpec((2, 96, 40, 40), (48, 96, 1, 1)), ConvSpec((1, 1, 80, 80), (1, 1, 2, 2)),
          *(ConvSpec((2, 48, 40, 40), (48, 48, r, r), padding=r // 2) for r in (5, 7))]  # fmt: skip


def sample(name: str, dtype: str = "float32", among: list[ConvSpec] = SMALL) -> ConvSpec:
    """The first of these problems that the algorithm supports."""
    return next(spec for spec in among if algorithms()[name].supports(spec) is None).replace(dtype=dtype)
