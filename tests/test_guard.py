"""No algorithm touches memory outside its operands: each runs with all of them flush against unreadable pages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from convbench.algorithm import algorithms

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="mprotect is POSIX's")


def run_guarded(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    return subprocess.run(
        [sys.executable, str(HERE / "guarded.py"), *arguments], env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("count", [12, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", algorithms())
def test_operands_flush_against_unreadable_pages(name: str, count: int) -> None:
    done = run_guarded(name, str(count), "0")
    cases = done.stdout.splitlines()
    if done.returncode < 0:
        trace = "\n".join(done.stderr.splitlines()[:8])
        pytest.fail(f"signal {-done.returncode}: memory out of bounds: {cases[-1] if cases else name}\n{trace}")
    assert done.returncode == 0, "\n".join([*cases[-2:], done.stderr])
    assert len(cases) == 2 * count


@pytest.mark.parametrize("operand", ["x", "y", "work", "bias", "state"])
@pytest.mark.parametrize("side", ["front", "back"])
def test_one_element_out_of_bounds_is_caught(operand: str, side: str) -> None:
    """The guard itself: reading one element beside an operand, on either side, ends the process."""
    source = f"""
import ctypes, numpy as np
from guarded import Guard
from convbench.algorithm import Algorithm
guard = Guard()
array = guard.empty({operand!r}, (5,), np.float32, {side == "back"})
array[...] = 1
address = array.ctypes.data + ({"array.nbytes" if side == "back" else "-4"})
print("placed", flush=True)
ctypes.c_float.from_address(address).value
print("not caught", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", source], cwd=HERE, env={**os.environ, "PYTHONPATH": str(HERE.parent)},
                          capture_output=True, text=True)  # fmt: skip
    assert done.stdout == "placed\n", done.stderr
    assert done.returncode < 0


def test_a_write_to_what_run_may_only_read_is_caught() -> None:
    source = """
import numpy as np
from guarded import Guard
copy = Guard().copy("x", np.ones(5, np.float32), True)
print("placed", flush=True)
copy[0] = 2
print("not caught", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", source], cwd=HERE, env={**os.environ, "PYTHONPATH": str(HERE.parent)},
                          capture_output=True, text=True)  # fmt: skip
    assert done.stdout == "placed\n", done.stderr
    assert done.returncode < 0
