"""Named sets of problems: one file `<name>.txt` each, in the batch-file format of `convbench.formats.benchdnn`.

A line is a descriptor with a name, `mb1ic3ih224oc64oh112kh7sh2ph3n"resnet50:conv1"`; `*4` at the end of the name says
how often the network runs that layer. `--weights=rank1` in front of it says that every filter is an outer product, as
in a Gaussian blur. A problem that stands twice is kept once: within a file its repeats add up.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable
from pathlib import Path

from convbench.arguments import nearest
from convbench.formats import benchdnn, detect
from convbench.formats.benchdnn import Entry
from convbench.spec import ConvSpec, DescriptorError, SpecError

_DIRECTORY = Path(__file__).parent
_DESCRIPTOR = re.compile(r"\s*(--|(mb|g|[io]c|[iokspd][dhw])_?[0-9])")


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is measured: a spec, the class of its weights ("dense" or "rank1"), and the suite that lists it."""

    spec: ConvSpec
    weights: str = "dense"
    suite: str = ""

    def __str__(self) -> str:
        """The text that `resolve` reads back, without name and suite."""
        return str(self.spec) if self.weights == "dense" else f"--weights={self.weights} {self.spec}"


def names() -> list[str]:
    """The suites that exist, sorted."""
    return sorted(path.stem for path in _DIRECTORY.glob("*.txt"))


def load(name: str) -> list[Problem]:
    """The problems of one suite; those it takes over from another suite carry that one's name."""
    if name not in names():
        raise SpecError(f"suite {name!r} is not known; {nearest(name, names())}")
    return _problems(benchdnn.read_entries(_DIRECTORY / f"{name}.txt"))


def resolve(text: str) -> list[Problem]:
    """The problems of a suite's name, "all" (every suite), a descriptor, or a file in any of the formats.

    Formats are told apart as `convbench.formats.detect` says: descriptors, CSV, ONNX, DeepBench, MIOpenDriver, logs of
    oneDNN. A problem that several suites of "all" list belongs to the shortest of them.
    Raises SpecError, with the nearest name for an unknown one, or OSError.
    """
    problems = _resolve(text)
    if not problems:
        raise SpecError(f"{text} lists no problem; allowed: at least one")
    return problems


def _resolve(text: str) -> list[Problem]:
    if text == "all":
        return _all()
    if text in names():
        return load(text)
    path = Path(text)
    if os.path.isdir(text):
        raise SpecError(f"{text} is a directory; allowed: a suite, a descriptor, a file of problems")
    if detect.is_named(path) or os.path.isfile(text):
        return _problems(detect.read_entries(path))
    if _DESCRIPTOR.match(text):
        return _inline(text)
    if path.suffix or len(path.parts) > 1:
        return _problems(detect.read_entries(path))
    known = nearest(text, ["all", *names()])
    raise SpecError(f"suite {text!r} is not known; {known}, a descriptor, a file")


def _inline(text: str) -> list[Problem]:
    """The problems of a descriptor; errors name it and the column, as there is no file."""
    try:
        return _problems(benchdnn.entries(text))
    except DescriptorError as error:
        if error.path:  # of a --batch in it
            raise
        raise DescriptorError(error.reason, error.column, path=text) from None


def _all() -> list[Problem]:
    distinct: dict[tuple[ConvSpec, str], Problem] = {}
    for problems in sorted(map(load, names()), key=len):
        for problem in problems:
            distinct.setdefault((problem.spec, problem.weights), problem)
    return list(distinct.values())


def _problems(entries: Iterable[Entry]) -> list[Problem]:
    distinct: dict[tuple[ConvSpec, str], Entry] = {}
    for entry in entries:
        key = entry.spec, entry.weights
        first = distinct.setdefault(key, entry)
        if first is not entry and first.source == entry.source:
            repeats = first.spec.repeats + entry.spec.repeats
            distinct[key] = dataclasses.replace(first, spec=first.spec.replace(repeats=repeats))
    return [
        Problem(entry.spec, entry.weights, entry.source.stem if entry.source else "") for entry in distinct.values()
    ]
