"""What the readers of text share: a file's text, errors with their place, names in comments, repeats."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from convbench.spec import ConvSpec, DescriptorError, SpecError

_LABEL = re.compile(r"(.*?)(?:\*([0-9]{1,18}))?")


def file_text(path: str | Path, encoding: str = "utf-8") -> str:
    """The text of a file. Raises OSError, or DescriptorError if it is no text."""
    try:
        return Path(path).read_text(encoding=encoding)
    except UnicodeDecodeError as error:
        raise DescriptorError(f"expected UTF-8 text; byte {error.start} is not", 1, 1, str(path)) from error


def misread(reason: str, text: str, offset: int, path: str | None) -> DescriptorError:
    """The error for what stands at ``offset`` of a text that came from the file ``path``."""
    line, start = text.count("\n", 0, offset) + 1, text.rfind("\n", 0, offset) + 1
    return DescriptorError(reason, offset - start + 1, line, path)


def label(spec: ConvSpec) -> str:
    """``name*repeats``; no ``*1`` unless the name would be misread without it."""
    return spec.name + (f"*{spec.repeats}" if spec.repeats > 1 or re.search(r"\*[0-9]+$", spec.name) else "")


def comment(sign: str, spec: ConvSpec) -> str:
    """The end of a line that holds name and repeats in formats that have a place for neither."""
    if re.search(r"[\r\n]", spec.name) or spec.name != spec.name.strip():
        raise SpecError(f"name is {spec.name!r}; allowed in a comment: one line without blanks at its ends")
    return f"  {sign} {label(spec)}" if label(spec) else ""


def named(spec: ConvSpec, remark: str) -> ConvSpec:
    """The problem under the name and repeats of such a comment."""
    match = _LABEL.fullmatch(remark.strip())
    name, repeats = match.groups() if match else ("", None)
    return spec.replace(name=name, repeats=int(repeats or 1))


def merged(specs: Iterable[ConvSpec]) -> list[ConvSpec]:
    """Equal problems once, under the first one's name, with their repeats added up."""
    distinct: dict[ConvSpec, ConvSpec] = {}
    for spec in specs:
        first = distinct.get(spec)
        distinct[spec] = first.replace(repeats=first.repeats + spec.repeats) if first else spec
    return list(distinct.values())
