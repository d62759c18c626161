"""Tables of 2-D layers, one a row, in the layout of a survey of the convolutions in timm's models.

Columns, in any order: channels, height, width, out_channels, kernel_h, kernel_w. If there, both or all of a kind:
stride_h, stride_w (else 1), pad_top, pad_bottom, pad_left, pad_right (else 0), dilation_h, dilation_w (else 1), groups
(else 1); occurrences (repeats, else 1) and example (name). Other columns are ignored: `bias` is an operand of the call,
not part of the problem. Rows are float32 at batch 1.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from convbench.formats.text import file_text
from convbench.spec import ConvSpec, SpecError

NEEDED = ("channels", "height", "width", "out_channels", "kernel_h", "kernel_w")
KINDS = {
    ("stride_h", "stride_w"): 1,
    ("pad_top", "pad_bottom", "pad_left", "pad_right"): 0,
    ("dilation_h", "dilation_w"): 1,
    ("groups",): 1,
}
"""Columns that may be left out, a kind as a whole -> the value that they then have."""
DEFAULTS = {column: value for kind, value in KINDS.items() for column in kind}
COLUMNS = (*NEEDED, *DEFAULTS)


def read(path: str | Path) -> list[ConvSpec]:
    """The layers of a CSV file. Raises OSError, or SpecError with file, line and column name."""
    return loads(file_text(path, "utf-8-sig"), str(path))


def loads(text: str, path: str = "<text>") -> list[ConvSpec]:
    """The layers of a CSV text; `path` stands in the errors."""
    rows = csv.DictReader(io.StringIO(text))
    found = set(rows.fieldnames or ())
    begun = [column for kind in KINDS if found.intersection(kind) for column in kind]
    missing = [column for column in (*NEEDED, *begun) if column not in found]
    if missing:
        raise SpecError(f"{path}:1: missing columns: {', '.join(missing)}")
    return [_spec(row, f"{path}:{rows.line_num}") for row in rows]


def dumps(specs: Iterable[ConvSpec]) -> str:
    """The table of these layers; `loads` gives them back. SpecError for what a row cannot hold."""
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow((*COLUMNS, "occurrences", "example"))
    for spec in specs:
        if (spec.ndim, spec.N, spec.dtype, spec.layout) != (2, 1, "float32", "NCHW"):
            raise SpecError(f"problem is {spec}; allowed in a CSV row: 2-D, batch 1, float32, NCHW")
        sides = (side for pair in spec.padding for side in pair)
        window = (*spec.filter, *spec.stride, *sides, *spec.dilation)
        rows.writerow((spec.C, *spec.spatial, spec.K, *window, spec.groups, spec.repeats, spec.name))
    return table.getvalue()


def _spec(row: Mapping[str, str | None], where: str) -> ConvSpec:
    def number(column: str) -> int:
        if column not in row and column in DEFAULTS:
            return DEFAULTS[column]
        text = (row[column] or "").strip()
        try:
            return int(text)
        except ValueError:
            raise SpecError(f"{where}: {column} is {text!r}; allowed: an integer") from None

    C, H, W, K, R, S, *window, groups = (number(column) for column in COLUMNS)
    stride, (top, bottom, left, right), dilation = window[:2], window[2:6], window[6:]
    repeats = number("occurrences") if "occurrences" in row else 1
    if groups < 1 or C % groups:
        raise SpecError(f"{where}: groups is {groups}; allowed: a divisor of channels, {C}")
    try:
        return ConvSpec(
            (1, C, H, W),
            (K, C // groups, R, S),
            stride,
            ((top, bottom), (left, right)),
            dilation,
            groups,
            name=row.get("example") or "",
            repeats=repeats,
        )
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from error
