"""The report as one HTML page that loads nothing, and as Markdown: both rendered from the same tables and charts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from convbench import units
from convbench.report import findings
from convbench.report.charts import Figure
from convbench.report.maps import STATUSES
from convbench.report.palette import DARK, FONT
from convbench.report.problems import KEY, PROBLEM
from convbench.report.tables import algorithm_table, class_winners, reason_table, spread, winner_text

__all__ = ["Report", "html", "markdown"]

SECTIONS = {
    "map": (
        "Who wins where",
        "Every contender's time over that of the fastest on the same problem. The ratios are medians of ratios taken "
        "round by round, so that a slow moment of the machine cancels.",
    ),
    "size": ("Time against size", "One size varies, everything else is fixed. Both axes are logarithmic."),
    "speedup": (
        "Speed-up over the baselines",
        "naive is the plain loop nest compiled by Numba, python_loops the same in plain Python, im2col the explicit "
        "patch matrix and one BLAS product. Hopeless contenders are not timed: theirs is one call or a prediction.",
    ),
    "peak": (
        "Part of the machine's peak",
        "Nominal flop are those of the direct sum, whatever an algorithm executes. Winograd and FFT execute fewer, so "
        "they may pass 100% of the peak; that is a speed-up over the best possible direct sum, not an error.",
    ),
    "error": (
        "Error against speed",
        "The error is checked before anything is timed, against a float64 sum (long double for float64 problems).",
    ),
    "applicability": (
        "What ran where",
        "skipped: the algorithm does not apply, for the reason below. hopeless: so slow, by prediction or after one "
        "call, that it was not timed. out of budget: the time was over before its turn; a larger budget measures it. "
        "failed: its result is wrong. weak test: the data could not have caught an error.",
    ),
}
PER_PROBLEM = (
    *("name", "process", "loops", "members", "contenders", "cells", "unit", "suite", "spec", "problem_name", "repeats"),
    *("weights", "probe_flop"),
)
"""Metadata of a benchmark that says nothing about the machine, though all of a small run may share it."""


@dataclass(frozen=True)
class Report:
    """All that a page shows: the run's name, its cells and winners, each chart with its SVG, and the environment."""

    name: str
    cells: pd.DataFrame
    winners: pd.DataFrame
    drawn: Sequence[tuple[Figure, str]]
    environment: Mapping[str, str | int | float]


def _code(text: str) -> Markup:
    """`name` of a sentence -> <code>name</code>, everything else escaped."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))


def _cell(text: object) -> str:
    """Text that cannot break a Markdown table."""
    return str(text).replace("|", "\\|").replace("\n", " ")


def _inline(figure: Figure, svg: str) -> Markup:
    """An SVG for the body of a page: its ids made unique, its font left to the style sheet, one description."""
    prefix = f"{figure.name}-"
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = svg.replace("url(#", f"url(#{prefix}").replace('href="#', f'href="#{prefix}')
    svg = svg.replace(f' font-family="{FONT}"', "")
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{escape(figure.words)}" ', 1))


def _anchor(row: Any) -> str:
    """The fragment that links to a problem."""
    return re.sub(r"[^\w.-]+", "-", f"{row.suite}-{row.spec}-{row.weights}")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("convbench.report", "."),
        autoescape=lambda name: bool(name and name.endswith("html.j2")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    named = ("count", "percent", "ratio", "scientific", "seconds", "size")
    environment.filters |= {name: getattr(units, name) for name in named}
    environment.filters |= {"code": _code, "cell": _cell, "anchor": _anchor, "spread": spread}
    environment.tests["nothing"] = pd.isna
    return environment


def _context(report: Report) -> dict[str, Any]:
    """What both templates read."""
    once = report.winners.drop_duplicates(PROBLEM)
    cells = report.cells.drop_duplicates([*PROBLEM, "algorithm"])
    labelled = report.cells.merge(report.winners[[*KEY, "label"]], on=KEY)
    by_section = groupby(sorted(report.drawn, key=lambda drawn: drawn[0].section), key=lambda drawn: drawn[0].section)
    return {
        "name": report.name,
        "answer": findings.answer(cells, once),
        "classes": list(class_winners(once).itertuples(index=False)),
        "winners": list(report.winners.itertuples(index=False)),
        "winner_text": winner_text(report.winners),
        "algorithms": list(algorithm_table(cells, once).itertuples(index=False)),
        "reasons": list(reason_table(cells).itertuples(index=False)),
        "cells": list(labelled.itertuples(index=False)),
        "statuses": [status for status in STATUSES if status in set(report.cells["status"])],
        "suites": list(dict.fromkeys(report.winners["suite"])),
        "sections": SECTIONS,
        "figures": {section: list(drawn) for section, drawn in by_section},
        "machine": {key: value for key, value in sorted(report.environment.items()) if key not in PER_PROBLEM},
    }


def html(report: Report) -> str:
    """The page: inline SVG, style and script; nothing is loaded from anywhere."""
    context = _context(report)
    context["figures"] = {
        section: [(figure, _inline(figure, svg)) for figure, svg in drawn]
        for section, drawn in context["figures"].items()
    }
    return _environment().get_template("page.html.j2").render(context, dark=DARK, font=FONT)


def markdown(report: Report) -> str:
    """The report as Markdown, with the charts as pictures beside it."""
    return _environment().get_template("report.md.j2").render(_context(report))
