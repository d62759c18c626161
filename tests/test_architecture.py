"""The house keeps its shape: arrows one way, Numba's options in one place, public names that exist, light imports."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import convbench

PACKAGE = Path(convbench.__file__).parent
ROOT = PACKAGE.parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
LINES = 350

#: Modules and folders of convbench from left to right: each may import what stands before it.
ORDER = (
    "layouts", "arguments", "descriptor", "spec", "units", "formats", "suites", "data", "reference", "machine",
    "reductions", "kernels", "scratch", "algorithm", "algorithms", "peers", "driver", "verify", "choices", "select",
    "api", "bench", "drawing", "report", "cli", "__main__",
)  # fmt: skip

#: The registry finds algorithms by looking into their folder when it is first asked.
DISCOVERY = {("algorithm", "algorithms")}


def by_name(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


by_source = pytest.mark.parametrize("source", SOURCES, ids=by_name)


def part(source: Path) -> str:
    """The module or folder of convbench that a file belongs to."""
    return source.relative_to(PACKAGE).with_suffix("").parts[0]


def parsed(source: Path) -> ast.Module:
    return ast.parse(source.read_text(encoding="utf-8"))


def imports(source: Path) -> Iterator[str]:
    """Dotted names that a file imports, wherever in it; names taken from convbench itself included."""
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{source}: relative imports hide where an arrow leads"
            if node.module == "convbench":
                yield from (f"convbench.{alias.name}" for alias in node.names)
            elif node.module:
                yield node.module


def is_module(name: str) -> bool:
    return bool(name) and ((PACKAGE / f"{name}.py").is_file() or (PACKAGE / name).is_dir())


@by_source
def test_arrows_run_one_way(source: Path) -> None:
    here = part(source)
    if here == "__init__":
        return
    assert here in ORDER, f"{here} has no place in the order of modules"
    for name in imports(source):
        top, _, rest = name.partition(".")
        there = rest.partition(".")[0]
        if top == "convbench" and there != here and is_module(there) and (here, there) not in DISCOVERY:
            assert ORDER.index(there) < ORDER.index(here), f"{here} imports {there}, which stands to its right"


def test_every_place_in_the_order_is_taken_or_an_entry_point() -> None:
    found = {part(source) for source in SOURCES} - {"__init__"}
    assert set(ORDER) - found <= {"__main__"}


@by_source
def test_numba_compiles_in_one_module_only(source: Path) -> None:
    compilers = {"njit", "jit", "vectorize", "guvectorize", "cfunc", "stencil", "prange", "generated_jit"}
    used = {
        node.attr
        for node in ast.walk(parsed(source))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("numba", "nb")
    } | {
        alias.name
        for node in ast.walk(parsed(source))
        if isinstance(node, ast.ImportFrom) and node.module == "numba"
        for alias in node.names
    }
    allowed = {"njit"} if by_name(source) == str(Path("kernels", "jit.py")) else set()
    assert used & compilers <= allowed


@by_source
def test_files_are_short(source: Path) -> None:
    assert len(source.read_text(encoding="utf-8").splitlines()) <= LINES


@by_source
def test_nothing_is_left_to_do(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError|NotImplemented\(|breakpoint\(|pdb\b)", text)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            assert not (isinstance(node.func, ast.Attribute) and node.func.attr == "sleep"), "a sleep"


@by_source
def test_every_module_says_what_it_is(source: Path) -> None:
    assert ast.get_docstring(parsed(source)), f"{by_name(source)} has no docstring"


@by_source
def test_no_unfinished_function(source: Path) -> None:
    """A body of nothing but ``pass`` or ``...`` is a stub, but in a protocol."""
    tree = parsed(source)
    protocols = {
        method
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases)
        for method in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node not in protocols:
            body = [item for item in node.body if not isinstance(item, ast.Expr) or not _is_text(item.value)]
            stub = all(isinstance(item, ast.Pass) or ast.unparse(item) == "..." for item in body)
            overloaded = any("overload" in ast.unparse(decorator) for decorator in node.decorator_list)
            assert overloaded or not (stub and body), f"{node.name} is a stub"


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


@pytest.fixture(scope="module")
def submodules() -> list[ModuleType]:
    """Every module of the package, imported."""
    found = pkgutil.walk_packages(convbench.__path__, "convbench.")
    return [importlib.import_module(info.name) for info in found if not info.name.endswith("__main__")]


def test_every_public_name_exists(submodules: list[ModuleType]) -> None:
    for module in [convbench, *submodules]:
        for name in getattr(module, "__all__", ()):
            assert hasattr(module, name), f"{module.__name__}.{name}"


def test_public_names_are_no_modules_and_stay_what_they_were(submodules: list[ModuleType]) -> None:
    """A submodule of the same name would take a function's place as soon as somebody imports it."""
    names = {module.__name__.split(".")[1] for module in submodules}
    assert not names & set(convbench.__all__)
    for name in convbench.__all__:
        assert callable(getattr(convbench, name)), f"convbench.{name} is {getattr(convbench, name)!r}"
    for module in submodules:
        *_, folder, last = module.__name__.split(".")
        holder = sys.modules[module.__name__.rpartition(".")[0]]
        assert getattr(holder, last) is module, f"{folder}.{last} is a module and something else"


def test_public_names_are_documented() -> None:
    for name in convbench.__all__:
        value = getattr(convbench, name)
        assert inspect.getdoc(value), f"convbench.{name} has no docstring"
        for method, function in inspect.getmembers(value, inspect.isfunction) if inspect.isclass(value) else ():
            own = function.__qualname__ == f"{value.__name__}.{method}" and not method.startswith("_")
            assert not own or inspect.getdoc(function), f"convbench.{name}.{method} has no docstring"


def test_dir_and_unknown_names() -> None:
    assert set(convbench.__all__) <= set(dir(convbench))
    with pytest.raises(AttributeError, match="'convbench' has no attribute 'conv4d'"):
        convbench.conv4d  # noqa: B018


HEAVY = ("numba", "llvmlite", "scipy", "pandas", "altair", "pyperf", "typer", "rich", "jinja2", "torch", "vl_convert")


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import convbench", (*HEAVY, "numpy")),
        ("from convbench import ConvSpec, SpecError", HEAVY),
        ("from convbench import conv2d, fastest, explain, check, register", HEAVY[3:]),
        ("import convbench.bench.records", ("torch",)),
    ],
)
def test_imports_load_no_more_than_they_need(statement: str, forbidden: tuple[str, ...]) -> None:
    source = f"import sys; {statement}; print(*(name for name in {forbidden} if name in sys.modules))"
    told = subprocess.run(
        [sys.executable, "-c", source], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    assert not told.stdout.strip()
