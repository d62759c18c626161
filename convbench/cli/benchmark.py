"""``convbench bench`` and ``convbench report``: run with progress, tell who won, remember it."""

from __future__ import annotations

import re
import shlex
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import count as natural
from pathlib import Path

import pandas as pd
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Table
from rich.text import Text

from convbench import choices, peers, report, suites
from convbench.algorithm import list_algorithms
from convbench.bench import records, runner
from convbench.bench.alarms import alarms
from convbench.bench.contender import find
from convbench.bench.crew import WorkerError
from convbench.bench.orders import HOT
from convbench.bench.remember import measured
from convbench.bench.samples import RecordError
from convbench.cli.terminal import Interrupted, UserError, batched, console, names_in, register_files, warn_of_turns
from convbench.driver import checked_limits
from convbench.kernels.threads import available
from convbench.machine import describe
from convbench.report.findings import answer
from convbench.report.problems import PROBLEM
from convbench.report.standing import standing_text
from convbench.units import count

STAGES = {"compile": "compiling", "load": "loading", "measure": "measuring", "done": "done"}
WRONG = ("failed", "crashed")
WIDE = 130  # columns that the whole table of winners needs
BRIEF = ("problem", "winner", "time", "next", "im2col", "best peer")
CAPTION = "next, im2col, naive, best peer: how many times as long they took. ≈: hopeless, one call or a prediction."


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line."""

    problems: Sequence[str]
    algorithms: str | None
    files: Sequence[Path]
    threads: tuple[int, ...]
    budget: float
    out: Path
    peers: bool
    batch: int | None = None
    cache: str = HOT
    details: bool = False

    def command(self) -> str:
        """The command line that continues this run."""
        words = ["convbench", "bench", *self.problems]
        words += ["--algorithms", self.algorithms] if self.algorithms else []
        words += [word for file in self.files for word in ("--with", str(file))]
        words += ["--threads", ",".join(map(str, self.threads))] if self.threads else []
        words += ["--cache", self.cache] if self.cache != HOT else []
        words += ["--details"] if self.details else []
        words += ["--batch", str(self.batch)] if self.batch is not None else []
        words += ["--budget", f"{self.budget:g}", *(["--peers"] if self.peers else []), "--out", str(self.out)]
        return shlex.join(words)

    def contenders(self) -> list[str]:
        """The named ones, or all of ours and the rivals that come with them; ``peers`` adds every rival."""
        rivals = peers.peers()
        ours = [*list_algorithms(), *(name for name, rival in rivals.items() if not rival.optional)]
        return list(dict.fromkeys([*(names_in(self.algorithms) or ours), *(rivals if self.peers else ())]))


def run(asked: Request) -> bool:
    """Measure, write the report, tell and remember who won; False if one of ours was wrong or crashed."""
    for threads in asked.threads:
        checked_limits(threads)
    warn_of_turns(max(asked.threads, default=1))
    theirs = register_files(asked.files)
    config = runner.Config(
        problems=_measurable(
            batched(problem, asked.batch) for text in asked.problems for problem in suites.resolve(text)
        ),
        contenders=asked.contenders(),
        out=asked.out,
        budget=asked.budget,
        threads=max(asked.threads) if asked.threads else available(),
        files=tuple(str(file.resolve()) for file in asked.files),
        cache=asked.cache,
        scaling=asked.threads if len(asked.threads) > 1 else (),
        details=asked.details,
    )
    for name in config.contenders:
        find(name)
    _ensure_writable(config.out)
    screen, spent = console(), Spent()
    try:
        with _display(screen) as show:
            runner.run(config, spent.heard_by(show))
    except (runner.RunError, RecordError, WorkerError) as error:
        raise UserError(str(error)) from error
    except KeyboardInterrupt:
        kept = "interrupted; what was measured is kept. Resume with:"
        raise Interrupted(f"{kept} {asked.command()}") from None
    cells = _tell(config.out, screen)
    if standing := [name for name in theirs if name in config.contenders]:
        screen.print(_table(standing_text(cells, standing)))
    for sentence in alarms(cells, records.environment_of(config.out)):
        typer.echo(f"note: {sentence}")
    _remember(config.out)
    if spent.measuring:
        typer.echo(f"time: {spent}, of a budget of {asked.budget:g} s")
    return _all_right(cells)


@dataclass
class Spent:
    """Seconds of start-up and of measurements, as the runner's messages tell them."""

    start: float = 0.0
    measuring: float = 0.0
    _began: bool = False

    def heard_by(self, show: Callable[[runner.Progress], None]) -> Callable[[runner.Progress], None]:
        """What takes the messages and hands them on."""

        def hear(now: runner.Progress) -> None:
            if not self._began:
                self.start = now.elapsed
            self._began |= now.stage == "measure"
            self.measuring = now.elapsed - self.start
            show(now)

        return hear

    def __str__(self) -> str:
        return f"{self.start:.0f} s of start-up (kernels loaded or compiled), {self.measuring:.0f} s of measurements"


def _measurable(problems: Iterable[suites.Problem]) -> list[suites.Problem]:
    """The problems, all of which have something to compute; UserError names the first that has not."""
    found = list(problems)
    for problem in found:
        if not problem.spec.N:
            raise UserError(f"{problem.spec} has no image: its batch size is 0; a benchmark takes 1 or more")
    return found


