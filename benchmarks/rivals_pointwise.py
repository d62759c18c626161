"""1×1 layers against the best mode of torch: images, and one pixel (a matrix-vector product) warm and cold.

Run: ``python benchmarks/rivals_pointwise.py [ROW …] [--table LAYERS.csv]``.
"""

from __future__ import annotations

from layers import one_pixel, parsed, pointwise, suites
from rows import Row, drawn, fixed, main

from convbench.spec import ConvSpec


def squeezes() -> list[ConvSpec]:
    """One pixel: squeeze-and-excitation layers and classifiers, friendly and odd."""
    sizes = (96, 4), (8, 32), (240, 10), (480, 20), (40, 960), (256, 64), (672, 168), (2048, 1000), (1001, 333)
    return parsed(*(f"mb1ic{c}ih1oc{k}oh1kh1" for c, k in sizes))


def odd() -> list[ConvSpec]:
    sizes = (70, 100, 29), (33, 17, 75), (200, 333, 15), (511, 129, 9), (1000, 100, 5), (12, 200, 112)
    return parsed(*(f"mb1ic{c}ih{h}oc{k}oh{h}kh1" for c, k, h in sizes))


ROWS = [
    Row("resnet50", "1×1 layers of ResNet-50", 1.08, fixed(lambda: suites("resnet50", of=pointwise)), 1.25,
        "pointwise"),
    Row("mobilenetv2", "1×1 layers of MobileNetV2", 1.08, fixed(lambda: suites("mobilenetv2", of=pointwise)), 1.25,
        "pointwise"),
    Row("odd", "1×1 layers that no tile divides", 1.08, fixed(odd), 1.25, "pointwise"),
    Row("drawn", "1×1 layers drawn from the table", 1.08, drawn(pointwise), 1.25, "pointwise"),
    Row("pixel", "1×1 on one pixel", 3, fixed(squeezes), 4.5),
    Row("pixel-drawn", "1×1 on one pixel, drawn from the table", 3, drawn(one_pixel), 4.5),
    Row("cold-pixel", "1×1 on one pixel", 1.1, fixed(squeezes), 1.3, cold=True),
    Row("cold-pixel-drawn", "1×1 on one pixel, drawn from the table", 1.1, drawn(one_pixel), 1.3, cold=True),
]  # fmt: skip


if __name__ == "__main__":
    main(ROWS, __doc__)
