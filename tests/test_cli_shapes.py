"""``convbench shapes``: lists of problems counted and converted."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import run

from convbench import suites
from convbench.cli.terminal import batched
from convbench.formats import benchdnn, csv

pytestmark = pytest.mark.usefixtures("own_algorithms")


@pytest.mark.parametrize("suite", ["resnet50", "mobilenetv2", "vgg16"])
def test_shapes_convert_there_and_back(suite: str, tmp_path: Path) -> None:
    table, text = tmp_path / "layers.csv", tmp_path / "layers.txt"
    table.write_text(run("shapes", suite, "--to", "csv").stdout)
    text.write_text(run("shapes", table, "--to", "benchdnn").stdout)
    original = [problem.spec for problem in suites.load(suite)]
    for found in (csv.read(table), benchdnn.read(text)):
        assert found == original
        assert [(spec.name, spec.repeats) for spec in found] == [(spec.name, spec.repeats) for spec in original]


@pytest.mark.parametrize(("suite", "to"), [("vgg16", "deepbench"), ("mobilenetv2", "miopen")])
def test_shapes_in_the_formats_of_other_projects(suite: str, to: str, tmp_path: Path) -> None:
    path = tmp_path / "layers"
    path.write_text(run("shapes", suite, "--to", to, "--batch", "8").stdout)
    found = [problem.spec for problem in suites.resolve(str(path))]
    expected = [batched(problem, 8).spec for problem in suites.load(suite)]
    assert found == expected
    assert [(spec.name, spec.repeats) for spec in found] == [(spec.name, spec.repeats) for spec in expected]


def test_shapes_tell_what_a_log_has_besides(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    lines = (
        f"onednn_verbose,primitive,exec,cpu,convolution,jit,{direction},src_f32::blocked:a::f0,,,mb1_ic3oc4_ih8oh6kh3,1"
        for direction in ("forward_training", "backward_data", "forward_training")
    )
    path.write_text("\n".join(lines))
    result = run("shapes", path)
    assert "1 distinct problem, 2 occurrences" in result.stdout
    assert result.stderr == f"convbench: warning: {path}: convolutions left out: 1 backward f32\n"


def test_shapes_keep_the_class_of_weights(tmp_path: Path) -> None:
    path = tmp_path / "images.txt"
    path.write_text(run("shapes", "images", "--to", "benchdnn").stdout)
    assert [(p.spec, p.weights) for p in suites.resolve(str(path))] == [
        (p.spec, p.weights) for p in suites.load("images")
    ]


def test_shapes_count_distinct_problems_and_occurrences() -> None:
    assert "53 occurrences" in run("shapes", "resnet50").stdout
    converted = run("shapes", "resnet50", "--to", "csv")
    assert "53 occurrences" in converted.stderr
    assert "occurrences;" not in converted.stdout
