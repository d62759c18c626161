"""What the commands share: errors for people, the console, problems and algorithms from their names."""

from __future__ import annotations

import dataclasses
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from convbench import suites
from convbench.machine import processors
from convbench.suites import Problem
from convbench.units import count

PIPED_WIDTH = 150  # columns of tables that no terminal shows


class UserError(Exception):
    """A mistake on the command line that no part of the library knows of."""


class Interrupted(Exception):
    """Ctrl-C; the message says how to go on."""


def console() -> Console:
    """Standard output; wide where it is a file or a pipe."""
    known = sys.stdout.isatty() or os.environ.get("COLUMNS")
    return Console(highlight=False, width=None if known else PIPED_WIDTH)


def progress(out: Console) -> Progress:
    """A bar with the time left; nothing where no terminal shows it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=out, transient=True, disable=not out.is_terminal)


def problems_of(texts: Iterable[str], batch: int | None = None) -> list[Problem]:
    """The problems that the texts name, each once; with ``batch`` images where it is given."""
    found: dict[tuple[object, str], Problem] = {}
    for text in texts:
        for problem in suites.resolve(text):
            problem = batched(problem, batch)
            found.setdefault((problem.spec, problem.weights), problem)
    return list(found.values())


def batched(problem: Problem, batch: int | None) -> Problem:
    """The problem with ``batch`` images; None leaves it alone."""
    if batch is None:
        return problem
    shape = (batch, *problem.spec.input_shape[1:])
    return dataclasses.replace(problem, spec=problem.spec.replace(input_shape=shape))


def names_in(text: str | None) -> list[str] | None:
    """``a, b`` -> ["a", "b"], each once; None for every algorithm."""
    if text is None:
        return None
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UserError("--algorithms names no algorithm; `convbench algorithms` lists them")
    return names


def threads_in(text: str | None) -> tuple[int, ...]:
    """``1,2,4`` -> (1, 2, 4), ascending; nothing for None."""
    if text is None:
        return ()
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise UserError(f"--threads is {text!r}; allowed: a number above 0, or several such as 1,2,4")
    return tuple(sorted({int(word) for word in words}))


def warn_of_turns(threads: int) -> None:
    """One line where threads are more than the processors: they are allowed, but their times say little."""
    allowed = processors()
    if threads > allowed:
        found = count(allowed, "processor")
        warnings.warn(f"{threads} threads take turns on the {found} that this process may use", stacklevel=2)


def register_files(files: Sequence[Path]) -> list[str]:
    """Make the user's algorithms known; gives their names."""
    from convbench.algorithm import load_file

    return [algorithm.name for file in files for algorithm in load_file(file)]
