"""One look for every chart: a hue per family of algorithms, a shade and a shape per algorithm, one Vega theme.

Hues are those of Okabe and Ito (2008), distinguishable with any common colour-vision deficiency. Fifteen algorithms
cannot have fifteen such hues, so a hue names the family (the mathematics), and its lightness, which no deficiency
takes away, and the marker's shape name the member; peers are
drawn in the colour of the text, those of NumPy and SciPy in the paler one, hollow and dashed. The neutral colours are
written into the SVG as they stand, and the page's style sheet maps each to its dark-mode counterpart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

__all__ = [
    *("BINS", "COLOUR", "DARK", "FONT", "GRID", "HIGHLIGHT", "INK", "MUTED", "PAPER", "SHAPE", "THEME"),
    *("Style", "bin_of", "dress", "keys", "styles"),
]

INK, MUTED, GRID, PAPER = "#1b1f24", "#59636e", "#dfe3e8", "#fefefe"
HIGHLIGHT = "#e69f00"
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"  # three names of one set of metrics

# family -> (colour, its darker variant for text, beginnings of its members' names)
FAMILIES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "plain loops": ("#8a8a8a", "#5f5f5f", ("python_loops", "naive")),
    "direct": ("#0072b2", "#005c90", ("direct",)),
    "depthwise": ("#56b4e9", "#19699b", ("depthwise",)),
    "matrix product": ("#e69f00", "#8a5f00", ("im2col", "implicit_gemm", "pointwise", "kn2row")),
    "Winograd": ("#009e73", "#00694c", ("winograd",)),
    "FFT": ("#cc79a7", "#9c3f73", ("fft",)),
    "factorised": ("#d55e00", "#a34700", ("separable", "depthwise_separable")),
    "other": ("#a69a00", "#6b6300", ("",)),
    "NumPy and SciPy": (MUTED, MUTED, ()),
    "peer": (INK, INK, ()),
}
PEERS = {"NumPy and SciPy": ("numpy_", "scipy_"), "peer": ("",)}
"""Families of peers by the beginnings of their names; each has no more members than there are shapes."""
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")

# Time relative to the fastest: upper end of the bin, its words, its fill and the ink that is legible on it.
BINS: tuple[tuple[float, str, str, str], ...] = (
    (1.1, "up to 1.1×", "#08488e", "#ffffff"),
    (1.5, "1.1–1.5×", "#2f79be", "#ffffff"),
    (2.5, "1.5–2.5×", "#74abd9", "#000001"),
    (5.0, "2.5–5×", "#add0ec", "#000001"),
    (10.0, "5–10×", "#d3e4f3", "#000001"),
    (float("inf"), "over 10×", "#edf1f5", "#000001"),
)

# What the page's style sheet makes of these colours on a dark screen, where the fastest cell is the brightest.
DARK = {
    INK: "#e6edf3",
    MUTED: "#9aa7b4",
    GRID: "#2c333b",
    PAPER: "#11151a",
    "#ffffff": "#06121f",
    "#000001": "#e6edf3",
    "#08488e": "#a5d3ff",
    "#2f79be": "#74b4ee",
    "#74abd9": "#33699c",
    "#add0ec": "#274f77",
    "#d3e4f3": "#203a54",
    "#edf1f5": "#1c2733",
    "#9cc9ea": "#2f526e",
    "#e4e7eb": "#262d35",
    "#0072b2": "#3d9bd8",
}
SHADES = ((0.0, 0.0), (-0.45, 0.4), (-0.7, 0.8), (0.4, -0.35), (0.65, -0.6))
"""Of the members of a family, in order: how far towards black (below 0) or white, on paper and on a dark screen."""


def shade(colour: str, towards: float) -> str:
    """The colour mixed with black or white, by that part."""
    end = 255 if towards > 0 else 0
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part + (end - part) * abs(towards)):02x}" for part in parts)


OWN = [name for name in FAMILIES if name not in PEERS]
DARK |= {shade(FAMILIES[name][0], paper): shade(DARK.get(FAMILIES[name][0], FAMILIES[name][0]), dark)
         for name in OWN for paper, dark in SHADES[1:]}  # fmt: skip
DARK |= {ink: DARK.get(colour, colour) for colour, ink, _ in FAMILIES.values()}

THEME: dict[str, Any] = {
    "aria": False,  # the page gives each chart one text; a label per mark doubles the file
    "background": PAPER,
    "font": FONT,
    "padding": {"left": 8, "right": 12, "top": 8, "bottom": 8},
    "view": {"stroke": None},
    "title": {
        "anchor": "start",
        "frame": "bounds",
        "fontSize": 16,
        "color": INK,
        "subtitleColor": MUTED,
        "subtitleFontSize": 12,
        "subtitlePadding": 6,
        "offset": 14,
    },
    "axis": {
        "labelFontSize": 12,
        "titleFontSize": 12,
        "labelColor": INK,
        "titleColor": MUTED,
        "titleFontWeight": "normal",
        "gridColor": GRID,
        "domainColor": MUTED,
        "tickColor": MUTED,
        "labelLimit": 420,
    },
    "legend": {
        "labelFontSize": 12,
        "titleFontSize": 12,
        "labelColor": INK,
        "titleColor": MUTED,
        "titleFontWeight": "normal",
        "labelLimit": 300,
    },
    "text": {"color": INK, "fontSize": 11},
    "rule": {"color": MUTED},
}


COLOUR = alt.Color("colour:N", scale=None)
SHAPE = alt.Shape("shape:N", scale=None)


@dataclass(frozen=True)
class Style:
    algorithm: str
    family: str
    colour: str
    ink: str
    shape: str
    peer: bool


def _family(algorithm: str) -> tuple[int, int]:
    """Family and member with the longest beginning in common; "other" for an algorithm of the user's own."""
    matches = [
        (len(start), -i, -j)
        for i, (*_, starts) in enumerate(FAMILIES.values())
        for j, start in enumerate(starts)
        if algorithm.startswith(start)
    ]
    _, i, j = max(matches)
    return -i, -j


