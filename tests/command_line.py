"""The command line for tests: a call of it, what a refusal must be, files of algorithms right and wrong."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner, Result

from convbench.cli.app import app

PROBLEM = "mb1ic3ih7oc4oh7kh3ph1"
RIGHT = """
import numpy as np
from convbench.algorithm import Algorithm

def sliding(plan, x, state, bias, y, work):
    x = np.pad(x, [(0, 0), (0, 0), *plan.padding])
    windows = np.lib.stride_tricks.sliding_window_view(x, plan.filter, axis=(2, 3))
    y[...] = np.einsum("nchwrs,kcrs->nkhw", windows, state)
    y += 0 if bias is None else bias.reshape(-1, 1, 1)

def supports(spec):
    dense = spec.ndim == 2 and spec.groups == 1 and {*spec.stride, *spec.dilation} == {1}
    return None if dense else "only dense two-dimensional problems"

toy = Algorithm("toy", sliding, supports)
"""
WRONG = RIGHT.replace("nchwrs,kcrs", "nchwrs,kcsr")
CRASHING = RIGHT.replace("    y += ", "    raise IndexError('out of range')\n    y += ")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def script(folder: Path, text: str) -> Path:
    path = folder / "toy.py"
    path.write_text(text)
    return path


def refused(result: Result, *fragments: str) -> None:
    """One line on standard error that holds the fragments, and exit code 2."""
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("convbench: error: ")
    for fragment in fragments:
        assert fragment in result.stderr
