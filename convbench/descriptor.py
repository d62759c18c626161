"""oneDNN benchdnn's problem descriptor, `mb1ic64ih56oc64oh56kh3ph1`, to and from plain numbers.

Keys and integers in any order, `_` between them ignored, then `n"name"`; spatial keys end in d, h or w.
Dilation counts the gaps (`dh1` is PyTorch's dilation 2), padding is the leading side, and the trailing side
follows from the output size, however large that makes it. Source: oneDNN (Apache-2.0), tests/benchdnn:
doc/driver_conv.md, conv_aux.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from convbench.arguments import DTYPES, SpecError
from convbench.layouts import LAYOUTS

_OPTION = re.compile(r"\s*--(dt|layout)=(\S*)\s+")
_KEY = re.compile(r"(mb|g|[io]c|[iokspd][dhw])([0-9]*)")
_NAME = re.compile(r'n(?:"([^"]*?)(?:\*([0-9]+))?"|([^"\s]*?))(?:\*([0-9]+))?$')
_EXPECTED = 'one of the keys g mb ic oc, or i o k s p d followed by d, h or w, or n"name" at the end'


SHOWN = 40
"""Characters of what was found that an error shows."""


class DescriptorError(SpecError):
    """A descriptor, or a line in another format, that cannot be read. Columns and lines count from 1.

    ``path``: the file, or without a line the descriptor itself.
    """

    def __init__(self, reason: str, column: int, line: int | None = None, path: str | None = None) -> None:
        super().__init__(reason, column, line, path)
        self.reason, self.column, self.line, self.path = reason, column, line, path

    def __str__(self) -> str:
        if self.line is None:
            return (f"{self.path}: " if self.path else "") + f"column {self.column}: {self.reason}"
        return f"{self.path or '<text>'}:{self.line}:{self.column}: {self.reason}"


class Axis(NamedTuple):
    """One spatial dimension: sizes of input, output, filter; stride, leading padding, dilation (1 is dense)."""

    i: int
    o: int
    k: int
    s: int
    p: int
    d: int


def _span(o: int, k: int, s: int, d: int) -> int:
    """Input elements, padding included, from the first that the outputs read to the last."""
    return (o - 1) * s + (k - 1) * d + 1


def _implied_padding(i: int, span: int) -> int:
    """The leading padding that a descriptor with an output size and without `p` means: half of what is needed."""
    return max(0, (span - i) // 2)


def text(N: int, C: int, K: int, groups: int, dtype: str, layout: str, axes: list[Axis]) -> str:
    """The shortest descriptor: one letter for all axes when they agree; `o` is always written."""
    letters = "dhw"[-len(axes) :]
    if len(set(axes)) == 1:
        letters, axes = letters[:1], axes[:1]
    i, o, k, s, p, d = zip(*axes, strict=True)
    gaps = [dilation - 1 for dilation in d]
    implied = any(abs(_span(axis.o, axis.k, axis.s, axis.d) - axis.i) > 1 for axis in axes)

    def keys(key: str, values: Sequence[int]) -> str:
        return "".join(f"{key}{letter}{value}" for letter, value in zip(letters, values, strict=True))

    return "".join(
        [
            f"--dt={DTYPES[dtype]} " if dtype != "float32" else "",
            f"--layout={layout} " if layout != "NCHW" else "",
            f"g{groups}" if groups != 1 else "",
            f"mb{N}ic{C}{keys('i', i)}oc{K}{keys('o', o)}{keys('k', k)}",
            keys("s", s) if any(stride != 1 for stride in s) else "",
            keys("p", p) if any(p) or implied else "",
            keys("d", gaps) if any(gaps) else "",
        ]
    )


def parse(text: str) -> dict[str, Any]:
    """The arguments of ConvSpec that a descriptor means, options in front and `n"name*repeats"` included.

    Raises DescriptorError with the column of what could not be read.
    """
    text = text.rstrip()
    start = len(text) - len(text.lstrip())
    values = {"dt": {short: name for name, short in DTYPES.items()}, "layout": {name: name for name in LAYOUTS}}
    chosen = {"dt": "float32", "layout": "NCHW"}
    while option := _OPTION.match(text, start):
        key, value = option.groups()
        if value not in values[key]:
            raise DescriptorError(f"--{key} is {value!r}; allowed: {', '.join(values[key])}", option.start(2) + 1)
        chosen[key], start = values[key][value], option.end()
    numbers, columns, name, repeats = _scan(text, start)
    for key, what in {"ic": "input channels", "oc": "output channels"}.items():
        if key not in numbers:
            raise DescriptorError(f"expected {key} ({what})", len(text) + 1)
    axes = _axes(numbers, columns, len(text) + 1)
    C, K, G = numbers["ic"], numbers["oc"], numbers.get("g", 1)
    if C % G or K % G:
        raise DescriptorError(f"g is {G}; allowed: a divisor of both ic{C} and oc{K}", columns["g"])
    return {
        "input_shape": (numbers.get("mb", 2), C, *(axis.i for axis in axes)),
        "weight_shape": (K, C // G, *(axis.k for axis in axes)),
        "stride": [axis.s for axis in axes],
        "padding": [(p, max(0, _span(o, k, s, d) - i - p)) for i, o, k, s, p, d in axes],
        "dilation": [axis.d for axis in axes],
        "groups": G,
        "dtype": chosen["dt"],
        "layout": chosen["layout"],
        "name": name,
        "repeats": repeats,
    }


def _scan(text: str, position: int) -> tuple[dict[str, int], dict[str, int], str, int]:
    """The number and the column of each key, the name and the repeats."""
    numbers: dict[str, int] = {}
    columns: dict[str, int] = {}
    while position < len(text):
        if text[position] == "_":
            position += 1
            continue
        if named := _NAME.match(text, position):
            quoted, inside, bare, outside = named.groups()
            return numbers, columns, quoted or bare or "", int(inside or outside or 1)
        match = _KEY.match(text, position)
        if match is None:
            raise DescriptorError(f"expected {_EXPECTED}; found {text[position : position + SHOWN]!r}", position + 1)
        key, digits = match.groups()
        if not 0 < len(digits) < 20:
            raise DescriptorError(f"expected an integer from 0 to 2**63 - 1 after {key}", match.start(2) + 1)
        if numbers.get(key, int(digits)) != int(digits):
            reason = f"{key} is {digits}, and {numbers[key]} in column {columns[key]}; allowed: one value"
            raise DescriptorError(reason, position + 1)
        if key[0] in "gioks" and int(digits) == 0:
            raise DescriptorError(f"{key} is 0; allowed: 1 or more", position + 1)
        numbers[key], columns[key] = int(digits), position + 1
        position = match.end()
    return numbers, columns, "", 1


def _axes(numbers: dict[str, int], columns: dict[str, int], end: int) -> list[Axis]:
    """The spatial dimensions; one without i, o, k or any s, p, d but the default copies the one before."""
    default = {"s": 1, "p": 0, "d": 0}
    described = {key[-1] for key, value in numbers.items() if value != default.get(key[0])}
    given = "".join(letter for letter in "dhw" if letter in described)
    if not given:
        raise DescriptorError("expected a spatial size: id, ih or iw", end)
    if given in ("dh", "dw"):
        raise DescriptorError("expected both h and w keys beside the d keys, or neither", end)
    axes = [_axis(letter, numbers, columns, end) for letter in given]
    return axes * {"d": 3, "h": 2}.get(given, 1)


def _axis(letter: str, numbers: dict[str, int], columns: dict[str, int], end: int) -> Axis:
    for key, what in {"i" + letter: "input size", "k" + letter: "filter size"}.items():
        if key not in numbers:
            raise DescriptorError(f"expected {key} ({what})", end)
    i, k = numbers["i" + letter], numbers["k" + letter]
    s, d = numbers.get("s" + letter, 1), numbers.get("d" + letter, 0) + 1
    o, p = numbers.get("o" + letter), numbers.get("p" + letter)
    reach = (k - 1) * d + 1
    if o is None:
        p = p or 0
        o = (i + 2 * p - reach) // s + 1
        if o < 1:
            reason = f"k{letter} is {k}, {reach} when dilated; allowed: at most the padded input, {i + 2 * p}"
            raise DescriptorError(reason, columns["k" + letter])
    if p is None:
        p = _implied_padding(i, _span(o, k, s, d))
    if o < (least := (i + p - reach) // s + 1):
        reason = f"o{letter} is {o}; allowed: at least {least}, which the input and the padding before it give"
        raise DescriptorError(reason, columns["o" + letter])
    return Axis(i, o, k, s, p, d)
