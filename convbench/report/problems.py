"""What a problem is called in a report: a short shape, a class of problems, and the sweeps that a suite contains."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import pandas as pd

from convbench.spec import ConvSpec

__all__ = ["CLASSES", "KEY", "PROBLEM", "Sweep", "anchor", "axis_title", "describe", "problem_class", "shape", "sweeps"]

PROBLEM = ["spec", "weights"]
"""The columns that together name a problem, which is measured once."""
KEY = ["suite", *PROBLEM]
"""The same within a suite: a problem of two suites is listed under both."""

CLASSES = (
    "1×1",
    "3×3, stride 1",
    "3×3, strided",
    "5×5 and larger",
    "dilated",
    "grouped",
    "depthwise",
    "one channel, up to 7×7",
    "one channel, above 7×7",
    "rank-1 weights",
    "1-D",
    "3-D",
)
AXES = {
    "image": "image side, pixels",
    "filter": "filter side, taps",
    "channels": "input channels",
    "outputs": "output channels",
}
SIDES = {
    ("image", 1): "samples of the signal",
    ("image", 2): "image side √(H·W), pixels",
    ("image", 3): "image side ∛(D·H·W), voxels",
    ("filter", 2): "filter side √(R·S), taps",
}
"""What a size is where its number of dimensions tells more than the axis."""
LEAST_POINTS = 4


def axis_title(axis: str, ndim: int) -> str:
    """What stands at an axis of AXES, for problems of so many dimensions."""
    return SIDES.get((axis, ndim), AXES[axis])


def _sides(sizes: tuple[int, ...]) -> str:
    """(3, 3) -> 3×3."""
    return "×".join(map(str, sizes))


def shape(spec: ConvSpec, weights: str = "dense") -> str:
    """`64→128 3×3 @56×56, stride 2`: channels, filter, image, and whatever is not the default."""
    taps = f"{spec.filter[0]} taps" if spec.ndim == 1 else _sides(spec.filter)
    text = f"{spec.C}→{spec.K} {taps} @{_sides(spec.spatial)}"
    if spec.N != 1:
        text = f"{spec.N}× {text}"
    if max(spec.stride) > 1:
        text += f", stride {_sides(tuple(dict.fromkeys(spec.stride)))}"
    if max(spec.dilation) > 1:
        text += f", dilation {_sides(tuple(dict.fromkeys(spec.dilation)))}"
    if spec.G > 1:
        text += ", depthwise" if spec.G == spec.C else f", {spec.G} groups"
    if spec.dtype != "float32":
        text += f", {spec.dtype}"
    return text if weights == "dense" else f"{text}, {weights}"


def anchor(suite: str, spec: str, weights: str) -> str:
    """The fragment that links to a problem in the page."""
    return re.sub(r"[^\w.-]+", "-", f"{suite}-{spec}-{weights}")


def problem_class(spec: ConvSpec, weights: str = "dense") -> str:
    """The one of CLASSES that a problem belongs to: the first that fits, most special first."""
    largest = max(spec.filter)
    tests = {
        "rank-1 weights": weights != "dense",
        "1-D": spec.ndim == 1,
        "3-D": spec.ndim == 3,
        "one channel, up to 7×7": spec.C == spec.K == 1 and largest <= 7,
        "one channel, above 7×7": spec.C == spec.K == 1,
        "depthwise": spec.G == spec.C > 1,
        "grouped": spec.G > 1,
        "dilated": max(spec.dilation) > 1,
        "1×1": largest == 1,
        "3×3, stride 1": largest <= 3 and max(spec.stride) == 1,
        "3×3, strided": largest <= 3,
        "5×5 and larger": True,
    }
    return next(name for name, fits in tests.items() if fits)


def describe(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per problem in the order of the frame: KEY, name, shape, kind (its class), label (unique in a suite)."""
    rows = []
    for row in frame.drop_duplicates(KEY)[[*KEY, "problem_name"]].itertuples(index=False):
        spec = ConvSpec.parse(row.spec)
        text = shape(spec, row.weights)
        name = str(row.problem_name or "").rpartition(":")[2]
        label = f"{name} · {text}" if name and not name.isdigit() else text
        rows.append((row.suite, row.spec, row.weights, name, text, problem_class(spec, row.weights), label))
    problems = pd.DataFrame(rows, columns=[*KEY, "name", "shape", "kind", "label"])
    repeated = problems.duplicated(["suite", "label"], keep=False)
    problems.loc[repeated, "label"] += " · " + problems.loc[repeated, "spec"]
    return problems


@dataclass(frozen=True)
class Sweep:
    """Problems of one suite that differ in one size only."""

    suite: str
    axis: str
    fixed: str
    sizes: dict[tuple[str, str], float]

    @property
    def axis_title(self) -> str:
        return axis_title(self.axis, ConvSpec.parse(next(iter(self.sizes))[0]).ndim)

    @property
    def smallest(self) -> float:
        return min(self.sizes.values())

    @property
    def largest(self) -> float:
        return max(self.sizes.values())


def _coordinates(spec: ConvSpec, weights: str) -> dict[str, tuple[float, tuple[object, ...], str]]:
    """axis -> (size along it, all that must stay fixed, that in words). Padding follows the filter and is not held."""
    rest = (spec.N, spec.stride, spec.dilation, spec.dtype, weights)
    image = math.prod(spec.spatial) ** (1 / spec.ndim)
    taps = math.prod(spec.filter) ** (1 / spec.ndim)
    ratio = (spec.K / spec.C, "depthwise" if spec.G == spec.C > 1 else spec.G)
    channels, filters, at = f"{spec.C}→{spec.K} channels", _sides(spec.filter), f"@{_sides(spec.spatial)}"
    extra = shape(spec, weights).partition(",")[2]
    extra = f",{extra}" if extra else ""
    return {
        "image": (image, (spec.C, spec.K, spec.G, spec.filter, *rest), f"{channels}, {filters} filter{extra}"),
        "filter": (taps, (spec.C, spec.K, spec.G, spec.spatial, *rest), f"{channels} {at}{extra}"),
        "channels": (spec.C, (*ratio, spec.spatial, spec.filter, *rest), f"{filters} filter {at}{extra}"),
    }


def sweeps(problems: pd.DataFrame) -> list[Sweep]:
    """Every set of LEAST_POINTS or more problems of a suite along one size; `problems` as from `describe`."""
    found: dict[tuple[str, str, tuple[object, ...]], Sweep] = {}
    for row in problems.itertuples(index=False):
        for axis, (size, key, words) in _coordinates(ConvSpec.parse(row.spec), row.weights).items():
            sweep = found.setdefault((row.suite, axis, key), Sweep(row.suite, axis, words, {}))
            sweep.sizes[row.spec, row.weights] = size
    return [sweep for sweep in found.values() if len(set(sweep.sizes.values())) >= LEAST_POINTS]
