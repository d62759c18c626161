"""Command lines of MIOpen's driver, for convolutions in 2-D and 3-D:

    ./bin/MIOpenDriver conv -n 32 -c 64 -H 56 -W 56 -k 64 -y 3 -x 3 -p 1 -q 1 -u 1 -v 1 -l 1 -j 1 -g 1 -F 1
    ./bin/MIOpenDriver conv --batchsize 32 --in_channels 64 --in_h 56 --in_w 56 --out_channels 64 --fil_h 3 …

Options that are not given have the driver's defaults. Only `conv` is float32, and no operation is float64; lines must
include the forward direction (`--forw` 1, 3, 5, or 0, which is all). A comment behind a line is its name, `# conv1*3`
with repeats; lines without the driver are skipped. Source: MIOpen (MIT), driver/conv_driver.hpp, driver/README.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path

from convbench.arguments import nearest
from convbench.formats.text import comment, file_text, misread, named
from convbench.spec import ConvSpec, SpecError

#: Options that shape the problem: long name -> short name, default.
_SIZES = {
    **{"batchsize": ("n", 100), "in_channels": ("c", 3), "out_channels": ("k", 32), "group_count": ("g", 1)},
    **{"in_d": ("!", 32), "in_h": ("H", 32), "in_w": ("W", 32)},
    **{"fil_d": ("@", 3), "fil_h": ("y", 3), "fil_w": ("x", 3)},
    **{"conv_stride_d": ("#", 1), "conv_stride_h": ("u", 1), "conv_stride_w": ("v", 1)},
    **{"pad_d": ("$", 0), "pad_h": ("p", 0), "pad_w": ("q", 0)},
    **{"dilation_d": ("^", 1), "dilation_h": ("l", 1), "dilation_w": ("j", 1)},
}
#: Options that have to have one of these values, the first of which is the default: long name -> short name, values.
_LAYOUTS = ("NCHW", "NCDHW", "NHWC", "NDHWC")
_CHOICES = {
    **{"spatial_dim": ("_", ("2", "3")), "forw": ("F", ("0", "1", "3", "5")), "mode": ("m", ("conv", "group", "dw"))},
    **{"pad_mode": ("z", ("default",)), "pad_val": ("r", ("0",)), "tensor_vect": ("Z", ("0",))},
    **{"in_layout": ("I", _LAYOUTS), "out_layout": ("O", _LAYOUTS), "fil_layout": ("f", _LAYOUTS)},
}
#: Options about the run, not the problem.
_RUN = {
    **{"iter": "i", "verify": "V", "time": "t", "wall": "w", "search": "s", "printconv": "P", "dump_output": "o"},
    **{"in_data": "d", "weights": "e", "bias": "b", "in_bias": "a", "dout_data": "D", "solution": "S"},
    **{"verification_cache": "C", "gpualloc": "G", "wei_data": "e"},
    **{"trans_output_pad_d": "%", "trans_output_pad_h": "Y", "trans_output_pad_w": "X"},
}
_NAMES = {**{name: short for name, (short, _) in (*_SIZES.items(), *_CHOICES.items())}, **_RUN}
_OPTIONS = {**{f"-{short}": name for name, short in _NAMES.items()}, **{f"--{name}": name for name in _NAMES}}

_COMMAND = re.compile(
    r"^[ \t]*#[^\n]*|\bMIOpenDriver\b(?P<words>(?:\\\r?\n|[^\n])*?)(?:[ \t]#(?P<remark>[^\n]*)|\n|\Z)", re.MULTILINE
)
_WORD = re.compile(r"(?P<end>[0-9]?>|[|&;<])|[^\s\\|&;<>]+")


def read(path: str | Path) -> list[ConvSpec]:
    """The problems of a file, one a command. Raises OSError, or SpecError with file, line and column."""
    return loads(file_text(path), str(path))


def loads(text: str, path: str | None = None) -> list[ConvSpec]:
    """The problems of a text; `path` stands in the errors."""
    return [_spec(command, text, path) for command in _COMMAND.finditer(text) if command["words"] is not None]


def dumps(specs: Iterable[ConvSpec]) -> str:
    """One command a problem: `loads` gives them back. SpecError for what the driver cannot run."""
    return "".join(f"./bin/MIOpenDriver conv {_options(spec)}{comment('#', spec)}\n" for spec in specs)


def _options(spec: ConvSpec) -> str:
    padding = spec.symmetric_padding
    if padding is None or spec.ndim == 1 or spec.dtype != "float32" or spec.layout not in ("NCHW", "NHWC"):
        allowed = "2-D or 3-D, float32, NCHW or NHWC, the same padding on both sides"
        raise SpecError(f"problem is {spec}; allowed in a command of MIOpenDriver: {allowed}")
    axes = "dhw"[-spec.ndim :]
    values: dict[str, object] = {"spatial_dim": 3} if spec.ndim == 3 else {}
    values |= {"batchsize": spec.N, "in_channels": spec.C, "out_channels": spec.K, "group_count": spec.groups}
    window = {"conv_stride": spec.stride, "pad": padding, "dilation": spec.dilation}
    for stem, numbers in {"in": spec.spatial, "fil": spec.filter, **window}.items():
        values |= {f"{stem}_{axis}": number for axis, number in zip(axes, numbers, strict=True)}
    if spec.layout == "NHWC":
        values |= dict.fromkeys(("in_layout", "out_layout", "fil_layout"), "NHWC" if spec.ndim == 2 else "NDHWC")
    return " ".join(f"--{name} {value}" for name, value in {**values, "forw": 1}.items())


def _spec(command: re.Match[str], text: str, path: str | None) -> ConvSpec:
    found = _WORD.finditer(text, *command.span("words"))
    words = list(takewhile(lambda word: not word["end"], found))
    if not words or words[0][0] != "conv":
        operation, start = (repr(words[0][0]), words[0].start()) if words else ("missing", command.start())
        raise misread(f"operation is {operation}; allowed: 'conv', the convolution of float32", text, start, path)
    values = _values(words[1:], text, path)
    try:
        return named(_problem(values), command["remark"] or "")
    except SpecError as error:
        raise misread(str(error), text, words[0].start(), path) from error


def _values(words: list[re.Match[str]], text: str, path: str | None) -> dict[str, str]:
    """The value of each option given, by its long name."""
    values = {}
    for option, value in zip(words[::2], [*words[1::2], None], strict=False):
        name = _OPTIONS.get(option[0])
        if name is None:
            known = [known for known in _OPTIONS if known.startswith("--")]
            raise misread(f"option {option[0]} is not known; {nearest(option[0], known)}", text, option.start(), path)
        if value is None:
            raise misread(f"expected a value after {option[0]}", text, option.end(), path)
        if name in _SIZES and not re.fullmatch(r"[0-9]{1,19}", value[0]):
            raise misread(f"{option[0]} is {value[0]!r}; allowed: an integer from 0 up", text, value.start(), path)
        if name in _CHOICES and value[0] not in _CHOICES[name][1]:
            allowed = ", ".join(_CHOICES[name][1]) + (", which include the forward direction" if name == "forw" else "")
            raise misread(f"{option[0]} is {value[0]!r}; allowed: {allowed}", text, value.start(), path)
        values[name] = value[0]
    return values


def _problem(values: dict[str, str]) -> ConvSpec:
    def sizes(stem: str) -> list[int]:
        return [size(f"{stem}_{axis}") for axis in axes]

    def size(name: str) -> int:
        return int(values.get(name, _SIZES[name][1]))

    axes = "dhw" if values.get("spatial_dim") == "3" else "hw"
    layouts = {values.get(name, "NCHW").replace("D", "") for name in ("in_layout", "out_layout")}
    if len(layouts) > 1:
        raise SpecError("in_layout and out_layout differ; allowed: one layout for both")
    C, K, G = (size(name) for name in ("in_channels", "out_channels", "group_count"))
    if G < 1 or C % G:
        raise SpecError(f"group_count is {G}; allowed: a divisor of in_channels, {C}")
    return ConvSpec(
        (size("batchsize"), C, *sizes("in")),
        (K, C // G, *sizes("fil")),
        stride=sizes("conv_stride"),
        padding=sizes("pad"),
        dilation=sizes("dilation"),
        groups=G,
        layout=layouts.pop(),
    )
