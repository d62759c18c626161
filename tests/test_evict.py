"""Memory put out of the caches: which ranges it is, and that nothing in it changes."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from convbench import peers
from convbench.algorithm import Unsupported
from convbench.bench import contender as module
from convbench.bench.contender import Contender, find
from convbench.data import arrays
from convbench.driver import kept_scratch
from convbench.kernels.evict import Range, cannot_evict, evict, memory
from convbench.machine import SHIPPED
from convbench.spec import ConvSpec

needs_clflush = pytest.mark.skipif(cannot_evict() is not None, reason="clflush is x86's")
SPEC = ConvSpec.parse("mb1ic64ih28oc64oh28kh3ph1")


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


def test_the_memory_of_an_array_is_all_that_its_strides_reach() -> None:
    whole = np.arange(60.0).reshape(5, 12)
    assert list(memory(whole)) == [(address(whole), 480)]
    assert list(memory(whole[:, 2:4])) == [(address(whole) + 16, 4 * 96 + 16)]
    assert list(memory(whole[::-1])) == [(address(whole), 480)]
    assert list(memory(np.broadcast_to(whole[0, :1], (7, 3)))) == [(address(whole), 8)]
    assert [nbytes for _, nbytes in memory(np.zeros((3, 0)))] == [0]


def test_the_memory_of_a_nest_is_that_of_all_its_arrays() -> None:
    @dataclass
    class Record:
        first: np.ndarray
        rest: dict[str, Any]

    a, b, c = np.zeros(3), np.ones(4), np.ones(5)
    nest = Record(a, {"pair": (b, [c, None, 7]), "text": "x"})
    assert [nbytes for _, nbytes in memory(nest)] == [24, 32, 40]
    assert list(memory(None)) == []


@needs_clflush
def test_flushing_changes_nothing() -> None:
    data = np.random.default_rng(0).random(10_001)
    before = data.copy()
    evict(memory(data))
    evict(memory(data[1:-1]))
    evict([(0, 0)])
    np.testing.assert_array_equal(data, before)


def test_other_machines_say_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert "aarch64" in (cannot_evict() or "")


def ready(name: str, spec: ConvSpec = SPEC) -> Contender:
    ticks = iter(range(10**6))
    contender = Contender(find(name), spec, 1, None, SHIPPED, lambda: float(next(ticks)))
    x, weight, bias = arrays(spec)
    contender.prepare(x.copy(), weight, bias)
    return contender


@needs_clflush
@pytest.mark.parametrize("cache", ["hot", "cold-weights", "all-cold"])
@pytest.mark.parametrize("name", ["winograd_4x4_3x3", "im2col", "numpy_windows"])
def test_what_is_put_out(name: str, cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Range] = []
    monkeypatch.setattr(module, "evict", lambda ranges: flushed.extend(ranges))
    contender = ready(name)
    chill = contender.chill(cache)
    if chill is None:
        assert cache == "hot"
        return
    assert contender.layer is not None
    result = contender.call()
    chill(result)
    weights = [*memory(contender.layer.state), *memory(contender.layer.bias)]
    rest = [*memory(contender.x), *memory(result), *memory(kept_scratch())]
    assert set(weights) <= set(flushed)
    assert set(flushed) == set(weights) | (set(rest) if cache == "all-cold" else set())
    assert contender.facts["cold_bytes"] == sum(n for _, n in [*weights, *(rest[:1] if cache == "all-cold" else [])])


@needs_clflush
def test_a_rival_that_hides_its_weights_cannot_have_them_cold(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "numpy_windows"
    hidden = peers.peer(name, peers.get(name).call, memory=lambda value: [])
    monkeypatch.setattr(module.peers, "peers", lambda: {name: hidden})
    contender = ready(name)
    assert contender.chill("hot") is None
    with pytest.raises(Unsupported, match="hides its weights"):
        contender.chill("cold-weights")
