"""Which layers a row is about: those of the suites, and draws from a table of real layers, with occurrence as weight.

The table is a CSV in the layout of ``convbench.formats.csv``; without one, the suite ``population`` stands for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from convbench.formats import csv
from convbench.spec import ConvSpec
from convbench.suites import load

POPULATION = "population"
T = TypeVar("T")
Class = Callable[[ConvSpec], bool]


def suites(*names: str, of: Class) -> list[ConvSpec]:
    """The layers of these suites that belong to a class, each once."""
    return [problem.spec for name in names for problem in load(name) if of(problem.spec)]


def parsed(*texts: str) -> list[ConvSpec]:
    return [ConvSpec.parse(text) for text in texts]


def draw(table: Path | None, count: int, seed: int, of: Class = lambda spec: True) -> list[ConvSpec]:
    """``count`` different layers of a class (all, if there are fewer), drawn with occurrence as weight."""
    every = suites(POPULATION, of=of) if table is None else csv.read(table)
    members = [spec for spec in every if of(spec)]
    if not members:
        return []
    weight = np.array([spec.repeats for spec in members], float)
    chosen = np.random.default_rng(seed).choice(
        len(members), min(count, len(members)), replace=False, p=weight / weight.sum()
    )
    return [members[i] for i in chosen]


def subset(layers: Sequence[T], count: int | None) -> list[T]:
    """``count`` of them, evenly spread over the list; all without a count."""
    if count is None or len(layers) <= count:
        return list(layers)
    return [layers[i] for i in np.linspace(0, len(layers) - 1, count).round().astype(int)]


def pixels(spec: ConvSpec) -> int:
    return min(spec.output_spatial)


def dense(spec: ConvSpec, *sides: int, stride: int = 1) -> bool:
    """One group, a square filter of one of these sides, the same stride everywhere, no dilation."""
    square = spec.filter in [(side, side) for side in sides]
    return square and spec.groups == 1 and set(spec.stride) == {stride} and set(spec.dilation) == {1}


def pointwise(spec: ConvSpec) -> bool:
    return spec.filter == (1, 1) and spec.groups == 1 and spec.output_spatial != (1, 1)


def one_pixel(spec: ConvSpec) -> bool:
    return spec.filter == (1, 1) and spec.groups == 1 and spec.spatial == (1, 1)


def wide_3x3(spec: ConvSpec, least: int, most: int) -> bool:
    """3×3, stride 1, 64 channels or more on both sides, from ``least`` to ``most`` output pixels a side."""
    return dense(spec, 3) and min(spec.C, spec.K) >= 64 and least <= pixels(spec) <= most


def strided_3x3(spec: ConvSpec) -> bool:
    return dense(spec, 3, stride=2)


def depthwise(spec: ConvSpec, least: int, most: int, *strides: int) -> bool:
    """One filter a channel, its side from ``least`` to ``most``, one of these strides."""
    sides = least <= min(spec.filter) and max(spec.filter) <= most
    return sides and spec.groups == spec.C > 1 and max(spec.stride) in strides


def grouped(spec: ConvSpec, least: int, most: int) -> bool:
    """3×3 in several groups with ``least`` to ``most`` input channels each."""
    return spec.filter == (3, 3) and spec.groups > 1 and least <= spec.weight_shape[1] <= most


def patchify(spec: ConvSpec) -> bool:
    """Filter = stride: patches that do not overlap."""
    return spec.filter == spec.stride and spec.filter[0] in (2, 4, 14, 16) and spec.groups == 1
