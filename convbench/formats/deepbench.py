"""DeepBench's C++ rows of problems, 2-D and float32:

    std::make_tuple(w, h, c, n, k, filter_w, filter_h, pad_w, pad_h, wstride, hstride)

Width stands before height, padding is that of both sides. All else in the file is skipped, rows in comments too; a
comment behind a row is its name, `// conv1*3` with repeats. Source: DeepBench (Apache-2.0),
code/kernels/conv_problems.h.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from convbench.formats.text import comment, file_text, misread, named
from convbench.spec import ConvSpec, SpecError

FIELDS = ("w", "h", "c", "n", "k", "filter_w", "filter_h", "pad_w", "pad_h", "wstride", "hstride")
_TOKEN = re.compile(r"//(?P<remark>[^\n]*)|/\*.*?\*/|\bmake_tuple\s*\((?P<row>[^()]*)", re.DOTALL)


def read(path: str | Path) -> list[ConvSpec]:
    """The problems of a file, one a row. Raises OSError, or SpecError with file, line and column."""
    return loads(file_text(path), str(path))


def loads(text: str, path: str | None = None) -> list[ConvSpec]:
    """The problems of a text; `path` stands in the errors."""
    specs: list[ConvSpec] = []
    end = 0
    for token in _TOKEN.finditer(text):
        if token["row"] is not None:
            specs.append(_spec(token, text, path))
            end = token.end()
        elif token["remark"] and specs and "\n" not in text[end : token.start()]:
            specs[-1] = named(specs[-1], token["remark"])
    return specs


def dumps(specs: Iterable[ConvSpec]) -> str:
    """One row a problem: `loads` gives them back. SpecError for what a row cannot hold."""
    return f"// {', '.join(FIELDS)}\n" + "".join(f"{_row(spec)},{comment('//', spec)}\n" for spec in specs)


def _row(spec: ConvSpec) -> str:
    padding = spec.symmetric_padding
    plain = (spec.ndim, spec.dtype, spec.layout, spec.groups, {*spec.dilation}) == (2, "float32", "NCHW", 1, {1})
    if padding is None or not plain:
        allowed = "2-D, float32, NCHW, dense, one group, the same padding on both sides"
        raise SpecError(f"problem is {spec}; allowed in a DeepBench row: {allowed}")
    numbers = (*spec.spatial[::-1], spec.C, spec.N, spec.K, *spec.filter[::-1], *padding[::-1], *spec.stride[::-1])
    return f"std::make_tuple({', '.join(map(str, numbers))})"


def _spec(token: re.Match[str], text: str, path: str | None) -> ConvSpec:
    start = token.start("row")
    values = list(re.finditer(r"[^,]+", token["row"]))
    if len(values) != len(FIELDS):
        reason = f"found {len(values)} values; allowed: {len(FIELDS)} integers, {', '.join(FIELDS)}"
        raise misread(reason, text, start, path)
    for field, value in zip(FIELDS, values, strict=True):
        if not re.fullmatch(r"\s*-?[0-9]{1,19}\s*", value[0]):
            column = start + value.start() + len(value[0]) - len(value[0].lstrip())
            raise misread(f"{field} is {value[0].strip()!r}; allowed: an integer", text, column, path)
    W, H, C, N, K, S, R, pad_w, pad_h, stride_w, stride_h = (int(value[0]) for value in values)
    try:
        return ConvSpec((N, C, H, W), (K, C, R, S), stride=(stride_h, stride_w), padding=(pad_h, pad_w))
    except SpecError as error:
        raise misread(str(error), text, start, path) from error
