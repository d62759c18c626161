"""What README and CONTRIBUTING show is run: their Python, the algorithm they walk through, the commands they name."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from convbench.cli.app import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md")


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(autouse=True)
def _own_algorithms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convbench.algorithm._registered", {})


@pytest.mark.usefixtures("user_cache")
@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_python_of_a_page_runs_from_top_to_bottom(document: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = blocks(document, "python")
    assert found
    names: dict[str, object] = {"__name__": "page"}
    for block in found:
        exec(compile(block, document, "exec"), names)
    assert capsys.readouterr().out


def test_the_algorithm_of_the_walk_through_is_right_where_it_applies(tmp_path: Path) -> None:
    file = tmp_path / "rows.py"
    file.write_text(blocks("CONTRIBUTING.md", "python")[0], encoding="utf-8")
    result = CliRunner().invoke(app, ["check", "--algorithms", "rows", "--with", str(file)])
    assert result.exit_code == 0, result.output
    ok = re.search(r"(\d+) ok, (\d+) not applicable, 0 failed", result.output)
    assert ok
    assert int(ok[1]) >= 10
    assert int(ok[2]) >= 10


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_shown_exists(document: str) -> None:
    lines = [line for block in blocks(document, "sh") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith("convbench ")]
    assert commands
    for _, command, *arguments in commands:
        text = CliRunner().invoke(app, [command, "--help"]).output
        assert "Usage" in text
        for option in (argument for argument in arguments if argument.startswith("--")):
            assert option in text, f"{command} has no {option}"


def test_ci_runs_the_command_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    command = next(block.strip() for block in blocks("README.md", "sh") if "nox -s tests" in block)
    positions = [script.index(part.strip()) for part in command.split("&&")]
    assert positions == sorted(positions)


def test_the_results_of_the_readme_are_those_of_the_reference_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.delitem(sys.modules, "readme", raising=False)
    import readme

    run = readme.newest()
    if run is None:
        pytest.skip("no reference run is in this checkout")
    text = readme.README.read_text(encoding="utf-8")
    assert readme.filled(text, readme.block(run)) == text
    assert (run / readme.CHART).is_file()
