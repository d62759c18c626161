"""Charts that are matrices: time relative to the fastest, per problem and per class, and what ran where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from convbench.report.layout import stack
from convbench.report.palette import BINS, HIGHLIGHT, INK, MUTED, PAPER, Style, bin_of
from convbench.report.problems import CLASSES, KEY
from convbench.report.tables import with_ratios

__all__ = ["STATUSES", "applicability_map", "class_map", "time_map"]

# status -> (colour in the applicability map, what a cell without a time says)
STATUSES: dict[str, tuple[str, str]] = {
    "ok": ("#0072b2", ""),
    "hopeless": ("#9cc9ea", "slow"),
    "out of budget": ("#b5a9d9", "?"),
    "skipped": ("#e4e7eb", "·"),
    "weak test": ("#e69f00", "weak"),
    "failed": ("#d55e00", "fail"),
    "crashed": (INK, "crash"),
    "timed out": ("#cc79a7", "late"),
}
BIN_WORDS = [words for _, words, _, _ in BINS]
FILL = alt.Scale(domain=BIN_WORDS, range=[fill for *_, fill, _ in BINS])


def _columns(styles: Sequence[Style], extra: Sequence[str] = ()) -> tuple[alt.X, list[str]]:
    """The axis of algorithms on top, peers in italics, and its order."""
    order = [style.algorithm for style in styles] + list(extra)
    italic = [style.algorithm for style in styles if style.peer] + list(extra)
    test = f"indexof({italic}, datum.value) >= 0"
    axis = alt.Axis(
        orient="top",
        labelAngle=-45,
        title=None,
        ticks=False,
        domain=False,
        labelPadding=6,
        labelFontStyle=alt.condition(test, alt.value("italic"), alt.value("normal")),
        labelColor=alt.condition(test, alt.value(MUTED), alt.value(INK)),
    )
    return alt.X("algorithm:N", sort=order, axis=axis, scale=alt.Scale(domain=order)), order


def _short(ratio: float) -> str:
    """A ratio in at most four characters: 1.00, 2.4, 13."""
    return f"{ratio:.2f}" if ratio < 1.995 else f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:.0f}"


def _matrix(cells: pd.DataFrame, x: alt.X, y: alt.Y, dy: float = 0) -> list[alt.Chart]:
    """Coloured cells, those of the winner set outlined: columns algorithm, row, bin, text, ink, mark."""
    legend = alt.Legend(title="time relative to the fastest", orient="bottom", symbolType="square")
    fill = alt.Color("bin:N", scale=FILL, legend=legend)
    won, tied, plain = (cells[cells["mark"] == mark] for mark in ("won", "tied", ""))
    outline: dict[str, Any] = {"stroke": HIGHLIGHT, "fill": None, "strokeWidth": 2.5}
    look: dict[str, Any] = {"fontSize": 11, "lineBreak": "\n", "dy": dy}
    text: dict[str, Any] = {"x": x, "y": y, "text": alt.Text("text:N"), "color": alt.Color("ink:N", scale=None)}
    return [
        alt.Chart(cells[cells["bin"] != ""]).mark_rect(stroke=PAPER, strokeWidth=1.5).encode(x=x, y=y, color=fill),
        alt.Chart(won).mark_rect(**outline).encode(x=x, y=y),
        alt.Chart(tied).mark_rect(**outline, strokeDash=[3, 3]).encode(x=x, y=y),
        alt.Chart(pd.concat([plain, tied])).mark_text(**look).encode(**text),
        alt.Chart(won).mark_text(**look, fontWeight="bold").encode(**text),
    ]


def _coloured(cells: pd.DataFrame, ratio: str) -> pd.DataFrame:
    """Adds bin and ink from the column of ratios; cells without one stay uncoloured, their text muted."""
    found = [bin_of(value) if np.isfinite(value) else None for value in cells[ratio]]
    cells["bin"] = ["" if i is None else BIN_WORDS[i] for i in found]
    cells["ink"] = [MUTED if i is None else BINS[i][3] for i in found]
    return cells


def time_map(frame: pd.DataFrame, winners: pd.DataFrame, styles: Sequence[Style], title: str) -> alt.LayerChart:
    """Problem × algorithm: time over the fastest's; winner outlined, ties dashed. What never ran is left out."""
    cells = with_ratios(frame).merge(winners[[*KEY, "label"]], on=KEY)
    ran = set(cells.loc[cells["time"].notna(), "algorithm"])
    cells = cells[cells["algorithm"].isin(ran)].copy()
    cells["text"] = [
        f"{'≈' if rough else ''}{_short(ratio)}" if np.isfinite(ratio) else STATUSES.get(status, STATUSES["failed"])[1]
        for ratio, rough, status in cells[["ratio", "rough", "status"]].itertuples(index=False)
    ]
    cells["mark"] = np.select([cells["own_winner"], cells["own_tied"]], ["won", "tied"], "")
    cells = _coloured(cells, "best_ratio")[["label", "algorithm", "bin", "ink", "text", "mark"]]
    x, order = _columns([style for style in styles if style.algorithm in ran])
    labels = list(dict.fromkeys(winners["label"]))
    y = alt.Y("label:N", sort=labels, axis=alt.Axis(title=None, ticks=False, domain=False, labelPadding=8))
    subtitle = (
        "time ÷ time of the fastest contender; outlined: our winner; dashed: tied with it; "
        "≈: hopeless, one call or a prediction; ?: budget over; ·: not applicable"
    )
    layers = _matrix(cells, x, y)
    return stack(*layers, title=title, subtitle=subtitle, width=46 * len(order), height=22 * len(labels))


