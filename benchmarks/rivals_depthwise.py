"""Depthwise layers against the best mode of torch, 3×3 to 31×31.

Run: ``python benchmarks/rivals_depthwise.py [ROW …] [--table LAYERS.csv]``.
"""

from __future__ import annotations

from functools import partial

from layers import depthwise, parsed, suites
from rows import Row, drawn, fixed, main

from convbench.spec import ConvSpec


def side3(stride: int) -> partial[bool]:
    """3×3 of this stride."""
    return partial(_class, 3, 3, stride)


def _class(least: int, most: int, stride: int, spec: ConvSpec) -> bool:
    return depthwise(spec, least, most, stride)


def _large(spec: ConvSpec) -> bool:
    return depthwise(spec, 5, 31, 1, 2)


def layer(channels: int, size: int, side: int, stride: int = 1) -> str:
    out = (size - 1) // stride + 1
    return f"g{channels}mb1ic{channels}ih{size}oc{channels}oh{out}kh{side}sh{stride}ph{side // 2}"


def large() -> list[ConvSpec]:
    """5×5 to 31×31 as in EfficientNet, ConvNeXt and RepLKNet, and odd sizes."""
    sizes = (120, 28, 5), (672, 14, 5), (50, 61, 5), (96, 56, 7), (384, 14, 7), (768, 7, 7), (128, 28, 9), (70, 33, 9)
    more = (64, 56, 11), (256, 14, 13), (96, 28, 15), (40, 45, 21), (128, 28, 27), (128, 28, 31), (128, 56, 31)
    strides = (672, 14, 5), (144, 57, 5), (96, 56, 7)
    return parsed(*(layer(*size) for size in sizes + more), *(layer(*size, 2) for size in strides))


def odd(stride: int) -> list[ConvSpec]:
    sizes = (33, 75), (100, 29), (7, 200), (321, 15), (1000, 7)
    return parsed(*(layer(*size, 3, stride) for size in sizes))


ROWS = [
    Row("stride1", "3×3 stride 1 of MobileNetV2", 2.8, fixed(lambda: suites("mobilenetv2", of=side3(1))), 4),
    Row("stride1-odd", "3×3 stride 1, odd sizes", 2.8, fixed(lambda: odd(1)), 4),
    Row("stride1-drawn", "3×3 stride 1, drawn from the table", 2.8, drawn(side3(1)), 4),
    Row("stride2", "3×3 stride 2 of MobileNetV2", 2.2, fixed(lambda: suites("mobilenetv2", of=side3(2))), 3.5),
    Row("stride2-odd", "3×3 stride 2, odd sizes", 2.2, fixed(lambda: odd(2)), 3.5),
    Row("stride2-drawn", "3×3 stride 2, drawn from the table", 2.2, drawn(side3(2)), 3.5),
    Row("large", "5×5 to 31×31", 1.8, fixed(large), 4),
    Row("large-drawn", "5×5 to 31×31, drawn from the table", 1.8, drawn(_large), 4),
]


if __name__ == "__main__":
    main(ROWS, __doc__)
