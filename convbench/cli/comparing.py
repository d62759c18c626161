"""``convbench compare``: what became slower or faster since a base run, as tables for a terminal or a pull request."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import typer
from rich.table import Table
from rich.text import Text

from convbench.bench.compare import compare, differences, regressions, summarised
from convbench.bench.samples import RecordError
from convbench.bench.stats import LEAST, MINIMAL_EFFECT
from convbench.cli.terminal import UserError, console, names_in
from convbench.report.problems import shape
from convbench.spec import ConvSpec
from convbench.units import NOTHING, count, ratio, seconds

SAID = ("slower", "faster", "even", "broken")
VERDICTS = (*SAID, "unclear")
NOTE = (
    "Ratio: time over the base's, above 1 is slower; means are geometric. Over probe: the same in units of the "
    "multiply-add probe beside each sample, which tells a slower machine from slower code. A change is one of at least "
    f"{MINIMAL_EFFECT:.0%} that both show at 95%, for all cells together; the mean of too few problems, under {LEAST}, "
    "has no interval. Unclear: the probe itself moved by more than 10% between the runs."
)


def run(runs: Sequence[Path], wanted: str | None, markdown: bool, fail_above: str | None, force: bool) -> bool:
    """Compare every later run with the first; False if something is slower than allowed, or broken."""
    above = None if fail_above is None else fraction(fail_above)
    names = _renamed(wanted)
    base, *others = runs
    said: list[str] = []
    for other in others:
        try:
            _guard(base, other, force)
            frame = compare(base, other, names)
        except RecordError as error:
            raise UserError(str(error)) from error
        if wanted and (lost := set(_labels(names or {})) - set(frame["algorithm"])):
            raise UserError(f"{base} does not hold {', '.join(sorted(lost))}")
        _show(f"{_name(other)} against {_name(base)}", frame, markdown)
        said += [] if above is None else regressions(frame, above)
    for line in said:
        typer.echo(f"above {100 * (above or 0):g}%: {line}", err=True)
    return not said


def fraction(text: str) -> float:
    """5% -> 0.05; a number without the sign is percent as well. UserError says what is allowed."""
    if not re.fullmatch(r"\d+(\.\d+)?%?", text):
        raise UserError(f"--fail-above is {text!r}; allowed: a percentage such as 5% (5 is the same)")
    return float(text.removesuffix("%")) / 100


def _renamed(wanted: str | None) -> dict[str, str] | None:
    """``a,b:c`` -> a stays a, b of the base is compared with c."""
    names = names_in(wanted)
    return None if names is None else {name.partition(":")[0]: name.rpartition(":")[2] for name in names}


def _labels(names: Mapping[str, str]) -> list[str]:
    return [old if old == new else f"{old}:{new}" for old, new in names.items()]


def _guard(base: Path, other: Path, force: bool) -> None:
    found = differences(base, other)
    if found and not force:
        raise UserError(f"{base} and {other} cannot be compared: {'; '.join(found)}; allowed: --force")
    for difference in found:
        typer.echo(f"convbench: warning: {_name(other)} against {_name(base)}: {difference}", err=True)


def _name(run: Path) -> str:
    path = run.resolve()
    return path.name if path.is_dir() else f"{path.parent.name}/{path.name}"


def _show(title: str, frame: pd.DataFrame, markdown: bool) -> None:
    summary = summarised(frame)
    summary = summary[(summary["cells"] > 0) | (summary["broken"] > 0)]
    once = frame.drop_duplicates(["spec", "weights", "algorithm"])
    changed = once[once["verdict"].isin(["slower", "faster", "broken"])].sort_values("ratio", ascending=False)
    absent = int((once["reason"] == "not in the later run").sum())
    tables = [_means(summary[summary["of"] == of], of) for of in ("algorithm", "suite")]
    headline = f"{title}: {_counted(once)}" + (f"; {count(absent, 'cell')} of the base not run" if absent else "")
    if markdown:
        parts = [f"### {headline}", *map(_markdown, [*tables, _cells(changed)]), NOTE]
        typer.echo("\n\n".join(part for part in parts if part))
        return
    typer.echo(headline)
    for table in (table for table in [*tables, _cells(changed)] if len(table)):
        printed = Table(*table.columns, box=None, header_style="bold")
        for row in table.itertuples(index=False):
            printed.add_row(*map(Text, row))
        console().print(printed)
    typer.echo(NOTE)


def _counted(once: pd.DataFrame) -> str:
    verdicts = once["verdict"].value_counts()
    return ", ".join(
        f"{verdicts.get(verdict, 0)} {verdict}" for verdict in VERDICTS if verdict in SAID or verdict in verdicts
    )


def _interval(row: Any) -> str:
    known = row.ratio_low == row.ratio_low
    return f"{row.ratio_low:.2f} – {row.ratio_high:.2f}" if known else NOTHING


def _means(summary: pd.DataFrame, of: str) -> pd.DataFrame:
    rows = [
        {
            of: f"{row.name} (rival)" if row.peer else row.name,
            "cells": str(row.cells),
            "ratio": ratio(row.ratio),
            "95%": _interval(row),
            "over probe": ratio(row.probe_ratio),
            "verdict": row.verdict,
            **{name: str(getattr(row, name)) for name in ("slower", "faster", "broken")},
        }
        for row in summary.itertuples(index=False)
    ]
    return pd.DataFrame(rows)


def _cells(changed: pd.DataFrame) -> pd.DataFrame:
    rows = [
        {
            "problem": shape(ConvSpec.parse(row.spec), row.weights),
            "algorithm": row.algorithm,
            "base": seconds(row.base_time),
            "now": seconds(row.time),
            "ratio": ratio(row.ratio),
            "95%": _interval(row),
            "over probe": "paired" if row.paired else ratio(row.probe_ratio),
            "verdict": row.reason if row.verdict == "broken" else row.verdict,
        }
        for row in changed.itertuples(index=False)
    ]
    return pd.DataFrame(rows)


def _markdown(table: pd.DataFrame) -> str:
    if table.empty:
        return ""
    rows = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |" for row in rows)
