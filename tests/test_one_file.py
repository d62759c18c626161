"""An algorithm is one file: put into the folder, or handed over from outside, it is known everywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from typer.testing import CliRunner

import convbench as cb
from convbench.algorithm import Algorithm, UnknownAlgorithm, algorithms, load_file, unregister
from convbench.cli.app import app
from convbench.data import arrays

PACKAGE = Path(cb.__file__).parent

#: All that an author writes: run, and a name.
TOY = dedent('''
    """The definition with NumPy, for one group, unit stride and dilation, without padding."""

    from itertools import product

    from convbench.algorithm import Algorithm


    def supports(spec):
        if spec.groups != 1 or {*spec.stride, *spec.dilation} != {1} or any(map(any, spec.padding)):
            return "toy takes dense problems only"


    def run(plan, x, state, bias, y, work):
        y[...] = 0 if bias is None else bias.reshape(-1, *(1 for _ in plan.filter))
        for tap in product(*map(range, plan.filter)):
            at = tuple(slice(r, r + p) for r, p in zip(tap, plan.output_spatial))
            for k in range(plan.K):
                for c in range(plan.C):
                    y[:, k] += state[(k, c, *tap)] * x[(slice(None), c, *at)]


    toy = Algorithm(name="toy", run=run, supports=supports, claim="the definition")
''')
DENSE = cb.ConvSpec((2, 3, 8, 9), (4, 3, 3, 2))
PADDED = DENSE.replace(padding=1)


def forget() -> None:
    if "toy" in algorithms():
        unregister("toy")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "toy.py"
    path.write_text(TOY)
    yield path
    forget()


def command(*arguments: str) -> str:
    """What the command line prints; what it registers is forgotten, as when its process ends."""
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    forget()
    return result.output


IN_A_COPY = f"""
import convbench as cb
from typer.testing import CliRunner
from convbench.cli.app import app
from convbench.data import arrays

dense, padded = cb.ConvSpec.parse({str(DENSE)!r}), cb.ConvSpec.parse({str(PADDED)!r})
assert "toy" in cb.list_algorithms() == sorted(cb.list_algorithms())
assert cb.check("toy", dense).ok
x, w, bias = arrays(dense)
assert cb.kernel(dense, "toy").algorithm == "toy"
assert (cb.kernel(dense, "toy")(x, w, bias) == cb.conv2d(x, w, bias, algorithm="toy")).all()
rows = {{row.algorithm: row for row in cb.explain(dense).rows}}
assert rows["toy"].kernel is not None and rows["toy"].predicted > 0
rows = {{row.algorithm: row for row in cb.explain(padded).rows}}
assert rows["toy"].reason == "toy takes dense problems only"
for arguments in (["algorithms"], ["explain", str(padded)], ["check", str(dense), "--algorithms", "toy"]):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0 and "toy" in result.output, result.output
"""


def test_a_file_in_the_folder_is_all_it_takes(tmp_path: Path) -> None:
    """In a copy of the package: registry, check, kernel, conv2d, explain and command line know the new file."""
    shutil.copytree(PACKAGE, tmp_path / "convbench", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "convbench" / "algorithms" / "toy.py").write_text(TOY)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", IN_A_COPY], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_file_from_outside(file: Path) -> None:
    (toy,) = load_file(file)
    assert isinstance(toy, Algorithm)
    assert "toy" in cb.list_algorithms()
    assert cb.check("toy", DENSE).ok
    x, w, bias = arrays(DENSE)
    np.testing.assert_allclose(
        cb.conv2d(x, w, bias, algorithm="toy"), cb.kernel(DENSE, "direct")(x, w, bias), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(cb.Unsupported, match="toy takes dense problems only"):
        cb.kernel(PADDED, "toy")
    assert "toy" in str(cb.explain(DENSE))
    unregister("toy")
    assert "toy" not in cb.list_algorithms()
    with pytest.raises(UnknownAlgorithm, match="unknown algorithm 'toy'"):
        cb.conv2d(x, w, bias, algorithm="toy")  # planned before, and remembered


def test_auto_sees_an_algorithm_registered_later() -> None:
    quick = Algorithm(name="quick", run=print, cost=lambda plan, machine: 0.0, error=lambda plan: 0.0)
    before = cb.fastest(DENSE).algorithm
    cb.register(quick)
    try:
        assert cb.fastest(DENSE).algorithm == "quick"
    finally:
        unregister("quick")
    assert cb.fastest(DENSE).algorithm == before


def test_the_command_line_takes_a_file(file: Path) -> None:
    assert "toy" not in command("algorithms")
    assert "toy" in command("algorithms", "--with", str(file))
    assert "toy takes dense problems only" in command("explain", str(PADDED), "--with", str(file))
    assert "toy" in command("check", str(DENSE), "--algorithms", "toy", "--with", str(file))


def test_registering_again_is_harmless_and_another_of_the_name_refused(file: Path) -> None:
    (toy,) = load_file(file)
    assert cb.register(toy) is toy
    with pytest.raises(cb.SpecError, match="'toy' is registered already"):
        cb.register(Algorithm(name="toy", run=print))
    with pytest.raises(cb.SpecError, match="'direct' is registered already"):
        cb.register(Algorithm(name="direct", run=print))
    assert algorithms()["toy"] is toy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "toy.py holds no Algorithm"),
        ("1 / 0", "toy.py: ZeroDivisionError: division by zero"),
        ("def f(:", "toy.py: SyntaxError"),
        ("import not_a_module_at_all", "toy.py: ModuleNotFoundError"),
    ],
)
def test_a_file_that_cannot_be_used(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(cb.SpecError, match=message):
        load_file(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(cb.SpecError, match=r"cannot read algorithms from .*missing.py"):
        load_file(tmp_path / "missing.py")
    with pytest.raises(cb.SpecError, match="cannot read algorithms from"):
        load_file(tmp_path)


def test_only_algorithms_can_be_registered() -> None:
    with pytest.raises(cb.SpecError, match="register takes an Algorithm, not function"):
        cb.register(lambda x: x)  # type: ignore[arg-type]
    with pytest.raises(UnknownAlgorithm, match="'direct' was not registered"):
        unregister("direct")