def write_report(directory: Path) -> None:
    """Write the report of a run that exists already, and tell where it is."""
    _tell(directory, console())


def fresh_directory(root: Path = Path("results")) -> Path:
    """``results/<cpu>-<date>``, numbered from the second of a day on."""
    cpu = re.sub(r"\(.*?\)|\bcpu\b|\bprocessor\b|@.*", " ", str(describe()["cpu"]), flags=re.IGNORECASE)
    name = "-".join([*re.findall(r"[a-z0-9]+", cpu.lower()), date.today().isoformat()])
    numbered = (root / (name if i == 1 else f"{name}-{i}") for i in natural(1))
    return next(path for path in numbered if not path.exists())


def _ensure_writable(directory: Path) -> None:
    """Refuse before anything is compiled or measured."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise UserError(f"cannot write results to {directory}: {error.strerror}") from error


class _TimeLeft(ProgressColumn):
    """Counts down between the runner's messages, which come once a problem; stands still while kernels are compiled."""

    max_refresh = 1.0

    def render(self, task: Task) -> Text:
        now: runner.Progress | None = task.fields["now"]
        if now is None:
            return Text()
        measuring = now.stage == "measure"
        left = max(0, round(now.left - (time.monotonic() - task.fields["since"] if measuring else 0)))
        return Text(f"{'' if measuring else 'then '}{left // 60}:{left % 60:02} left", style="cyan")


@contextmanager
def _display(screen: Console) -> Iterator[Callable[[runner.Progress], None]]:
    """A callback for the runner: a bar with the time left on a terminal, else a line per problem."""
    if not screen.is_terminal:
        yield _line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _TimeLeft())
    with Progress(*columns, console=screen, transient=True, refresh_per_second=1) as bar:
        task = bar.add_task("starting", total=None, now=None, since=0.0)

        def show(now: runner.Progress) -> None:
            text = f"{STAGES[now.stage]} {now.label}"
            bar.update(task, description=text, completed=now.done, total=now.total, now=now, since=time.monotonic())

        yield show


def _line(now: runner.Progress) -> None:
    if now.stage == "measure":
        typer.echo(f"[{now.done + 1}/{now.total}] {now.label}, {now.left:.0f} s left")
    elif now.stage == "compile":
        typer.echo(f"{STAGES[now.stage]} {now.label}")


def _tell(directory: Path, screen: Console) -> pd.DataFrame:
    """Write the report; print who won where, and where the report is. Gives the run's cells."""
    try:
        cells = records.cells(directory)
    except RecordError as error:
        raise UserError(str(error)) from error
    page = report.write(directory, cells)
    winners = report.winner_table(cells)
    rows = report.winner_text(winners)
    if screen.width < WIDE:
        rows = rows[[*BRIEF]]
    table = _table(rows)
    table.caption, table.caption_justify = CAPTION, "left"
    screen.print(table)
    for sentence in answer(cells.drop_duplicates([*PROBLEM, "algorithm"]), winners.drop_duplicates(PROBLEM)):
        typer.echo(sentence.replace("`", ""))
    typer.echo(f"report: {page}")
    return cells


def _table(rows: pd.DataFrame) -> Table:
    table = Table(box=None, header_style="bold")
    for column in rows.columns:
        table.add_column(column, no_wrap=column in ("winner", "rank", "time"))
    for row in rows.itertuples(index=False):
        table.add_row(*map(Text, row))
    return table


def _remember(directory: Path) -> None:
    """Let fastest() and conv1d/2d/3d() use what was found; a cache that cannot be written costs a warning only."""
    found = measured(directory)
    if not found:
        typer.echo("choices: none recorded; that takes a run of every algorithm on dense weights with hot caches")
        return
    try:
        path = choices.record(found)
    except OSError as error:
        typer.echo(f"convbench: warning: choices are not recorded: {error}", err=True)
        return
    all_of_them = list(records.problems(directory))
    known = f"{len(found)} of {count(len(all_of_them), 'problem')} of this run"
    typer.echo(f"choices: fastest() and conv1d/2d/3d() now know {known} ({path}){_unknown(all_of_them, len(found))}")


def _unknown(every: Sequence[records.Problem], known: int) -> str:
    """Why some problems of a run are not remembered; "" where all are."""
    special = sum(problem.shared["weights"] != "dense" for problem in every)
    others = len(every) - known - special
    why = [f"{special} of rank-1 weights, which a call does not know from others"] if special else []
    why += [f"{others} on which nothing was timed or not every algorithm took part"] if others else []
    return f"; not {' and '.join(why)}" if why else ""


def _all_right(cells: pd.DataFrame) -> bool:
    """Whether none of our algorithms was wrong or crashed; those that were are named."""
    wrong = cells[cells["status"].isin(WRONG) & ~cells["peer"]].drop_duplicates(["spec", "weights", "algorithm"])
    for (name, status), rows in wrong.groupby(["algorithm", "status"]):
        first = rows.iloc[0]
        where = f"{count(len(rows), 'problem')}, first {first['spec']}"
        typer.echo(f"{name} {status} on {where}: {first['reason']}")
    return wrong.empty
