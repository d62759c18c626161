"""What algorithms gain from threads, beside what the machine itself had to give."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from convbench.bench.gains import conclusive, gains, no_cores
from convbench.report.curves import TIMES
from convbench.report.layout import LogAxis, spread, stack
from convbench.report.palette import COLOUR, INK, MUTED, SHAPE, Style, dress
from convbench.report.problems import KEY, anchor
from convbench.report.shown import Column, Shown
from convbench.report.tables import geometric_mean
from convbench.units import percent, ratio, seconds

__all__ = ["scaling_chart", "scaling_table", "scaling_text", "verdict"]

WIDTH, HEIGHT = 460, 360


def scaling_table(cells: pd.DataFrame, winners: pd.DataFrame) -> pd.DataFrame:
    """One row per cell and number of threads: KEY, label, anchor, algorithm, threads, seconds, gain, low, high,
    machine (the multiply-add probe's gain), efficiency, busy (processors that worked), note, judged (whether the
    kernel was to use the threads and the machine had them to give; of a run whose machine had not, none is)."""
    scaled = cells[cells["scaling"] != ""].merge(winners[[*KEY, "label"]], on=KEY)
    rows, known = [], conclusive([gains(text)[-1] for text in scaled["scaling"]])
    for cell in scaled.itertuples(index=False):
        head = (cell.suite, cell.spec, cell.weights, cell.label, anchor(cell.suite, cell.spec, cell.weights))
        several = gains(cell.scaling)
        judged = known and several[-1].kernel_threads > 1 and several[-1].judged
        for gain in several:
            found = (gain.threads, gain.seconds.median, gain.gain.median, gain.gain.low, gain.gain.high)
            note = "" if gain.alarm and not known else gain.note
            rows.append((*head, cell.algorithm, *found, gain.machine.median, gain.efficiency, gain.busy, note, judged))
    columns = [*KEY, "label", "anchor", "algorithm", "threads", "seconds", "gain", "low", "high", "machine"]
    return pd.DataFrame(rows, columns=[*columns, "efficiency", "busy", "note", "judged"])


def verdict(cells: pd.DataFrame) -> str:
    """That nothing follows from the table, where nothing does."""
    most = [gains(text)[-1] for text in cells.loc[cells["scaling"] != "", "scaling"]]
    if conclusive(most):
        return ""
    return f"{no_cores(most[0].threads).capitalize()} during this run: no kernel is judged by these numbers."


def scaling_text(table: pd.DataFrame) -> Shown:
    """The table in words."""
    columns = (
        *(Column("problem", "label"), Column("algorithm", "algorithm"), Column("threads", "threads", str)),
        *(Column("time", "seconds", seconds), Column("gain", "gain", ratio), Column("from", "low", ratio)),
        *(Column("to", "high", ratio), Column("machine's gain", "machine", ratio)),
        *(Column("gain per thread", "efficiency", percent), Column("processors busy", "busy", "{:.1f}".format)),
        Column("note", "note"),
    )
    return Shown(table, columns, link="anchor")


def scaling_chart(table: pd.DataFrame, looks: Sequence[Style], title: str) -> alt.LayerChart:
    """Gain against threads, both logarithmic: a line per algorithm, the machine's own in grey, one for one dashed."""
    groups = table.groupby(["algorithm", "threads"])["gain"].apply(geometric_mean).reset_index()
    lines = dress(groups, looks)
    machine = table.groupby("threads")["machine"].apply(geometric_mean).reset_index()
    most = float(table["threads"].max())
    values = pd.concat([lines["gain"], machine["machine"], pd.Series([1.0, most])])
    across, upright = LogAxis(1.0, most, WIDTH), LogAxis(values.min(), values.max(), HEIGHT)
    ticks = alt.Axis(values=sorted(set(table["threads"])), format="d", grid=False)
    x = alt.X("threads:Q", scale=across.scale, title="threads", axis=ticks)
    y = alt.Y("gain:Q", scale=upright.scale, title="time on one thread ÷ time",
              axis=alt.Axis(values=upright.ticks(), labelExpr=TIMES))  # fmt: skip
    ends = lines.sort_values("threads").groupby("algorithm", sort=False).tail(1).reset_index(drop=True)
    ends["pixel"] = HEIGHT - np.array(spread([upright.pixel(gain) for gain in ends["gain"]], 15))
    ends["text"] = [f"{row.algorithm} {ratio(row.gain)}" for row in ends.itertuples(index=False)]
    ideal = alt.Chart(pd.DataFrame({"threads": [1.0, most], "gain": [1.0, most]}))
    key = alt.Y("pixel:Q", scale=None, axis=None)
    drawn = alt.Chart(lines)
    return stack(
        ideal.mark_line(color=MUTED, strokeDash=[4, 3], strokeWidth=1.5).encode(x=x, y=y),
        alt.Chart(machine).mark_line(color=MUTED, strokeWidth=5, opacity=0.5).encode(x=x, y=alt.Y("machine:Q")),
        drawn.mark_line(strokeWidth=2).encode(x=x, y=y, color=COLOUR, detail=alt.Detail("algorithm:N")),
        drawn.mark_point(size=50, filled=True, opacity=1).encode(x=x, y=y, color=COLOUR, shape=SHAPE),
        alt.Chart(ends).mark_point(size=50, filled=True, opacity=1).encode(
            x=alt.value(WIDTH + 16), y=key, color=COLOUR, shape=SHAPE
        ),
        alt.Chart(ends).mark_text(align="left", fontSize=12, color=INK).encode(
            x=alt.value(WIDTH + 26), y=key, text=alt.Text("text:N")
        ),
        title=title,
        subtitle="geometric means over problems shared by threads; grey: the multiply-add probe; dashed: one for one",
        width=WIDTH,
        height=HEIGHT,
    )  # fmt: skip