def _peer_family(name: str) -> tuple[int, int]:
    family = next(family for family, starts in PEERS.items() if name.startswith(starts))
    return list(FAMILIES).index(family), 0


def styles(contenders: Iterable[tuple[str, bool]]) -> dict[str, Style]:
    """`(algorithm, is it a peer?)` pairs -> styles in the order of the legend: by family, peers last."""
    names, given = list(FAMILIES), dict(contenders)
    places = sorted((_peer_family(name) if peer else _family(name), name) for name, peer in given.items())
    chosen: dict[str, Style] = {}
    for (i, _), name in places:
        family = names[i]
        member = sum(style.family == family for style in chosen.values())
        colour, ink, _ = FAMILIES[family]
        if not given[name]:
            colour = shade(colour, SHADES[member % len(SHADES)][0])
        chosen[name] = Style(name, family, colour, ink, SHAPES[member % len(SHAPES)], given[name])
    return chosen


def dress(cells: pd.DataFrame, looks: Sequence[Style]) -> pd.DataFrame:
    """The cells with the columns colour, ink, shape and peer of their algorithm, for COLOUR and SHAPE to show."""
    rows = [(style.algorithm, style.colour, style.ink, style.shape, style.peer) for style in looks]
    table = pd.DataFrame(rows, columns=["algorithm", "colour", "ink", "shape", "peer"])
    return cells.drop(columns="peer", errors="ignore").merge(table, on="algorithm", how="left")


def keys(looks: Sequence[Style], columns: int = 6, **options: Any) -> tuple[alt.Color, alt.Shape]:
    """Colour and shape of the field `algorithm` with one legend for both, below the chart."""
    names = [style.algorithm for style in looks]
    legend = alt.Legend(title=None, orient="bottom", columns=columns, symbolSize=70, symbolOpacity=1, **options)
    colours = alt.Scale(domain=names, range=[style.colour for style in looks])
    shapes = alt.Scale(domain=names, range=[style.shape for style in looks])
    return alt.Color("algorithm:N", scale=colours, legend=legend), alt.Shape("algorithm:N", scale=shapes, legend=legend)


def bin_of(ratio: float) -> int:
    """Index into BINS of a time relative to the fastest."""
    return next(i for i, (upper, *_) in enumerate(BINS) if ratio <= upper)