def class_map(classes: pd.DataFrame, styles: Sequence[Style], title: str) -> alt.LayerChart:
    """Class of problems × algorithm: geometric mean of the time over the fastest's, and wins of problems run."""
    cells = classes.copy()
    kinds = [kind for kind in CLASSES if kind in set(cells["kind"])]
    problems = cells.drop_duplicates("kind").set_index("kind")["problems"]
    cells["row"] = [f"{kind}  ({problems[kind]})" for kind in cells["kind"]]
    most = cells.groupby("kind")["wins"].transform("max")
    cells["mark"] = np.where((cells["wins"] == most) & (most > 0), "won", "")
    cells["text"] = [
        _short(behind) + ("\n" if algorithm == "best peer" else f"\n{wins}/{ran}")
        for behind, wins, ran, algorithm in cells[["behind", "wins", "ran", "algorithm"]].itertuples(index=False)
    ]
    cells["behind"] = cells["behind"].mask(cells["few"])
    cells = _coloured(cells, "behind")[["row", "algorithm", "bin", "ink", "text", "mark"]]
    ran = set(cells["algorithm"])
    extra = ["best peer"] if "best peer" in ran else []
    x, order = _columns([style for style in styles if style.algorithm in ran and not style.peer], extra)
    rows = [f"{kind}  ({problems[kind]})" for kind in kinds]
    y = alt.Y("row:N", sort=rows, axis=alt.Axis(title=None, ticks=False, domain=False, labelPadding=8))
    subtitle = [
        "Upper number: time ÷ time of the fastest, peers included; geometric mean over the problems that it ran on.",
        "Lower: problems won / run; in brackets: problems of the class. Outlined: most wins. Empty: never timed; "
        "grey on white: hopeless on more",
        "problems than it ran on, so its mean is that of the few it is fit for.",
    ]
    layers = _matrix(cells, x, y, dy=-6)
    return stack(*layers, title=title, subtitle=subtitle, width=50 * len(order), height=36 * len(rows))


def applicability_map(frame: pd.DataFrame, styles: Sequence[Style], title: str) -> alt.LayerChart:
    """Algorithm × problem, one small field each, coloured by status; suites stand apart, each whole."""
    suites = list(dict.fromkeys(frame["suite"]))
    problems = frame.drop_duplicates(KEY)[KEY].sort_values("suite", key=lambda of: of.map(suites.index), kind="stable")
    problems = problems.reset_index(drop=True)
    problems["x"] = problems.index + problems["suite"].map(suites.index)
    columns = int(problems["x"].max()) + 1
    step = max(3.0, min(13.0, 900 / columns))
    cells = frame.merge(problems, on=KEY)[["x", "algorithm", "status"]]
    order = [style.algorithm for style in styles]
    number = cells["status"].value_counts()
    present = [status for status in STATUSES if status in number]
    words = {status: f"{status}: {number[status]}" for status in present}
    cells["status"] = cells["status"].map(words)
    colour = alt.Color(
        "status:N",
        scale=alt.Scale(domain=list(words.values()), range=[STATUSES[status][0] for status in present]),
        legend=alt.Legend(title=None, orient="bottom", symbolType="square", columns=7),
    )
    x = alt.X("x:O", axis=None, scale=alt.Scale(domain=list(range(columns))))
    y = alt.Y("algorithm:N", sort=order, axis=alt.Axis(title=None, ticks=False, domain=False, labelPadding=8))
    squares = alt.Chart(cells).mark_rect(stroke=PAPER, strokeWidth=1).encode(x=x, y=y, color=colour)
    heads = alt.Chart(problems.drop_duplicates("suite")).mark_text(
        angle=315, align="left", dx=4, dy=-4, color=INK, fontSize=12
    )
    return stack(
        squares,
        heads.encode(x=x, y=alt.value(0), text=alt.Text("suite:N")),
        title=title,
        subtitle="one column per problem of a suite",
        width=step * columns,
        height=18 * len(order),
    )
