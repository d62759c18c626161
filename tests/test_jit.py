"""Compiled kernels are kept on disk, under a name that changes with their sources."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

import convbench.kernels
from convbench.kernels import jit
from convbench.kernels.jit import code_dir, njit, sources_hash

KERNELS = Path(convbench.kernels.__file__).parent


def another_process(source: str, cache: Path) -> str:
    root = str(KERNELS.parents[1])
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": root}
    return subprocess.run(
        [sys.executable, "-c", source], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_second_process_compiles_nothing(tmp_path: Path) -> None:
    source = """
import numpy as np
from convbench.kernels.lines import clear_line
line = np.ones(5, np.float32)
clear_line(line, 1, 3)
assert line.tolist() == [1, 0, 0, 0, 1]
print(sum(clear_line.stats.cache_hits.values()), sum(clear_line.stats.cache_misses.values()))
"""
    assert another_process(source, tmp_path) == "0 1"
    (folder,) = tmp_path.iterdir()
    assert folder.name == f"kernels-{sources_hash(KERNELS)}"
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert written
    assert another_process(source, tmp_path) == "1 0"
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == written


def _doubled(number: float) -> float:
    return 2 * number


def test_variants_compiled_at_once_are_not_mixed_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both processes have read the empty index before either writes it, and their files are written last."""
    monkeypatch.setattr(jit, "_CODE_DIR", tmp_path)
    one, other, later = (njit(_doubled) for _ in range(3))
    monkeypatch.setattr(other._cache._cache_file, "_load_index", dict)
    file = one._cache._cache_file
    write = file._save_data

    def write_last(name: str, data: object) -> None:
        assert other(2.25) == 4.5
        write(name, data)

    monkeypatch.setattr(file, "_save_data", write_last)
    assert one(2) == 4
    assert later(2.25) == 4.5
    assert sum(later.stats.cache_hits.values()) == 1


def test_the_users_cache_is_the_default(user_cache: Path) -> None:
    source = "from convbench.kernels.jit import code_dir; print(code_dir())"
    root = str(KERNELS.parents[1])
    environment = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"} | {"PYTHONPATH": root}
    told = subprocess.run([sys.executable, "-c", source], env=environment, capture_output=True, text=True, check=True)
    assert Path(told.stdout.strip()) == user_cache / "numba" / f"kernels-{sources_hash(KERNELS)}"


def test_any_edit_of_a_kernels_source_changes_the_hash(tmp_path: Path) -> None:
    copy = tmp_path / "kernels"
    shutil.copytree(KERNELS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert sources_hash(copy) == sources_hash(KERNELS)
    before = {sources_hash(copy)}
    for path in sorted(copy.glob("*.py")):
        path.write_text(path.read_text() + "\n# edited\n")
        before.add(sources_hash(copy))
    (copy / "new.py").write_text("")
    before.add(sources_hash(copy))
    (copy / "new.py").rename(copy / "renamed.py")
    before.add(sources_hash(copy))
    assert len(before) == 3 + len(list(KERNELS.glob("*.py")))


def test_other_users_of_numba_keep_their_cache() -> None:
    before = numba.config.CACHE_DIR
    kernel = njit(lambda x: x + 1)
    assert before == numba.config.CACHE_DIR
    assert kernel(1) == 2
    assert not code_dir().name.endswith("None")


def test_nan_and_infinity_keep_their_meaning() -> None:
    """fastmath without nnan and ninf: comparisons with NaN, inf − inf, 0 · inf and sign of infinity are IEEE's."""
    assert not jit.OPTIONS["fastmath"] & {"nnan", "ninf", "fast", "afn"}

    @numba.njit(**{**jit.OPTIONS, "cache": False})
    def facts(x: np.ndarray) -> tuple[bool, bool, float, float, float]:
        return x[0] == x[0], np.isinf(x[1]), x[1] - x[1], 0 * x[1], x.sum()

    same, infinite, difference, product, total = facts(np.array([np.nan, -np.inf, 1.0]))
    assert not same
    assert infinite
    assert np.isnan([difference, product, total]).all()


def test_known_numbers_compile_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba gives a number that is written in a call a type of its own."""
    monkeypatch.setattr(jit, "_CODE_DIR", tmp_path)
    doubled = njit(_doubled)

    def calls(number: int) -> int:
        return doubled(0) + doubled(number=1) + doubled(number)

    assert njit(calls)(3) == 8
    assert [str(signature) for signature in doubled.signatures] == ["(int64,)"]
