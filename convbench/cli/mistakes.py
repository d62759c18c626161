"""What becomes of a user's mistakes, of warnings and of Ctrl-C: one line on standard error and an exit code."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from convbench.algorithm import Unsupported
from convbench.cli.terminal import Interrupted, UserError
from convbench.spec import DTypeError, SpecError

_OPTION_IN_DESCRIPTOR = re.compile(r"--(dt|mb|match|weights)=\S+\s")
MISTAKES = (SpecError, DTypeError, Unsupported, UserError, OSError)
UsageError: Any = typer.BadParameter.__base__
"""Unknown options, missing arguments, values of the wrong type: Click's, wherever this version of Typer keeps it."""


def _end(message: str, code: int) -> NoReturn:
    typer.echo(f"convbench: {message}", err=True)
    raise typer.Exit(code)


def _descriptors_last(arguments: list[str]) -> list[str]:
    """``--dt=f64 mb1…`` is one problem, as ``str(spec)`` gives it, and no option: it goes behind a ``--``."""
    found = [argument for argument in arguments if _OPTION_IN_DESCRIPTOR.match(argument)]
    if not found or "--" in arguments:
        return arguments
    return [*(argument for argument in arguments if argument not in found), "--", *found]


class Commands(TyperGroup):
    """A user's mistakes, warnings and Ctrl-C as one line each; a bug of ours keeps its traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args:  # the help, and no mistake
            return super().parse_args(ctx, args)
        with _in_one_line():
            return super().parse_args(ctx, _descriptors_last(args))

    def invoke(self, ctx: Any) -> Any:
        with warnings.catch_warnings(), _in_one_line():
            warnings.showwarning = lambda message, *_, **__: typer.echo(f"convbench: warning: {message}", err=True)
            return super().invoke(ctx)


@contextmanager
def _in_one_line() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except UsageError as error:
        command = error.ctx.command_path if error.ctx else "convbench"
        message = " ".join(error.format_message().split()).rstrip(".")
        _end(f"error: {message}; `{command} --help` says what is allowed", 2)
    except MISTAKES as error:
        _end(f"error: {_one_line(error)}", 2)
    except Interrupted as interruption:
        _end(str(interruption), 130)
    except KeyboardInterrupt:
        _end("interrupted", 130)


def _one_line(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = str(error)
    return " ".join(text.split())
