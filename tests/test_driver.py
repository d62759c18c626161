"""The driver: what it accepts, whose memory it uses, and what every algorithm's run is handed."""

from __future__ import annotations

import threading
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from samples import LARGER, by_algorithm, by_dtype, sample

from convbench.algorithm import Algorithm, algorithms
from convbench.data import arrays
from convbench.driver import Kernel, kernel
from convbench.kernels.layout import ALIGNMENT
from convbench.kernels.threads import available
from convbench.spec import ConvSpec


def strided(array: np.ndarray) -> dict[str, np.ndarray]:
    """Arrays equal to ``array`` in every memory layout that NumPy has."""
    flat = np.empty(array.nbytes + 1, np.uint8)
    unaligned = flat[1:].view(array.dtype).reshape(array.shape)
    wide = np.empty((*array.shape[:-1], 3 * array.shape[-1]), array.dtype)
    read_only = array.copy()
    read_only.flags.writeable = False
    layouts = {
        "Fortran order": np.empty(array.shape, array.dtype, order="F"),
        "every third column": wide[..., 1::3],
        "backwards": np.empty_like(array)[(slice(None, None, -1),) * array.ndim],
        "channels last": np.moveaxis(np.empty((array.shape[0], *array.shape[2:], array.shape[1]), array.dtype), -1, 1)
        if array.ndim > 2
        else np.empty((2, *array.shape), array.dtype)[1],
        "unaligned": unaligned,
        "a part of a larger array": np.empty([size + 2 for size in array.shape], array.dtype)[
            tuple(slice(1, -1) for _ in array.shape)
        ],
    }
    for layout in layouts.values():
        layout[...] = array
    return {**layouts, "read-only": read_only}


@by_algorithm
@by_dtype
def test_inputs_of_any_strides(name: str, dtype: str) -> None:
    spec = sample(name, dtype)
    x, w, bias = arrays(spec)
    solve = kernel(spec, name, threads=1)
    want = solve(x, w, bias)
    for layout, x_alike in strided(x).items():
        assert np.array_equal(solve(x_alike, w, bias), want), f"input {layout}"
    for layout, w_alike in strided(w).items():
        assert np.array_equal(solve(x, w_alike, bias), want), f"weight {layout}"
        assert np.array_equal(solve.prepare(w_alike, bias)(x), want), f"weight {layout}, prepared"
    for layout, bias_alike in strided(bias).items():
        assert np.array_equal(solve(x, w, bias_alike), want), f"bias {layout}"


def test_whatever_asarray_takes() -> None:
    spec = ConvSpec((1, 1, 3), (1, 1, 2), dtype="float64")
    y = kernel(spec, "direct")([[[1.0, 2.0, 3.0]]], [[[1.0, 0.0]]], [0.5])
    assert y.tolist() == [[[1.5, 2.5]]]


@by_algorithm
@by_dtype
def test_out_is_written_whole_and_returned(name: str, dtype: str) -> None:
    spec = sample(name, dtype)
    operands = arrays(spec)
    solve = kernel(spec, name, threads=1)
    layer = solve.prepare(*operands[1:])
    want = solve(*operands)
    assert want.shape == spec.output_shape
    assert want.dtype == dtype
    assert want.flags.c_contiguous
    for layout, out in strided(want).items():
        if layout == "read-only":
            continue
        out[...] = np.nan
        assert solve(*operands, out=out) is out
        assert np.array_equal(out, want), layout
        out[...] = np.nan
        assert layer(operands[0], out=out) is out
        assert np.array_equal(out, want), layout


def test_nothing_outside_a_strided_out_is_written() -> None:
    spec = ConvSpec((2, 3, 8, 8), (4, 3, 3, 3))
    x, w, bias = arrays(spec)
    whole = np.full((2, 9, 7, 7), 5, np.float32)
    out = whole[:, 2:6, 1:, 1:]
    kernel(spec, "direct")(x, w, bias, out=out)
    rest = np.ones(whole.shape, bool)
    rest[:, 2:6, 1:, 1:] = False
    assert (whole[rest] == 5).all()


@by_algorithm
@by_dtype
def test_no_operand_is_ever_written(name: str, dtype: str) -> None:
    spec = sample(name, dtype)
    operands = [operand.copy() for operand in arrays(spec)]
    before = [operand.tobytes() for operand in operands]
    solve = kernel(spec, name, threads=1)
    solve(*operands)
    layer = solve.prepare(*operands[1:])
    layer(operands[0])
    layer.time_phases(operands[0])
    assert before == [operand.tobytes() for operand in operands]


@by_algorithm
@by_dtype
def test_a_layer_keeps_copies(name: str, dtype: str) -> None:
    spec = sample(name, dtype)
    x, w, bias = (operand.copy() for operand in arrays(spec))
    layer = kernel(spec, name, threads=1).prepare(w, bias)
    want = layer(x)
    w[...], bias[...] = np.nan, np.nan
    assert np.array_equal(layer(x), want)


