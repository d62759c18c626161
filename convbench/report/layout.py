"""Where things go in a chart: round ticks on a log axis, and labels that do not overlap. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import numpy as np

__all__ = ["Box", "LogAxis", "place", "spread", "stack"]

MARGIN = 1.15
"""A log axis ends this factor beyond its data."""


@dataclass(frozen=True)
class LogAxis:
    """A log axis over [low, high] (plus a margin) drawn `pixels` long."""

    low: float
    high: float
    pixels: float

    @property
    def scale(self) -> alt.Scale:
        return alt.Scale(type="log", domain=[self.low / MARGIN, self.high * MARGIN], nice=False)

    def ticks(self, most: int = 10) -> list[float]:
        """1, 2, 5 × powers of ten within the axis; fewer digits, then fewer decades, if that is more than `most`."""
        first, last = math.floor(math.log10(self.low / MARGIN)), math.ceil(math.log10(self.high * MARGIN))
        for digits, stride in (((1, 2, 3, 5, 7), 1), ((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 3)):
            powers = [power for power in range(first, last + 1) if power % stride == 0]
            found = [digit * 10.0**power for power in powers for digit in digits]
            found = [value for value in found if self.low / MARGIN <= value <= self.high * MARGIN]
            if len(found) <= most:
                break
        return found

    def pixel(self, value: float) -> float:
        """Distance of a value from the low end, pixels."""
        span = math.log(self.high / self.low * MARGIN**2)
        return self.pixels * math.log(value / self.low * MARGIN) / span

    def value(self, pixel: float) -> float:
        """The inverse of `pixel`."""
        return self.low / MARGIN * (self.high / self.low * MARGIN**2) ** (pixel / self.pixels)


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Positions on a line as near as can be to those wanted, in their order, with at least `gap` between neighbours.

    Least squares by pooling: neighbours that would touch become one block, centred on the mean of what they want.
    """
    order = np.argsort(wanted, kind="stable")
    blocks: list[tuple[float, int]] = []  # (sum of wanted starts, members)
    for rank, i in enumerate(order):
        total, members = wanted[i] - rank * gap, 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / members:
            more, others = blocks.pop()
            total, members = total + more, members + others
        blocks.append((total, members))
    starts = [total / members for total, members in blocks for _ in range(members)]
    placed = [0.0] * len(order)
    for rank, i in enumerate(order):
        placed[i] = starts[rank] + rank * gap
    return placed


def stack(*layers: alt.Chart, title: str, subtitle: str | list[str], width: float, height: float) -> alt.LayerChart:
    """Layers over each other, the first at the bottom, under one title."""
    return alt.LayerChart(layer=list(layers), title=alt.Title(title, subtitle=subtitle), width=width, height=height)


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels: left, bottom, width, height."""

    x: float
    y: float
    width: float
    height: float

    def meets(self, other: Box) -> bool:
        """Whether the two overlap."""
        apart = self.x + self.width <= other.x or other.x + other.width <= self.x
        return not (apart or self.y + self.height <= other.y or other.y + other.height <= self.y)

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """The point of the rectangle that is nearest to (x, y)."""
        return min(max(x, self.x), self.x + self.width), min(max(y, self.y), self.y + self.height)


def place(points: Sequence[tuple[float, float]], widths: Sequence[float], frame: Box, height: float = 15) -> list[Box]:
    """A box of the given width near each point, clear of all points and of each other where the frame has room.

    Candidates are tried from the nearest: right, left, above, below, then in rings further out. Crowded points first.
    """
    marks = [Box(x - 7, y - 7, 14, 14) for x, y in points]
    crowd = [sum(abs(x - a) < 120 and abs(y - b) < 40 for a, b in points) for x, y in points]
    placed: dict[int, Box] = {}
    for i in sorted(range(len(points)), key=lambda i: -crowd[i]):
        x, y = points[i]
        beside = [(10.0, 0.0), (-widths[i] - 10, 0.0)]
        rings = [(dx, ring * height) for ring in range(1, 14) for dx in (0.0, -widths[i], -widths[i] / 2)]
        shifts = beside + [(dx, side * dy) for dx, dy in rings for side in (1, -1)]
        offers = [Box(x + dx, y + dy - height / 2, widths[i], height) for dx, dy in shifts]
        inside = [box for box in offers if _within(box, frame)] or offers
        clear = (box for box in inside if not any(box.meets(other) for other in (*placed.values(), *marks)))
        placed[i] = next(clear, inside[0])
    return [placed[i] for i in range(len(points))]


def _within(box: Box, frame: Box) -> bool:
    right, top = frame.x + frame.width, frame.y + frame.height
    return frame.x <= box.x and frame.y <= box.y and box.x + box.width <= right and box.y + box.height <= top
