"""oneDNN benchdnn's batch files: descriptors (`convbench.descriptor`) and `--options` line by line, `#` comments.

An option on a line of its own holds for the lines after it; before a descriptor or `--batch` on the same line it
holds for that line, so that `str(spec)` is a line. Relative `--batch` paths start at the file that names them.

    --mb=1,16          batch sizes to use instead of the descriptor's (0: the descriptor's own)
    --dt=f32,f64       dtypes
    --match=REGEX      only descriptors, names included, in which it is found
    --batch=FILE       the problems of another file, under the options so far
    --reset            forget all options
    --weights=rank1    ours: the class of the weights, dense or rank1

Lists mean every combination. An output size with which outputs would read padding only is taken as benchdnn takes it,
for padding behind the input, but with a warning: most likely it contradicts the other sizes.
Source: oneDNN (Apache-2.0), tests/benchdnn/doc/knobs_common.md and driver_conv.md.
"""

from __future__ import annotations

import dataclasses
import re
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

from convbench.arguments import DTYPES, nearest
from convbench.formats.text import file_text, label
from convbench.spec import ConvSpec, DescriptorError, SpecError

WEIGHTS = ("dense", "rank1")
_TOKEN = re.compile(r'(?:"[^"]*"|\S)+')


@dataclasses.dataclass(frozen=True)
class Entry:
    """A problem, the class of its weights, and the file that lists it (None: text)."""

    spec: ConvSpec
    weights: str = "dense"
    source: Path | None = None


@dataclasses.dataclass(frozen=True)
class _Options:
    mb: tuple[int, ...] = (0,)
    dt: tuple[str, ...] = ("float32",)
    match: re.Pattern[str] = re.compile("")
    weights: str = "dense"


def read(path: str | Path) -> list[ConvSpec]:
    """The problems of a batch file. Raises OSError, or DescriptorError with file, line and column."""
    return [entry.spec for entry in read_entries(path)]


def loads(text: str) -> list[ConvSpec]:
    """The problems of a batch file's text; relative `--batch` paths start at the working directory."""
    return [entry.spec for entry in entries(text)]


def dumps(specs: Iterable[ConvSpec]) -> str:
    """One line per problem, name and repeats included: `loads` gives them back."""
    return "".join(f"{spec}{_name(spec)}\n" for spec in specs)


def _name(spec: ConvSpec) -> str:
    if re.search(r'["\r\n]', spec.name):
        raise SpecError(f"name is {spec.name!r}; allowed in a descriptor: one line without double quotes")
    return f'n"{label(spec)}"' if label(spec) else ""


def read_entries(path: str | Path) -> list[Entry]:
    """As `read`, with each problem's class of weights and the file that lists it."""
    path = Path(path)
    return list(entries(file_text(path), path))


def entries(text: str, path: Path | None = None) -> Iterator[Entry]:
    """The problems of a batch file's text, in order; `path` is where it came from."""
    return _entries(text, path, _Options(), ())


def _entries(text: str, path: Path | None, options: _Options, parents: tuple[Path, ...]) -> Iterator[Entry]:
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            options = yield from _line(line, path, options, parents)
        except SpecError as error:
            found = error if isinstance(error, DescriptorError) else DescriptorError(str(error), column=1)
            if found.line is not None:
                raise
            where = str(path) if path else None
            raise DescriptorError(found.reason, found.column, number, where) from None


def _line(
    line: str, path: Path | None, options: _Options, parents: tuple[Path, ...]
) -> Generator[Entry, None, _Options]:
    """Yields a line's problems and returns the options that hold after it."""
    here, listed = options, False
    for match in _TOKEN.finditer(line):
        token, column = match[0], match.start() + 1
        if token.startswith("#"):
            break
        if token.startswith("--batch="):
            listed = True
            yield from _batch(token, column, path, here, parents)
        elif token.startswith("--"):
            here = _with_option(here, token, column)
        else:
            listed = True
            yield from _problems(" " * match.start() + token, path, here)
    return options if listed else here


def _problems(text: str, path: Path | None, options: _Options) -> Iterator[Entry]:
    spec = ConvSpec.parse(text)
    if doubt := next(_doubts(spec), ""):
        warnings.warn(f"{f'{path}: ' if path else ''}{text.strip()}: {doubt}", stacklevel=2)
    if options.match.search(text):
        for dtype in options.dt:
            for batch in options.mb:
                shape = (batch or spec.N, *spec.input_shape[1:])
                yield Entry(spec.replace(input_shape=shape, dtype=dtype), options.weights, path)


def _doubts(spec: ConvSpec) -> Iterator[str]:
    """A sentence for every output size that needs as much padding behind as the filter reaches, with less in front."""
    sizes = (spec.spatial, spec.output_spatial, spec.filter, spec.stride, spec.padding, spec.dilation)
    for letter, i, o, k, s, (before, after), d in zip("dhw"[-spec.ndim :], *sizes, strict=True):
        reach = (k - 1) * d + 1
        if after >= reach > before:
            given = f"i{letter}{i} k{letter}{k} s{letter}{s} p{letter}{before} d{letter}{d - 1}"
            alike = max(0, (i + 2 * before - reach) // s + 1)
            yield f"o{letter} is {o}, but {given} give {alike}; taken for {after} of padding behind the input"


def _batch(token: str, column: int, path: Path | None, options: _Options, parents: tuple[Path, ...]) -> Iterator[Entry]:
    file = (path.parent if path else Path()) / token.removeprefix("--batch=").strip('"')
    parents = (*parents, path.resolve()) if path else parents
    if file.resolve() in parents:
        raise DescriptorError(f"--batch: {file} includes itself", column)
    try:
        text = file_text(file)
    except OSError as error:
        raise DescriptorError(f"--batch: cannot read {file}: {error.strerror}", column) from error
    yield from _entries(text, file, options, parents)


def _with_option(options: _Options, token: str, column: int) -> _Options:
    name, _, value = token.removeprefix("--").partition("=")
    if name == "reset" and not value:
        return _Options()
    if name not in _VALUES:
        allowed = nearest(f"--{name}", [f"--{known}" for known in (*_VALUES, "batch", "reset")])
        raise DescriptorError(f"option --{name} is not known; {allowed}", column)
    try:
        return dataclasses.replace(options, **{name: _VALUES[name](value)})
    except (ValueError, re.error) as error:
        raise DescriptorError(f"--{name} is {value!r}; {error}", column) from error


def _batch_sizes(value: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[0-9]{1,18}(,[0-9]{1,18})*", value):
        raise ValueError("allowed: integers from 0 up, separated by commas")
    return tuple(int(size) for size in value.split(","))


def _dtypes(value: str) -> tuple[str, ...]:
    names = {short: name for name, short in DTYPES.items()}
    if not set(value.split(",")) <= set(names):
        raise ValueError(f"allowed: {', '.join(names)}")
    return tuple(names[short] for short in value.split(","))


def _weights(value: str) -> str:
    if value not in WEIGHTS:
        raise ValueError(nearest(value, WEIGHTS))
    return value


_VALUES: dict[str, Callable[[str], Any]] = {
    "mb": _batch_sizes,
    "dt": _dtypes,
    "match": lambda value: re.compile(value.strip('"')),
    "weights": _weights,
}