@by_algorithm
def test_the_same_call_gives_the_same_bits(name: str) -> None:
    spec = sample(name)
    operands = arrays(spec)
    solve = kernel(spec, name, threads=1)
    layer = solve.prepare(*operands[1:])
    first = solve(*operands)
    for y in (solve(*operands), layer(operands[0]), layer(operands[0]), kernel(spec, name, threads=1)(*operands)):
        assert np.array_equal(first, y)


@by_algorithm
def test_an_empty_batch_gives_an_empty_result(name: str) -> None:
    spec = sample(name)
    spec = spec.replace(input_shape=(0, *spec.input_shape[1:]))
    x, w, bias = arrays(spec)
    solve = kernel(spec, name)
    for y in (solve(x, w, bias), solve.prepare(w)(x), solve(x, w, out=np.empty(spec.output_shape, np.float32))):
        assert y.shape == spec.output_shape
        assert y.size == 0


class Spy:
    """An algorithm's run that notes what it was handed."""

    def __init__(self, algorithm: Algorithm) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.algorithm = replace(algorithm, run=self)
        self._run = algorithm.run

    def __call__(self, *arguments: Any) -> None:
        self.calls.append(arguments)
        self._run(*arguments)


@by_algorithm
@by_dtype
@pytest.mark.parametrize("threads", [1, 3])
def test_run_is_handed_what_the_contract_says(name: str, dtype: str, threads: int) -> None:
    spec = sample(name, dtype)
    spy = Spy(algorithms()[name])
    solve = Kernel(spy.algorithm, spec, threads, None, "spied on")
    solve(*arrays(spec))
    solve.prepare(arrays(spec)[1])(arrays(spec)[0])
    for (plan, x, _, bias, y, work), biased in zip(spy.calls, (True, False), strict=True):
        assert plan is solve.plan
        for array, shape in ((x, spec.input_shape), (y, spec.output_shape), (bias, (spec.K,))):
            if array is not bias or biased:
                assert array.shape == shape
                assert array.dtype == dtype
                assert array.flags.c_contiguous
                assert array.flags.writeable, "Numba would see a second type"
        assert (bias is not None) == biased
        assert work.dtype == np.uint8
        assert work.shape == (solve.workspace_bytes,) == (spy.algorithm.workspace(plan),)
        assert not work.size or work.ctypes.data % ALIGNMENT == 0
    assert solve.threads == threads


def test_contiguous_memory_of_the_caller_is_used_as_it_is() -> None:
    spec = sample("direct")
    spy = Spy(algorithms()["direct"])
    solve = Kernel(spy.algorithm, spec, 1, None, "spied on")
    x, w, bias = arrays(spec)  # read-only
    out = np.empty(spec.output_shape, np.float32)
    solve(x, w, bias, out=out)
    (_, x_seen, _, bias_seen, y_seen, _) = spy.calls[0]
    assert [x_seen.ctypes.data, bias_seen.ctypes.data, y_seen.ctypes.data] == [
        x.ctypes.data, bias.ctypes.data, out.ctypes.data,
    ]  # fmt: skip
    assert not x.flags.writeable


@by_algorithm
def test_run_allocates_nothing(name: str) -> None:
    """Beyond small change: no array the size of an operand. SciPy's transforms are declared, and excepted."""
    spec = sample(name, among=LARGER)
    solve = kernel(spec, name, threads=1)
    x, w, bias = arrays(spec)
    layer, out = solve.prepare(w, bias), np.empty(spec.output_shape, np.float32)
    layer(x, out=out)
    tracemalloc.start()
    try:
        layer(x, out=out)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    module = __import__(algorithms()[name].prepare.__module__, fromlist=["__doc__"])
    if "scipy.fft" not in (module.__doc__ or ""):
        assert peak < min(x.nbytes, out.nbytes) / 2, f"{peak} bytes at once"


@by_algorithm
def test_two_callers_at_once(name: str) -> None:
    """One kernel and one layer shared by Python threads that call them over and over."""
    spec = sample(name)
    solve = kernel(spec, name, threads=2)
    batches = [arrays(spec, seed) for seed in range(4)]
    want = [solve(*operands) for operands in batches]
    layer = solve.prepare(*batches[0][1:])
    failures: list[str] = []
    ready = threading.Barrier(4)

    def call(number: int) -> None:
        ready.wait()
        for _ in range(5):
            if not np.array_equal(solve(*batches[number]), want[number]):
                failures.append(f"caller {number} got another's answer")
            if not np.array_equal(layer(batches[0][0]), want[0]):
                failures.append(f"the layer gave caller {number} another answer")

    callers = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not failures, failures


def test_threads() -> None:
    spec, larger = sample("direct"), sample("direct", among=LARGER)
    assert kernel(spec, "direct").threads == 1
    assert kernel(larger, "direct").threads == available()
    assert kernel(spec, "direct", threads=7).threads == 7


def test_a_kernel_tells_what_it_is() -> None:
    spec = sample("direct")
    solve = kernel(spec, "direct")
    assert solve.algorithm == "direct"
    assert solve.spec == spec
    assert 0 < solve.error_bound < 1e-4
    assert solve.why == "direct: asked for by name"
    assert str(spec) in repr(solve)
