"""Winner maps over two parameters: who is fastest at which image side, filter and channels, and where that changes.

A cell holds the problems of one kind whose two parameters fall into it. It is sure if one algorithm wins all of them
and is tied on none; otherwise it is hatched. A threshold is drawn between two neighbours that no algorithm shares.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import altair as alt
import pandas as pd

from convbench.report.layout import stack
from convbench.report.palette import COLOUR, INK, PAPER, Style, dress
from convbench.report.problems import axis_title
from convbench.report.shown import Shown
from convbench.spec import ConvSpec

__all__ = ["Cell", "WinnerMap", "map_chart", "map_text", "winner_maps"]

UNIONS = {
    "one channel": ("one channel, up to 7×7", "one channel, above 7×7"),
    "every dense filter": ("1×1", "3×3, stride 1", "3×3, strided", "5×5 and larger"),
}
"""Maps of several classes of problems at once, where filter sizes differ."""
PAIRS = ("image", "channels"), ("channels", "outputs"), ("image", "filter"), ("channels", "filter")
EXACT = 9
"""Up to so many values each has its own row or column; more are put together by powers of two."""
LEAST = 4
WIDTH, HEIGHT, HATCH = 92, 46, 8.0


@dataclass(frozen=True)
class Cell:
    """Problems of one cell: who wins most, on how many, who could win all of them, whether it is sure."""

    winner: str
    wins: int
    problems: int
    shared: frozenset[str]
    sure: bool


@dataclass(frozen=True)
class WinnerMap:
    """The winners of one kind of problems over two parameters; cells by (column, row), counted from 0."""

    kind: str
    across: str
    upright: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    cells: dict[tuple[int, int], Cell]
    ndim: int = 2

    @property
    def titles(self) -> tuple[str, str]:
        """Of the two axes, the horizontal one first."""
        return axis_title(self.across, self.ndim), axis_title(self.upright, self.ndim)

    @property
    def words(self) -> str:
        return f"{self.kind}: {' × '.join(self.titles)}"

    def thresholds(self) -> list[tuple[float, float, float, float]]:
        """Line segments (x, y, x2, y2) in units of cells where neighbours have no winner in common."""
        lines: list[tuple[float, float, float, float]] = []
        for (i, j), cell in self.cells.items():
            for other, line in (((i + 1, j), (i + 1, j, i + 1, j + 1)), ((i, j + 1), (i, j + 1, i + 1, j + 1))):
                if other in self.cells and not cell.shared & self.cells[other].shared:
                    lines.append(line)
        return lines


def _parameters(spec: ConvSpec) -> dict[str, float]:
    sides = {"image": spec.spatial, "filter": spec.filter}
    means = {name: math.prod(lengths) ** (1 / spec.ndim) for name, lengths in sides.items()}
    return means | {"channels": spec.C, "outputs": spec.K, "ndim": spec.ndim}


def _bins(values: pd.Series) -> tuple[pd.Series, tuple[str, ...]]:
    """The bin of each value, counted from 0, and what each bin is called."""
    exact = values.nunique() <= EXACT
    ranks = (values if exact else values.map(lambda value: math.floor(math.log2(value)))).rank(method="dense")
    bins = ranks.astype(int) - 1
    names = []
    for _, group in values.groupby(bins):
        low, high = f"{group.min():.0f}", f"{group.max():.0f}"
        names.append(low if low == high else f"{low}–{high}")
    return bins, tuple(names)


def _cell(problems: pd.DataFrame) -> Cell:
    sets = [
        frozenset([winner, *filter(None, tied.split(", "))])
        for winner, tied in problems[["winner", "tied_with"]].itertuples(index=False)
    ]
    shared = frozenset.intersection(*sets)
    winner, wins = max(Counter(problems["winner"]).items(), key=lambda item: (item[1], item[0] in shared, item[0]))
    sure = wins == len(problems) and all(len(found) == 1 for found in sets)
    return Cell(winner, wins, len(problems), shared or frozenset([winner]), sure)


def _united() -> set[str]:
    return {kind for union in UNIONS.values() for kind in union}


def winner_maps(winners: pd.DataFrame) -> Iterator[WinnerMap]:
    """A map for every kind of problems and pair of parameters that fills LEAST cells and is more than a line.

    Filter sizes are compared across classes (UNIONS), since they make the class.
    """
    won = winners[winners["winner"] != ""].reset_index(drop=True)
    parameters = pd.DataFrame([_parameters(ConvSpec.parse(spec)) for spec in won["spec"]])
    kinds = {kind: (kind,) for kind in dict.fromkeys(won["kind"])}
    for kind, classes in (kinds | UNIONS).items():
        members = won[won["kind"].isin(classes)]
        for across, upright in PAIRS:
            sides = "filter" in (across, upright)
            if members.empty or (not sides if kind in UNIONS else sides and kind in _united()):
                continue
            i, columns = _bins(parameters.loc[members.index, across])
            j, rows = _bins(parameters.loc[members.index, upright])
            cells = {key: _cell(group) for key, group in members.groupby([i.to_numpy(), j.to_numpy()])}
            if min(len(columns), len(rows)) >= 2 and len(cells) > max(LEAST - 1, len(columns), len(rows)):
                ndim = int(parameters.loc[members.index, "ndim"].max())
                yield WinnerMap(kind, across, upright, columns, rows, cells, ndim)


def map_text(found: WinnerMap) -> Shown:
    """The map in words, a row per row of the map from the top."""

    def said(i: int, j: int) -> str:
        cell = found.cells.get((i, j))
        if cell is None:
            return ""
        wins = "" if cell.problems == 1 else f" {cell.wins} of {cell.problems}"
        others = sorted(cell.shared - {cell.winner})
        return cell.winner + wins + (f" (tied: {', '.join(others)})" if others else "")

    head = " \\ ".join(reversed(found.titles))
    rows = [
        {head: found.rows[j]} | {name: said(i, j) for i, name in enumerate(found.columns)}
        for j in reversed(range(len(found.rows)))
    ]
    return Shown.of(pd.DataFrame(rows))


def _hatch(i: int, j: int) -> Iterator[tuple[float, float, float, float]]:
    """Diagonals of one cell, in units of cells."""
    for k in range(1, int((WIDTH + HEIGHT) / HATCH)):
        at = k * HATCH
        begin, end = max(0.0, at - HEIGHT), min(at, WIDTH)
        yield i + begin / WIDTH, j + (at - begin) / HEIGHT, i + end / WIDTH, j + (at - end) / HEIGHT


def _axis(names: Sequence[str], title: str) -> dict[str, object]:
    """A position counted in cells, labelled in the middle of each."""
    axis = alt.Axis(
        values=[i + 0.5 for i in range(len(names))],
        labelExpr=f"{json.dumps(list(names))}[floor(datum.value)]",
        title=title,
        grid=False,
        ticks=False,
        domain=False,
    )
    return {"scale": alt.Scale(domain=[0, len(names)], nice=False), "axis": axis}


def _lines(segments: Sequence[tuple[float, float, float, float]], **look: object) -> alt.Chart:
    frame = pd.DataFrame(segments, columns=["x", "y", "x2", "y2"])
    return (
        alt.Chart(frame).mark_rule(**look).encode(x=alt.X("x:Q"), y=alt.Y("y:Q"), x2=alt.X2("x2:Q"), y2=alt.Y2("y2:Q"))
    )


def map_chart(found: WinnerMap, looks: Sequence[Style], title: str) -> alt.LayerChart:
    """Cells in the colour of their winner with its name; hatched where not sure; thick lines: thresholds."""
    width, height = WIDTH * len(found.columns), HEIGHT * len(found.rows)
    rows = [
        (i, j, i + 1, j + 1, i + 0.5, j + 0.5, cell.winner, cell.winner.replace("_", "\n", 1)
         + ("" if cell.problems == 1 else f"\n{cell.wins}/{cell.problems}"))
        for (i, j), cell in found.cells.items()
    ]  # fmt: skip
    names = ["x", "y", "x2", "y2", "at_x", "at_y", "algorithm", "text"]
    cells = dress(pd.DataFrame(rows, columns=names), looks)
    hatched = [line for at, cell in found.cells.items() if not cell.sure for line in _hatch(*at)]
    x = alt.X("x:Q", **_axis(found.columns, found.titles[0]))
    y = alt.Y("y:Q", **_axis(found.rows, found.titles[1]))
    corners = {"x": x, "y": y, "x2": alt.X2("x2:Q"), "y2": alt.Y2("y2:Q")}
    base = alt.Chart(cells)
    names_at = {"x": alt.X("at_x:Q"), "y": alt.Y("at_y:Q"), "text": alt.Text("text:N")}
    text = {"fontSize": 10.5, "lineBreak": "\n", "baseline": "middle"}
    offsets = cells["text"].str.count("\n")
    layers = [base.mark_rect(opacity=0.38, stroke=PAPER, strokeWidth=1.5).encode(**corners, color=COLOUR)]
    if hatched:
        layers.append(_lines(hatched, color=PAPER, strokeWidth=2, opacity=0.75))
    if lines := found.thresholds():
        layers.append(_lines(lines, color=INK, strokeWidth=3, strokeCap="round"))
    for breaks, part in cells.groupby(offsets):
        layers.append(alt.Chart(part).mark_text(**text, dy=-6.5 * int(breaks)).encode(**names_at, color=alt.value(INK)))
    return stack(
        *layers,
        title=title,
        subtitle=[
            "name: who wins more of the cell's problems than any other, and how many; hatched: tied, or not the",
            "winner of all; thick line: no algorithm is first on both sides of it",
        ],
        width=width,
        height=height,
    )
