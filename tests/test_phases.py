"""Phases: whatever the counter shows, they add up to the call; ordinary code does not read it."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest
from numba import types
from samples import by_algorithm, sample

from convbench.algorithm import Algorithm, Phases, algorithms, phases
from convbench.algorithms import kn2row
from convbench.data import arrays
from convbench.driver import Kernel, Layer, kernel
from convbench.kernels import ticks as counter
from convbench.kernels.jit import OPTIONS
from convbench.kernels.ticks import CALL, OFF, start, tick, tick_seconds
from convbench.layouts import stored
from convbench.spec import ConvSpec

SIGNAL = ConvSpec((2, 3, 200), (3, 1, 9), groups=3)  # padded by windows; images are not padded apart
COUNTERS = ("readcyclecounter", "rdtsc", "cntvct")


def prepared(spec: ConvSpec, name: str, threads: int = 1) -> tuple[Layer, Any]:
    x, w, bias = (operand.copy() for operand in arrays(spec))
    return kernel(spec, name, threads=threads).prepare(w, bias), x


def marked(layer: Layer, x: Any) -> tuple[Any, Any, int]:
    """(output, ticks by phase, ticks from the first mark to the last) of a call."""
    out = np.full(layer.kernel.spec.stored_output_shape, np.nan, layer.kernel.spec.np_dtype)
    ticks = layer.ticks()
    begun = []

    def noted(array: Any) -> None:
        start(array)
        begun.append(int(array[0]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("convbench.driver.start", noted)
        layer.marked(ticks, x, out)
    return out, ticks[1:], int(ticks[0]) - begun[0]


@by_algorithm
@pytest.mark.parametrize("threads", [1, 3])
def test_phases_add_up_and_change_no_bit(name: str, threads: int) -> None:
    """Every tick of the call belongs to one phase, and every phase has some; one thread, whatever was planned."""
    layer, x = prepared(SIGNAL if name == "depthwise" else sample(name), name, threads)
    out, spent, whole = marked(layer, x)
    assert spent.sum() == whole
    run = algorithms()[name].run
    assert layer.kernel.phases == (("call", *run.names) if isinstance(run, Phases) else ("run",))
    assert spent.min() > 0
    assert np.array_equal(out, layer(x))


@by_algorithm
def test_an_empty_batch_has_no_phases(name: str) -> None:
    spec = sample(name)
    empty = spec.replace(input_shape=(0, *spec.input_shape[1:]))
    _, w, bias = arrays(spec)
    layer = kernel(empty, name, threads=1).prepare(w, bias)
    assert layer.time_phases(np.empty(empty.input_shape, spec.np_dtype)) == {}


@pytest.mark.parametrize("layout", ["NHWC", "NCHW16c"])
def test_images_of_another_layout_are_converted_before_and_after(layout: str) -> None:
    spec = ConvSpec((2, 16, 9, 9), (32, 16, 3, 3), layout=layout)
    x, w, bias = arrays(spec.replace(layout="NCHW"))
    layer = kernel(spec, "im2col", threads=1).prepare(w, bias)
    out, spent, whole = marked(layer, stored(x, layout))
    assert layer.kernel.phases == ("call", "transform", "multiply", "convert")
    assert spent.min() > 0
    assert spent.sum() == whole
    assert np.array_equal(out, layer(stored(x, layout)))


def test_a_fake_counter_is_divided_as_the_run_marks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100]

    def at(time: int) -> None:
        now[0] = time

    def begin(ticks: Any) -> None:
        ticks[:] = 0
        ticks[0] = now[0]

    def mark_fake(ticks: Any, phase: int) -> None:
        ticks[1 + phase] += now[0] - ticks[0]
        ticks[0] = now[0]

    def run(plan: Any, x: Any, state: Any, bias: Any, y: Any, work: Any, ticks: Any = OFF) -> None:
        for time, phase in ((103, CALL), (110, 1), (130, 2), (131, 1), (140, 2)):
            at(time)
            tick(ticks, phase)
        at(145)

    monkeypatch.setattr(counter, "_mark", mark_fake)
    monkeypatch.setattr("convbench.driver.start", begin)
    spec = ConvSpec((1, 1, 4), (1, 1, 3))
    algorithm = Algorithm("toy", phases(run, "pad", "multiply"))
    layer = Kernel(algorithm, spec, 1, None, "").prepare(np.ones((1, 1, 3), np.float32))
    ticks = layer.ticks()
    layer.marked(ticks, np.ones((1, 1, 4), np.float32))
    assert ticks.tolist() == [145, 3 + 5, 7 + 1, 20 + 9]
    seconds = layer.seconds(ticks)
    assert list(seconds) == ["call", "pad", "multiply"]
    assert sum(seconds.values()) == pytest.approx(45 * tick_seconds())


def test_only_code_for_an_array_of_ticks_reads_the_counter() -> None:
    """Of a whole kernel, compiled anew: what is loaded from the cache shows no instructions."""
    fresh = numba.njit(**OPTIONS | {"cache": False})(kn2row.accumulate.py_func)
    layer, x = prepared(sample("kn2row"), "kn2row")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kn2row, "accumulate", fresh)
        layer(x)
        layer.marked(layer.ticks(), x)
    found = {
        isinstance(signature[2], types.Array): [word for word in COUNTERS if word in assembly]
        for signature, assembly in fresh.inspect_asm().items()
    }
    assert found.keys() == {False, True}
    assert not found[False]
    assert found[True]


@by_algorithm
def test_ordinary_calls_pass_no_ticks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels tell the variants by the type of one argument; an ordinary call never has an array there."""
    layer, x = prepared(sample(name), name)
    run = algorithms()[name].run
    seen = []

    def spy(*arguments: Any) -> None:
        seen.append(len(arguments))
        layer.kernel._algorithm.run(*arguments)

    monkeypatch.setattr(layer.kernel, "_solve", spy)
    layer._quick = None  # which has no place for ticks at all
    layer(x)
    assert seen == [6]
    assert not isinstance(run, Phases) or run.run.__defaults__ == (OFF,)
