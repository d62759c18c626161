"""Compiling in shares, and the memory of what it took."""

from __future__ import annotations

from pathlib import Path

from fake_crew import NAMES, World

from convbench.bench.compiled import Compiled, ready_crew
from convbench.bench.orders import Setup


def test_compiling_comes_first_in_shares_and_is_remembered(world: World, tmp_path: Path) -> None:
    setup = Setup(NAMES, ("mb1ic1ih4oc1kh1",))
    known = Compiled(tmp_path / "seconds.json")
    world.compile_s = 3.0
    _, warm = ready_crew(setup, world.launch, 1, known, lambda *_: None)
    assert [given.contenders for given in world.setups] == [NAMES, NAMES]
    assert warm.costs["direct", "float32"] == {"compile_s": 3.0, "cache_load_s": 0.02}
    world.setups.clear()
    _, warm = ready_crew(setup, world.launch, 2, Compiled(tmp_path / "seconds.json"), lambda *_: None)
    assert [given.contenders for given in world.setups] == [NAMES]
    assert warm.costs["direct", "float32"]["compile_s"] == 3.0


def test_a_crew_that_still_had_to_compile_is_replaced(world: World, tmp_path: Path) -> None:
    setup = Setup(NAMES, ("mb1ic1ih4oc1kh1",))
    known = Compiled(tmp_path / "seconds.json")
    ready_crew(setup, world.launch, 2, known, lambda *_: None)
    assert sorted(given.contenders for given in world.setups) == [
        ("direct", "im2col", "naive"),
        ("direct", "naive"),
        ("im2col",),
    ]
    world.setups.clear()
    world.compile_s = 2.0
    _, warm = ready_crew(setup, world.launch, 2, known, lambda *_: None)
    assert [given.contenders for given in world.setups] == [NAMES, NAMES]
    assert warm.costs["direct", "float32"] == {"compile_s": 2.0, "cache_load_s": 0.02}


def test_a_spoilt_memory_of_compile_times_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "seconds.json"
    path.write_text("[")
    known = Compiled(path)
    assert ("direct", "float32") not in known
    known.add({("direct", "float32"): {"compile_s": 2.0}})
    known.add({("direct", "float32"): {"compile_s": 1.0}})
    assert Compiled(path).seconds(("direct", "float32")) == 2.0
