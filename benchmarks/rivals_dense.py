"""Dense filters of more than one pixel against the best mode of torch: 3×3, strided 3×3, 5×5 and 7×7, patches, groups.

Run: ``python benchmarks/rivals_dense.py [ROW …] [--table LAYERS.csv]``; rows are selected by their first letters.
"""

from __future__ import annotations

from functools import partial

from layers import dense, grouped, parsed, patchify, strided_3x3, suites, wide_3x3
from rows import Row, drawn, fixed, main

from convbench.spec import ConvSpec

NETWORKS = ("vgg16", "resnet50")


def large_images(spec: ConvSpec) -> bool:
    return dense(spec, 3) and min(spec.output_spatial) >= 28


def large() -> list[ConvSpec]:
    """5×5 and 7×7, channels and images of friendly and of odd sizes."""
    return parsed(
        *(f"mb1ic{c}ih{h}oc{k}oh{h}kh{r}ph{r // 2}"
          for r in (5, 7) for c, k, h in ((32, 32, 56), (64, 64, 56), (48, 80, 35), (128, 128, 28), (256, 256, 14))),
    )  # fmt: skip


def odd() -> list[ConvSpec]:
    """3×3 layers that no tile divides."""
    sizes = (70, 100, 29), (96, 96, 56), (120, 200, 41), (65, 130, 75), (320, 200, 28)
    return parsed(*(f"mb1ic{c}ih{h}oc{k}oh{h}kh3ph1" for c, k, h in sizes))


def groups() -> list[ConvSpec]:
    """ResNeXt's and RegNet's widths, and odd ones."""
    sizes = (32, 128, 56), (32, 256, 28), (32, 512, 14), (16, 48, 33), (24, 336, 28), (7, 210, 20)
    return parsed(*(f"g{g}mb1ic{c}ih{h}oc{c}oh{h}kh3ph1" for g, c, h in sizes))


def wide_groups() -> list[ConvSpec]:
    sizes = (2, 128, 56), (4, 256, 28), (4, 448, 28), (8, 896, 14), (3, 264, 23)
    return parsed(*(f"g{g}mb1ic{c}ih{h}oc{c}oh{h}kh3ph1" for g, c, h in sizes))


def patches() -> list[ConvSpec]:
    return parsed(
        "mb1ic96ih56oc192oh28kh2sh2",
        "mb1ic384ih14oc768oh7kh2sh2",
        "mb1ic3ih224oc96oh56kh4sh4",
        "mb1ic3ih224oc768oh16kh14sh14",
        "mb1ic3ih224oc768oh14kh16sh16",
        "mb1ic3ih384oc384oh24kh16sh16",
    )


def strided() -> list[ConvSpec]:
    sizes = (64, 128, 56), (100, 100, 57), (48, 96, 112), (256, 512, 28)
    return parsed(*(f"mb1ic{c}ih{h}oc{k}oh{(h - 1) // 2 + 1}kh3sh2ph1" for c, k, h in sizes))


def at(least: int, most: int) -> partial[bool]:
    return partial(wide_3x3, least=least, most=most)


few_a_group, many_a_group = partial(grouped, least=2, most=63), partial(grouped, least=64, most=10**6)
ROWS = [
    Row("direct", "3×3 of VGG-16 and ResNet-50, 28 px or more, plain NCHW in and out", 0.92,
        fixed(lambda: suites(*NETWORKS, of=large_images)), 1.0, "direct", peak=0.85),
    Row("wide28", "3×3 stride 1, C, K ≥ 64, 28 px or more: VGG-16 and ResNet-50", 2.2,
        fixed(lambda: suites(*NETWORKS, of=at(28, 10**6))), 3, "best", peak=1.8),
    Row("wide28-odd", "the same on sizes that no tile divides", 2.2, fixed(odd), 3, "best", peak=1.8),
    Row("wide28-drawn", "the same, drawn from the table", 2.2, drawn(at(28, 10**6)), 3, "best", peak=1.8),
    Row("cold28", "3×3 stride 1, C, K ≥ 64, 28 px or more: VGG-16 and ResNet-50", 1.7,
        fixed(lambda: suites(*NETWORKS, of=at(28, 10**6))), 2.2, "best", cold=True),
    Row("wide14", "3×3 stride 1, C, K ≥ 64, at 14 px (11 to 20), drawn from the table", 1.6,
        drawn(at(11, 20)), 2, "best"),
    Row("wide14-networks", "the same of VGG-16 and ResNet-50", 1.6, fixed(lambda: suites(*NETWORKS, of=at(11, 20))), 2,
        "best"),
    Row("wide7", "3×3 stride 1, C, K ≥ 64, at 7 px (5 to 10), drawn from the table", 1.2, drawn(at(5, 10)), 1.5,
        "best"),
    Row("wide7-networks", "the same of ResNet-50", 1.2, fixed(lambda: suites("resnet50", of=at(5, 10))), 1.5, "best"),
    Row("stride2", "3×3 stride 2: ResNet-50 and others", 1.0,
        fixed(lambda: suites("resnet50", "mobilenetv2", of=strided_3x3) + strided()), 1.6),
    Row("stride2-drawn", "3×3 stride 2, drawn from the table", 1.0, drawn(strided_3x3), 1.6),
    Row("large", "5×5 and 7×7 dense, C, K ≥ 32", 1.5, fixed(large), 4),
    Row("stem", "the 7×7 stride 2 stem of ResNet-50 and the 3×3 stride 2 one of MobileNetV2", 1.0,
        fixed(lambda: suites("resnet50", "mobilenetv2", of=lambda spec: spec.C == 3))),
    Row("groups", "grouped 3×3, 2 to 63 channels a group", 1.35, fixed(groups), 2.5),
    Row("groups-drawn", "the same, drawn from the table", 1.35, drawn(few_a_group), 2.5),
    Row("groups64", "grouped 3×3, 64 channels a group and more", 1.2, fixed(wide_groups), 2),
    Row("groups64-drawn", "the same, drawn from the table", 1.2, drawn(many_a_group), 2),
    Row("patchify", "filter = stride", 1.0, fixed(patches), 1.4),
    Row("patchify-drawn", "the same, drawn from the table", 1.0, drawn(patchify), 1.4),
]  # fmt: skip


if __name__ == "__main__":
    main(ROWS, __doc__)
