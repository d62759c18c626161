"""What every test shares: Hypothesis profiles, one cache of compiled code, and no measurements of the user's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from convbench import machine

if TYPE_CHECKING:
    from fake_crew import World

# Compilation is what costs time: every pytest-xdist process and every subprocess shares one directory, wherever the
# tests point $CONVBENCH_CACHE. Numba reads the variable when it is imported, so it is set before any test module is.
os.environ.setdefault("NUMBA_CACHE_DIR", str(machine.cache_dir() / "numba"))

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session", autouse=True)
def _no_measurements(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Choices and machine constants that the developer has measured must not decide what a test sees."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONVBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        machine.current.cache_clear()
        yield


@pytest.fixture
def user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty user's cache of this test's own."""
    path = tmp_path / "user_cache"
    monkeypatch.setenv("CONVBENCH_CACHE", str(path))
    machine.current.cache_clear()
    yield path
    machine.current.cache_clear()


@pytest.fixture
def own_algorithms(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one command registers, the next must not know."""
    monkeypatch.setattr("convbench.algorithm._registered", {})


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A fake clock, and crews that only pretend to work; what they compiled is remembered in a place of its own."""
    from fake_crew import World

    monkeypatch.setattr("convbench.bench.runner.code_dir", lambda: tmp_path / "code")
    return World()
