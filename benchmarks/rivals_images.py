"""Filters on one channel against torch, OpenCV's ``filter2D`` and ``sepFilter2D``, and SciPy's ``convolve2d``.

Run: ``python benchmarks/rivals_images.py [ROW …]``. Every rival on one thread, zeros beyond the edge. A rival that
would take longer than ``LONGEST`` for one call does not get that image; the sizes it gets are printed.
"""

from __future__ import annotations

from collections.abc import Iterable

from races import Contender
from rivals import Case, opencv, scipy_signal
from rows import Row, fixed, main

from convbench.spec import ConvSpec

SIDES = (3, 5, 7, 11, 15, 21, 31)
IMAGES = ((512, 512), (1024, 1024), (2160, 3840))
LONGEST = 6e8  # multiply-adds: some seconds of the slow rivals


def images(*sides: int, most: float = float("inf")) -> list[ConvSpec]:
    """One channel, filters of these sides, as many images as stay under ``most`` multiply-adds."""
    specs = [ConvSpec((1, 1, *image), (1, 1, r, r), padding=r // 2) for r in sides for image in IMAGES]
    return [spec for spec in specs if spec.macs <= most]


def gaussians() -> list[Case]:
    return [Case(ConvSpec((1, 1, *image), (1, 1, 15, 15), padding=7), "gaussian") for image in IMAGES[-1:]]


def filter_2d(case: Case, threads: int) -> Iterable[Contender]:
    return [opencv(case, "filter2D")]


def separable_2d(case: Case, threads: int) -> Iterable[Contender]:
    return [opencv(case, "sepFilter2D")]


def convolve_2d(case: Case, threads: int) -> Iterable[Contender]:
    return [scipy_signal(case, "convolve2d")]


ROWS = [
    Row("torch", "one channel, 3×3 to 31×31, against the best mode of torch", 8,
        fixed(lambda: images(*SIDES, most=LONGEST)), 15),
    Row("filter2D-3", "3×3 against OpenCV's filter2D", 1.4, fixed(lambda: images(3)), 2, rivals=filter_2d),
    Row("filter2D-5", "5×5 and 7×7 against OpenCV's filter2D", 1.4, fixed(lambda: images(5, 7)), 2, rivals=filter_2d),
    Row("filter2D-11", "11×11 to 31×31 against OpenCV's filter2D", 5, fixed(lambda: images(11, 15, 21, 31)), 10,
        rivals=filter_2d),
    Row("convolve2d", "one channel, 3×3 to 31×31, against SciPy's convolve2d", 100,
        fixed(lambda: images(*SIDES, most=LONGEST / 2)), 500, rivals=convolve_2d),
    Row("gaussian", "15×15 Gaussian, 4k, against OpenCV's sepFilter2D", 1.0, fixed(gaussians), 2, "separable",
        rivals=separable_2d),
]  # fmt: skip


if __name__ == "__main__":
    main(ROWS, __doc__)
