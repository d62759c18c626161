"""float64 against torch: 3×3 dense, grouped and depthwise.

Run: ``python benchmarks/rivals_float64.py [ROW …] [--table LAYERS.csv]``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from layers import dense, depthwise, grouped, parsed, suites
from rows import Options, Row, drawn, fixed, main

from convbench.spec import ConvSpec


def double(specs: list[ConvSpec]) -> list[ConvSpec]:
    return [spec.replace(dtype="float64") for spec in specs]


def both(of: Callable[[ConvSpec], bool]) -> Callable[[Options], list[ConvSpec]]:
    return lambda options: double(drawn(of)(options))


def depthwise_3x3(spec: ConvSpec) -> bool:
    return depthwise(spec, 3, 3, 1, 2)


def dense_3x3(spec: ConvSpec) -> bool:
    return dense(spec, 3)


def groups() -> list[ConvSpec]:
    sizes = (32, 128, 56), (32, 256, 28), (32, 512, 14), (4, 256, 28), (7, 210, 20)
    return parsed(*(f"g{g}mb1ic{c}ih{h}oc{c}oh{h}kh3ph1" for g, c, h in sizes))


ROWS = [
    Row("dense", "3×3 of ResNet-50 and VGG-16", 2,
        fixed(lambda: double(suites("resnet50", "vgg16", of=dense_3x3))), 4),
    Row("dense-drawn", "3×3, drawn from the table", 2, both(dense_3x3), 4),
    Row("grouped", "grouped 3×3", 5, fixed(lambda: double(groups())), 50),
    Row("grouped-drawn", "grouped 3×3, drawn from the table", 5, both(partial(grouped, least=2, most=10**6)), 50),
    Row("depthwise", "3×3 depthwise of MobileNetV2", 5,
        fixed(lambda: double(suites("mobilenetv2", of=depthwise_3x3))), 50),
]  # fmt: skip


if __name__ == "__main__":
    main(ROWS, __doc__)
