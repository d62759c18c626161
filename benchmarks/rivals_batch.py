"""Batches of 8 against the best mode of torch: the 3×3 and 1×1 layers of ResNet-50.

Run: ``python benchmarks/rivals_batch.py [ROW …]``.
"""

from __future__ import annotations

from layers import suites
from rows import Row, fixed, main

from convbench.spec import ConvSpec

BATCH = 8


def batches(side: int) -> list[ConvSpec]:
    specs = suites("resnet50", of=lambda spec: spec.filter == (side, side))
    return [spec.replace(input_shape=(BATCH, *spec.input_shape[1:])) for spec in specs]


ROWS = [
    Row("3x3", "3×3 layers of ResNet-50, batch 8", 1.3, fixed(lambda: batches(3)), 2),
    Row("1x1", "1×1 layers of ResNet-50, batch 8", 1.3, fixed(lambda: batches(1)), 2),
]


if __name__ == "__main__":
    main(ROWS, __doc__)
