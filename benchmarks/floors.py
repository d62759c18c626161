"""Does every family do what it is for? One pinned core, float32, prepared filters, each layer printed.

Run: ``python benchmarks/floors.py`` (all rows) or with the first words of the rows wanted, such as ``winograd``.
A ratio is time of the other contender over ours, the median of paired rounds; the floor is on the geometric mean.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from math import prod

import numpy as np
from pairs import Pair, pin, race, table

from convbench.data import arrays
from convbench.driver import kernel
from convbench.spec import ConvSpec
from convbench.suites import Problem, load


def call(name: str, problem: Problem) -> Callable[[], object]:
    """The prepared layer on warm data, writing into one output."""
    spec = problem.spec
    x, weight, _ = arrays(spec, kind="rank1" if problem.weights == "rank1" else "normal")
    layer, out = kernel(spec, name, threads=1).prepare(weight), np.empty(spec.output_shape, spec.np_dtype)
    return lambda: layer(x, out)


def duel(ours: str, theirs: str, problems: list[Problem], rounds: int = 15) -> Iterator[Pair]:
    for problem in problems:
        label = problem.spec.name or str(problem)
        yield race(label, call(ours, problem), call(theirs, problem), rounds)


def matrix_product(problem: Problem) -> Callable[[], object]:
    """NumPy's own product of im2col's shapes: (K × C·R·S) · (C·R·S × P·Q)."""
    spec = problem.spec
    depth = prod(spec.weight_shape[1:])
    rng = np.random.default_rng(0)
    a = rng.standard_normal((spec.K, depth), np.float32)
    b = rng.standard_normal((depth, prod(spec.output_spatial)), np.float32)
    out = np.empty((spec.K, b.shape[1]), np.float32)
    return lambda: np.matmul(a, b, out=out)


def im2col_against_product() -> Iterator[Pair]:
    for problem in three_by_three():
        label = problem.spec.name
        yield race(label, call("im2col", problem), matrix_product(problem))


def three_by_three() -> list[Problem]:
    return [p for suite in ("resnet50", "vgg16") for p in load(suite) if p.spec.filter == (3, 3)]


def wide_vgg() -> list[Problem]:
    return [p for p in load("vgg16") if p.spec.C >= 128]


def depthwise_layers() -> list[Problem]:
    return [p for p in load("mobilenetv2") if p.spec.groups > 1]


def tiny() -> list[Problem]:
    texts = ["mb1ic3ih16oc8oh16kh3ph1", "mb1ic8ih12oc8oh12kh5ph2", "mb1ic1ih64oc1oh64kh7ph3", "mb1ic4iw1000oc4kw9pw4"]
    return [Problem(ConvSpec.parse(text)) for text in texts]


def many_channels() -> list[Problem]:
    return [Problem(ConvSpec.parse(f"mb1ic64ih56oc64oh56kh{r}ph{r // 2}")) for r in (11, 13, 15)]


def one_channel() -> list[Problem]:
    return [Problem(ConvSpec.parse(f"mb1ic1ih{size}oc1oh{size}kh31ph15")) for size in (512, 1024, 2048)]


def gaussian() -> list[Problem]:
    return [Problem(ConvSpec.parse(f"mb1ic1ih{size}oc1oh{size}kh15ph7"), "rank1") for size in (512, 1024, 2048)]


ROWS: list[tuple[str, float, Callable[[], Iterator[Pair]]]] = [
    ("naive against python_loops", 100, lambda: duel("naive", "python_loops", tiny(), 3)),
    ("im2col against NumPy's product of its shapes, 3×3 layers of ResNet-50 and VGG-16", 0.6, im2col_against_product),
    ("winograd_4x4_3x3 against im2col, VGG-16, C ≥ 128", 1, lambda: duel("winograd_4x4_3x3", "im2col", wide_vgg())),
    ("fft_tiled against direct, 64 channels, 56²", 1, lambda: duel("fft_tiled", "direct", many_channels(), 7)),
    ("fft_tiled against direct, one channel, 31×31", 1, lambda: duel("fft_tiled", "direct", one_channel(), 7)),
    ("separable against direct, 15×15 Gaussian, one channel", 1, lambda: duel("separable", "direct", gaussian(), 7)),
    ("depthwise against im2col, MobileNetV2", 5, lambda: duel("depthwise", "im2col", depthwise_layers())),
]


def main() -> None:
    print(pin())
    for title, floor, pairs in ROWS:
        if not sys.argv[1:] or title.startswith(tuple(sys.argv[1:])):
            for line in table(title, floor, pairs()):
                print(line, flush=True)


if __name__ == "__main__":
    main()
