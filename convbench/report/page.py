"""The report as one HTML page that loads nothing, and as Markdown: both rendered from the same tables and charts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from convbench import units
from convbench.bench.alarms import alarms
from convbench.report import costs, findings, networks, pareto, phases, regret, scaling
from convbench.report.charts import Figure
from convbench.report.maps import STATUSES
from convbench.report.palette import DARK, FONT
from convbench.report.problems import KEY, PROBLEM, anchor
from convbench.report.sections import SECTIONS, SPEED_UPS
from convbench.report.shown import Shown
from convbench.report.tables import algorithm_table, class_winners, reason_table, spread, winner_text

__all__ = ["SECTIONS", "Report", "html", "markdown"]

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

    @cached_property
    def context(self) -> dict[str, Any]:
        """What both templates read."""
        return _context(self)


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
    svg = svg.replace("url(#", f"url(#{prefix}")
    svg = svg.replace(f' font-family="{FONT}"', "")
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{escape(figure.words)}" ', 1))


def _anchor(row: Any) -> str:
    """The fragment that links to a problem."""
    return anchor(row.suite, row.spec, row.weights)


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
    environment.globals["zip"] = zip
    return environment


def _tables(cells: pd.DataFrame, winners: pd.DataFrame) -> dict[str, tuple[str, Shown]]:
    """The table of each section that has one, with a sentence before it in Markdown's inline code."""
    once = cells.drop_duplicates([*PROBLEM, "algorithm"]), winners.drop_duplicates(PROBLEM)
    regrets = regret.regret_table(once[0])
    even = costs.break_even_table(*once)
    found = {
        "regret": ("", regret.regret_text(regret.regret_summary(regrets, winners))),
        "costs": (costs.paid_back(even), costs.break_even_text(even)),
        "phases": ("", phases.phase_text(phases.phase_table(*once))),
        "scaling": (scaling.verdict(once[0]), scaling.scaling_text(scaling.scaling_table(*once))),
        "networks": ("", networks.network_text(networks.network_table(cells, winners, regrets))),
    }
    return {section: (said, table) for section, (said, table) in found.items() if len(table.frame)}


def _context(report: Report) -> dict[str, Any]:
    once = report.winners.drop_duplicates(PROBLEM)
    cells = report.cells.drop_duplicates([*PROBLEM, "algorithm"])
    labelled = report.cells.merge(report.winners[[*KEY, "label"]], on=KEY)
    labelled["inside"] = labelled[["traced_bytes", "resident_bytes"]].max(axis=1)
    front = pareto.front_table(report.cells).merge(report.winners[[*KEY, "label"]], on=KEY)
    front = front[front["on_front"]]
    by_section = groupby(sorted(report.drawn, key=lambda drawn: drawn[0].section), key=lambda drawn: drawn[0].section)
    return {
        "name": report.name,
        "answer": findings.answer(cells, once),
        "details": findings.details(once),
        "alarms": alarms(report.cells, dict(report.environment)),
        "speed_ups": SPEED_UPS,
        "classes": list(class_winners(once).itertuples(index=False)),
        "winners": list(report.winners.itertuples(index=False)),
        "winner_text": winner_text(report.winners),
        "algorithms": list(algorithm_table(cells, once).itertuples(index=False)),
        "reasons": list(reason_table(cells).itertuples(index=False)),
        "measured": bool(labelled["inside"].notna().any()),
        "cells": list(labelled.itertuples(index=False)),
        "statuses": [status for status in STATUSES if status in set(report.cells["status"])],
        "suites": list(dict.fromkeys(report.winners["suite"])),
        "tables": _tables(report.cells, report.winners),
        "fronts": [list(group.itertuples(index=False)) for _, group in front.groupby(KEY, sort=False)],
        "front": pareto.front_text(front),
        "sections": SECTIONS,
        "figures": {section: list(drawn) for section, drawn in by_section},
        "machine": {key: value for key, value in sorted(report.environment.items()) if key not in PER_PROBLEM},
    }


def html(report: Report) -> str:
    """The page: inline SVG, style and script; nothing is loaded from anywhere."""
    context = report.context
    figures = {
        section: [(figure, _inline(figure, svg)) for figure, svg in drawn]
        for section, drawn in context["figures"].items()
    }
    return _environment().get_template("page.html.j2").render(context | {"figures": figures}, dark=DARK, font=FONT)


def markdown(report: Report) -> str:
    """The report as Markdown, with the charts as pictures beside it."""
    return _environment().get_template("report.md.j2").render(report.context)
