"""Phases: what is timed step by step is the whole run, in its order."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from samples import by_algorithm, by_dtype, sample

from convbench.algorithm import Phases, algorithms, phases
from convbench.data import arrays
from convbench.driver import Kernel, kernel
from convbench.layouts import stored
from convbench.spec import ConvSpec


@by_algorithm
def test_phases_are_timed_in_their_order(name: str) -> None:
    spec = sample(name)
    x, w, bias = arrays(spec)
    algorithm = algorithms()[name]
    layer = kernel(spec, name, threads=1).prepare(w, bias)
    seconds = layer.time_phases(x, count().__next__)
    if not isinstance(algorithm.run, Phases):
        assert seconds == {"run": 1}
        return
    run = algorithm.run
    assert list(seconds) == [phase for phase, _ in run.steps]
    blocks = run.blocks(layer.kernel.plan) if run.blocks else 1
    assert blocks >= 1
    assert set(seconds.values()) == {blocks}


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
    plain = spec.replace(layout="NCHW")
    x, w, bias = arrays(plain)
    out = np.full(spec.stored_output_shape, np.nan, spec.np_dtype)
    layer = kernel(spec, "im2col", threads=1).prepare(w, bias)
    seconds = layer.time_phases(stored(x, layout), count().__next__, out)
    assert seconds == {
        "convert": 2,
        **kernel(plain, "im2col", threads=1).prepare(w, bias).time_phases(x, count().__next__),
    }
    assert np.array_equal(out, layer(stored(x, layout)))


@by_algorithm
@by_dtype
def test_phases_add_up_to_the_run(name: str, dtype: str) -> None:
    """What is timed step by step computes what a call computes, fused or not."""
    algorithm = algorithms()[name]
    if not isinstance(algorithm.run, Phases):
        pytest.skip("its run is a single step")
    spec = sample(name, dtype)
    operands = arrays(spec)
    stepwise = replace(algorithm, run=replace(algorithm.run, fused=None))
    for threads in (1, 3):
        want = kernel(spec, name, threads=threads)(*operands)
        got = Kernel(stepwise, spec, threads, None, "step by step")(*operands)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * float(np.abs(want).max()))


def test_phases_run_block_by_block() -> None:
    log: list[str] = []
    steps = phases(
        blocks=lambda plan: 2,
        read=lambda *a: log.append(f"read {a[-1]}"),
        write=lambda *a: log.append(f"write {a[-1]}"),
    )
    steps(None, None, None, None, None, None)
    assert log == ["read 0", "write 0", "read 1", "write 1"]
