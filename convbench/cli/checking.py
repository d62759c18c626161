"""``convbench check``: algorithms against the oracle, problem by problem so that the oracle runs once for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import typer
from rich.console import Console
from rich.table import Table

from convbench.algorithm import Algorithm, Unsupported
from convbench.algorithm import algorithms as registered
from convbench.bench.contender import find
from convbench.cli.terminal import UserError, console, names_in, problems_of, progress, register_files, warn_of_turns
from convbench.data import KINDS
from convbench.driver import checked_limits
from convbench.machine import write_atomic
from convbench.peers import Peer
from convbench.select import fastest
from convbench.spec import SpecError, nearest
from convbench.suites import Problem
from convbench.units import count
from convbench.verify import Verdict
from convbench.verify import check as compare

AUTO = "auto"
COLUMNS = ("error", "bound", "relative_error", "weak", "checked", "ok", "reason")
"""What the file of verdicts says of each, beside algorithm, spec, dtype and kind of data."""


@dataclass
class Tally:
    """What became of one algorithm's checks; ``worst`` is the largest error / bound, seen on ``where``."""

    ok: int = 0
    weak: int = 0
    inapplicable: int = 0
    failed: int = 0
    worst: float = 0.0
    where: str = ""
    rows: list[dict[str, object]] = field(default_factory=list)

    def add(self, name: str, kind: str, verdict: Verdict) -> None:
        given = {"algorithm": name, "spec": str(verdict.spec), "dtype": verdict.spec.dtype, "kind": kind}
        self.rows.append(given | {column: getattr(verdict, column) for column in COLUMNS})
        self.ok += verdict.ok
        self.weak += verdict.ok and verdict.weak
        self.failed += not verdict.ok
        if verdict.error / verdict.bound > self.worst:
            self.worst, self.where = verdict.error / verdict.bound, str(verdict.spec)


def run(
    texts: Iterable[str],
    wanted: str | None,
    files: Sequence[Path],
    kinds: Sequence[str],
    threads: int,
    batch: int | None,
    file: Path | None,
) -> int:
    """Check, print every failure as it comes and a summary at the end; gives the number of failures.

    What is checked shows in a bar, or where no terminal shows one, in a line per problem on standard error.
    ``file``: where every verdict goes, as CSV.
    """
    checked_limits(threads)
    warn_of_turns(threads)
    register_files(files)
    for kind in kinds:
        if kind not in KINDS:
            raise SpecError(f"kind is {kind!r}; {nearest(kind, KINDS)}")
    contenders = {name: _contender(name) for name in names_in(wanted) or registered()}
    problems = problems_of(texts, batch)
    tallies = {name: Tally() for name in contenders}
    out = console()
    with progress(out) as bar:
        task = bar.add_task("checking", total=len(problems))
        for i, problem in enumerate(problems, 1):
            if not out.is_terminal:
                typer.echo(f"[{i}/{len(problems)}] {problem.spec.name or problem}", err=True)
            for name, contender in contenders.items():
                bar.update(task, description=f"{problem.spec.name or problem.spec} · {name}")
                for kind in kinds:
                    _check(name, contender, problem, kind, threads, tallies[name], out)
            bar.advance(task)
    _summary(tallies, len(problems), out)
    if file is not None:
        frame = pd.DataFrame([row for tally in tallies.values() for row in tally.rows])
        write_atomic(file, frame.to_csv(index=False, float_format="%.4g"))
        out.print(f"verdicts: {file}", markup=False, soft_wrap=True)
    return sum(tally.failed for tally in tallies.values())


def _contender(name: str) -> Algorithm | None:
    """None for ``auto``. A rival's name will do as well, if it is installed."""
    if name == AUTO:
        return None
    contender = find(name)
    if isinstance(contender, Peer) and (missing := contender.available()):
        raise UserError(f"{name}: {missing}")
    return contender


def _check(
    name: str,
    contender: Algorithm | None,
    problem: Problem,
    kind: str,
    threads: int,
    tally: Tally,
    out: Console,
) -> None:
    spec = problem.spec
    if kind == "normal" and problem.weights != "dense":
        kind = problem.weights
    try:
        algorithm = contender or find(fastest(spec, threads=threads).algorithm)
        verdict = compare(algorithm, spec, kind=kind, threads=threads)
    except Unsupported:
        tally.inapplicable += 1
        return
    except Exception as error:
        tally.failed += 1
        out.print(f"{name} on {problem}: FAILED: {type(error).__name__}: {error}", markup=False, soft_wrap=True)
        return
    tally.add(name, kind, verdict)
    if not verdict.ok:
        out.print(str(verdict), markup=False, soft_wrap=True)


def _summary(tallies: dict[str, Tally], problems: int, out: Console) -> None:
    table = Table(box=None, header_style="bold")
    table.add_column("algorithm", no_wrap=True)
    for heading in ("ok", "weak test", "n/a", "failed", "error/bound"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("worst on")
    for name, tally in tallies.items():
        worst = f"{tally.worst:.2f}" if tally.ok + tally.failed else "–"
        counts = map(str, (tally.ok, tally.weak, tally.inapplicable, tally.failed))
        table.add_row(name, *counts, worst, tally.where, style="red" if tally.failed else None)
    out.print(table)
    ok, refused, failed = (
        sum(getattr(tally, field) for tally in tallies.values()) for field in ("ok", "inapplicable", "failed")
    )
    out.print(f"{count(problems, 'problem')}: {ok} ok, {refused} not applicable, {failed} failed")
