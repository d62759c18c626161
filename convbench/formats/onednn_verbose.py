"""Logs of oneDNN (ONEDNN_VERBOSE=1, or DNNL_ and MKLDNN_VERBOSE of old): the convolutions that a program ran.

    onednn_verbose,primitive,exec,cpu,convolution,jit:avx2,forward_training,src_f32::blocked:…,,alg:…,mb1_ic3oc64_…,0.3

Read are lines of executed convolutions; what they carry is a descriptor (`convbench.descriptor`) with every key. Equal
ones are one problem, repeated that often. Left out with a warning: backward passes and types but f32 and f64; logs
older than the types in them are taken as f32. Layouts are oneDNN's choice, not the problem's, and not taken over. A log
is written by oneDNN only, so there is no `dumps`. Source: oneDNN (Apache-2.0), doc/usage_models/verbose.md.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from convbench.arguments import DTYPES
from convbench.formats.text import file_text, merged, misread
from convbench.spec import ConvSpec, DescriptorError

_EXECUTED = re.compile(
    r"\b(?:onednn|dnnl|mkldnn)_verbose,(?:[^,\n]*,){0,3}?exec,(?:[cg]pu[^,\n]*,)?convolution,(?P<fields>[^\n]*)"
)
_DIRECTION = re.compile(r"(?:^|,)(forward|backward)[a-z_]*(?=,)")
_TYPE = re.compile(r"\bsrc[_:]([a-z0-9]+)")
_DESCRIPTOR = re.compile(r"(?:^|,)((?:mb|g)[0-9]\w*)(?=,|\s|$)")


def read(path: str | Path) -> list[ConvSpec]:
    """The problems of a log. Raises OSError, or SpecError with file, line and column."""
    return loads(file_text(path), str(path))


def loads(text: str, path: str | None = None) -> list[ConvSpec]:
    """The problems of a log's text; `path` stands in the errors."""
    left_out: Counter[str] = Counter()
    specs = merged(_problems(text, path, left_out))
    if left_out:
        reasons = ", ".join(f"{number} {reason}" for reason, number in left_out.items())
        warnings.warn(f"{path or '<text>'}: convolutions left out: {reasons}", stacklevel=2)
    return specs


def _problems(text: str, path: str | None, left_out: Counter[str]) -> Iterator[ConvSpec]:
    dtypes = {short: name for name, short in DTYPES.items()}
    for line in _EXECUTED.finditer(text):
        fields, start = line["fields"], line.start("fields")
        direction, dtype, found = (pattern.search(fields) for pattern in (_DIRECTION, _TYPE, _DESCRIPTOR))
        if direction is None or found is None:
            missing = "forward or backward" if direction is None else "a descriptor"
            raise misread(f"expected {missing} among the fields of a convolution", text, start, path)
        short = dtype[1] if dtype else "f32"
        if direction[1] == "backward" or short not in dtypes:
            left_out[f"{direction[1]} {short}" if direction[1] == "backward" else short] += 1
            continue
        try:
            yield ConvSpec.parse(found[1]).replace(dtype=dtypes[short])
        except DescriptorError as error:
            raise misread(error.reason, text, start + found.start(1) + error.column - 1, path) from error
