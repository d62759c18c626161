"""The suites: complete networks, published work, awkward corners, and how a text names problems."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from convbench import suites
from convbench.formats import csv
from convbench.spec import ConvSpec, SpecError
from convbench.suites import Problem

FILES = sorted(Path(suites.__file__).parent.glob("*.txt"))


def test_names():
    assert suites.names() == [path.stem for path in FILES]
    assert {"default", "smoke", "correctness", "resnet50", "vgg16", "mobilenetv2", "images", "audio"} <= set(
        suites.names()
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_lines_are_canonical_and_distinct(path):
    lines = [line for line in path.read_text().splitlines() if not line.startswith(("#", "--match", "--batch"))]
    texts = [re.sub('n".*', "", line) for line in lines]
    problems = [problem for problem in suites.load(path.stem) if problem.suite == path.stem]
    assert [str(problem) for problem in problems] == texts


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_say_what_they_are(path):
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize(
    ("name", "convolutions", "gmac", "source"),
    [
        ("resnet50", 53, 4.09, "torchvision: 4.09 GFLOPS, which counts multiply-adds"),
        ("vgg16", 13, 15.35, "Simonyan and Zisserman, 15.5 with the classifier's 0.12"),
        ("mobilenetv2", 52, 0.30, "Sandler et al., table 4: 300M multiply-adds"),
    ],
)
def test_networks_are_complete(name, convolutions, gmac, source):
    specs = [problem.spec for problem in suites.load(name)]
    assert sum(spec.repeats for spec in specs) == convolutions
    assert sum(spec.repeats * spec.macs for spec in specs) / 1e9 == pytest.approx(gmac, rel=0.003), source
    assert all(spec.N == 1 and spec.name.startswith(f"{name}:") for spec in specs)


def test_layers_feed_each_other():
    """Every layer's input (channels, size) is the image, or some layer's output, possibly halved by pooling."""
    for name in ("resnet50", "vgg16", "mobilenetv2"):
        specs = [problem.spec for problem in suites.load(name)]
        made = {(3, 224)} | {(spec.K, spec.output_spatial[0] // pool) for spec in specs for pool in (1, 2)}
        assert {(spec.C, spec.spatial[0]) for spec in specs} <= made


def test_correctness_covers_the_features_of_a_spec():
    problems = suites.load("correctness")
    specs = [problem.spec for problem in problems]
    assert {spec.ndim for spec in specs} == {1, 2, 3}
    assert {spec.N for spec in specs} >= {0, 1, 2, 3}
    assert {s for spec in specs for s in spec.stride} >= {1, 2, 3, 4}
    assert {d for spec in specs for d in spec.dilation} >= {1, 2, 3, 4}
    assert {c for spec in specs for c in (spec.C, spec.K)} >= {1, 3, 5, 17, 33}
    assert {"float32", "float64"} == {spec.dtype for spec in specs}
    assert {"dense", "rank1"} == {problem.weights for problem in problems}
    assert any(spec.groups == spec.C and spec.K > spec.C for spec in specs)
    assert any(1 < spec.groups < spec.C for spec in specs)
    assert any(before > after for spec in specs for before, after in spec.canonical_padding)
    assert any(before < after for spec in specs for before, after in spec.canonical_padding)
    assert any(k % 2 == 0 for spec in specs for k in spec.filter)
    assert any(1 in spec.spatial for spec in specs)
    assert max(spec.macs for spec in specs) < 2_000_000


def test_smoke_is_tiny():
    problems = suites.load("smoke")
    assert len(problems) == 6
    assert max(problem.spec.macs for problem in problems) < 200_000


def test_default_takes_over_layers_and_keeps_their_suite():
    problems = suites.load("default")
    assert 60 <= len(problems) <= 75
    origins = {problem.suite for problem in problems}
    assert origins == set(suites.names()) - {"default", "smoke", "correctness", "population", "sweep_map"}
    layers = {problem for name in origins for problem in suites.load(name)}
    assert set(problems) <= layers
    for sweep in ("sweep_size", "sweep_filter", "sweep_channels", "images", "audio"):
        assert set(suites.load(sweep)) <= set(problems), "a suite lost a problem to another suite"


def test_the_population_is_a_sample_that_default_leaves_alone():
    specs = [problem.spec for problem in suites.load("population")]
    assert 150 <= len(specs) <= 200
    assert sum(spec.repeats for spec in specs) == 220
    assert all(re.fullmatch(r"population:[\w.]+", spec.name) for spec in specs)
    assert {spec.filter for spec in specs} >= {(1, 1), (3, 3), (5, 5), (7, 7)}
    assert any(spec.groups == spec.C > 1 for spec in specs)
    assert any(1 < spec.groups < spec.C for spec in specs)
    assert sum(spec.macs for spec in specs) < 25e9, "`check --suite all` runs every algorithm on every problem"
    assert not any(problem.suite == "population" for problem in suites.load("default"))


def test_sweeps_name_their_parameter():
    for problem in suites.load("sweep_size"):
        assert problem.spec.name == f"sweep_size:{problem.spec.spatial[0]}"
    for problem in suites.load("sweep_channels"):
        assert problem.spec.name == f"sweep_channels:{problem.spec.C}"
    for problem in suites.load("sweep_map"):
        spec = problem.spec
        assert spec.name == f"sweep_map:{spec.C}ch_{spec.spatial[0]}_{spec.filter[0]}"
    for problem in suites.load("sweep_filter"):
        assert problem.spec.name == f"sweep_filter:{problem.spec.C}ch_{problem.spec.filter[0]}"


def test_resolve_all_is_every_problem_once():
    problems = suites.resolve("all")
    keys = {(problem.spec, problem.weights) for problem in problems}
    assert len(keys) == len(problems)
    assert {problem.spec.name for problem in suites.load("resnet50")} <= {problem.spec.name for problem in problems}
    assert keys == {(problem.spec, problem.weights) for name in suites.names() for problem in suites.load(name)}


@pytest.mark.parametrize(
    "text", ["mb1ic3ih8oc4oh6kh3", "--dt=f64 mb0ic3iw8oc4ow6kw3", "--weights=rank1 mb1ic1ih8oc1oh6kh3"]
)
def test_resolve_reads_a_problem_back(text):
    (problem,) = suites.resolve(text)
    assert str(problem) == text
    assert problem.suite == ""


def test_resolve_files(tmp_path):
    batch, table = tmp_path / "mine.txt", tmp_path / "mine.csv"
    spec = ConvSpec((1, 3, 8, 8), (4, 3, 3, 3), name="a")
    batch.write_text(f"{spec}\n")
    table.write_text(csv.dumps([spec]))
    assert suites.resolve(str(batch)) == suites.resolve(str(table)) == [Problem(spec, suite="mine")]


def test_equal_problems_of_a_file_are_merged(tmp_path):
    path = tmp_path / "net"
    path.write_text('mb1ic3ih8oc4kh3n"a*2"\nmb1ic3ih8oc4kh3n"b*3"\n--weights=rank1 mb1ic3ih8oc4kh3n"c"\n')
    problems = suites.resolve(str(path))
    assert [(p.spec.name, p.spec.repeats, p.weights) for p in problems] == [("a", 5, "dense"), ("c", 1, "rank1")]


def test_unknown_suites():
    with pytest.raises(
        SpecError, match="suite 'resnet5o' is not known; did you mean 'resnet50'\\? allowed: all, audio"
    ):
        suites.resolve("resnet5o")
    with pytest.raises(SpecError, match="suite 'vgg61' is not known; did you mean 'vgg16'"):
        suites.load("vgg61")
    with pytest.raises(SpecError, match="suite '' is not known"):
        suites.resolve("")


def test_unreadable_texts(tmp_path):
    with pytest.raises(SpecError, match=r"^ic3ih8oc4kh3x: column 13: "):
        suites.resolve("ic3ih8oc4kh3x")
    with pytest.raises(FileNotFoundError, match="missing/shapes"):
        suites.resolve("missing/shapes")
    (tmp_path / "empty").write_text("# nothing\n")
    with pytest.raises(SpecError, match="lists no problem"):
        suites.resolve(str(tmp_path / "empty"))
