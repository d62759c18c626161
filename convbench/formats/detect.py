"""Which format a file is in: `.csv` and `.onnx` by their names, text by the first line that tells.

A line tells if, before any `#` or double quote, there stands

    make_tuple(                                     rows of DeepBench
    MIOpenDriver                                    commands of MIOpen's driver
    onednn_verbose, or dnnl_verbose, mkldnn_verbose,   a log of oneDNN

and a text without such a line is a file of descriptors. A command goes on with a word; "MIOpenDriver's" is prose.
"""

from __future__ import annotations

import re
from pathlib import Path

from convbench.formats import benchdnn, csv, deepbench, miopen, onednn_verbose, onnx
from convbench.formats.benchdnn import Entry
from convbench.formats.text import file_text
from convbench.spec import DescriptorError

HOLDS = (
    "allowed in a file of problems: descriptors, CSV (.csv), a model (.onnx), rows of DeepBench, commands of "
    "MIOpenDriver, a log of oneDNN"
)
_BINARY_OR_TABLE = {".csv": csv.read, ".onnx": onnx.read}
_TEXT = {"deepbench": deepbench.loads, "miopen": miopen.loads, "onednn_verbose": onednn_verbose.loads}
_TELLS = re.compile(
    r'^[^#"\n]*?\b(?:(?P<deepbench>make_tuple\s*\()|(?P<miopen>MIOpenDriver(?=\s|$))'
    r"|(?P<onednn_verbose>(?:onednn|dnnl|mkldnn)_verbose,))",
    re.MULTILINE,
)


def is_named(path: Path) -> bool:
    """Whether the file's name alone says what it is."""
    return path.suffix.lower() in _BINARY_OR_TABLE


def read_entries(path: Path) -> list[Entry]:
    """The problems of a file in any format. Raises OSError, or SpecError with the place of what cannot be read."""
    if is_named(path):
        return [Entry(spec, source=path) for spec in _BINARY_OR_TABLE[path.suffix.lower()](path)]
    text = file_text(path)
    telling = _TELLS.search(text)
    if telling is None or telling.lastgroup is None:
        return _descriptors(text, path)
    return [Entry(spec, source=path) for spec in _TEXT[telling.lastgroup](text, str(path))]


def _descriptors(text: str, path: Path) -> list[Entry]:
    """The error at the first line that is no comment says what a file may hold, for it may be none of these."""
    first = next((i for i, line in enumerate(text.splitlines(), 1) if line.partition("#")[0].strip()), 0)
    try:
        return list(benchdnn.entries(text, path))
    except DescriptorError as error:
        if error.line != first or error.path != str(path):
            raise
        raise DescriptorError(f"{error.reason}; {HOLDS}", error.column, error.line, error.path) from None
