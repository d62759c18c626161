"""Every algorithm gives the oracle's answer on every problem of the suite "correctness" that it supports."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, lru_cache

import numpy as np
import pytest
from _pytest.mark import ParameterSet

from convbench import suites, verify
from convbench.algorithm import Unsupported, algorithms
from convbench.data import arrays
from convbench.driver import kernel
from convbench.machine import SHIPPED
from convbench.reference import oracle
from convbench.spec import ConvSpec
from convbench.suites import Problem
from convbench.verify import Verdict, check

DTYPES = ("float32", "float64")


@cache
def problems() -> list[Problem]:
    """The suite in both dtypes, each problem once."""
    listed = [
        Problem(problem.spec.replace(dtype=dtype), problem.weights)
        for problem in suites.load("correctness")
        for dtype in DTYPES
    ]
    return list(dict.fromkeys(listed))


def slow(name: str, problem: Problem) -> bool:
    """Whether a call is predicted to take more than 5 ms: plain Python's, in this suite."""
    algorithm, spec = algorithms()[name], problem.spec
    return bool(spec.N) and algorithm.cost(algorithm.plan(spec, 1, None), SHIPPED) > 0.005


def supported(name: str) -> list[Problem]:
    """What the algorithm supports and solves in no time."""
    within = [problem for problem in problems() if algorithms()[name].supports(problem.spec) is None]
    return [problem for problem in within if not slow(name, problem)]


def checked(name: str, problem: Problem, kind: str = "normal", **options: int | None) -> Verdict:
    kind = problem.weights if kind == "normal" and problem.weights != "dense" else kind
    return check(name, problem.spec, kind=kind, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module", autouse=True)
def _truths_are_computed_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verify, "truth", lru_cache(maxsize=1024)(verify.truth.__wrapped__))
        yield


by_algorithm = pytest.mark.parametrize("name", algorithms())


def every_pair() -> Iterator[ParameterSet]:
    for name, algorithm in algorithms().items():
        for problem in problems():
            late = algorithm.supports(problem.spec) is None and slow(name, problem)
            yield pytest.param(name, problem, id=f"{name}: {problem}", marks=[pytest.mark.slow] * late)


@pytest.mark.parametrize(("name", "problem"), list(every_pair()))
def test_every_problem(name: str, problem: Problem) -> None:
    if reason := algorithms()[name].supports(problem.spec):
        with pytest.raises(Unsupported, match=r".+ cannot solve .+: .+") as refusal:
            check(name, problem.spec)
        assert reason in str(refusal.value)
        pytest.skip(reason)
    verdict = checked(name, problem)
    assert verdict.ok, verdict
    assert verdict.checked == np.prod(problem.spec.output_shape)


@pytest.mark.parametrize("kind", ["integer", "scaled", "relu"])
@by_algorithm
def test_other_data(name: str, kind: str) -> None:
    """Exact algorithms agree bit for bit where every partial sum is an integer that the dtype holds."""
    for problem in supported(name):
        verdict = checked(name, problem, kind)
        assert verdict.ok, verdict
        if kind == "integer" and algorithms()[name].exact:
            assert verdict.error == 0, verdict


@pytest.mark.parametrize("threads", [2, 5])
@by_algorithm
def test_threads(name: str, threads: int) -> None:
    for problem in supported(name):
        verdict = checked(name, problem, threads=threads)
        assert verdict.ok, verdict


@by_algorithm
def test_workspace_limits_are_met_or_refused(name: str) -> None:
    """Whatever the limit: a kernel within it that is right, or a refusal that names the limit."""
    for problem in supported(name):
        free = kernel(problem.spec, name, threads=2).workspace_bytes
        for limit in {0, free // 4, free // 2, max(0, free - 1), free}:
            refusal = ""
            try:
                planned = kernel(problem.spec, name, threads=2, workspace_limit=limit)
            except Unsupported as error:
                refusal = str(error)
            if refusal:
                assert limit < free, refusal
                assert str(limit) in refusal, refusal
            else:
                assert planned.workspace_bytes <= limit
                verdict = checked(name, problem, threads=2, workspace_limit=limit)
                assert verdict.ok, verdict


@pytest.mark.parametrize("dtype", DTYPES)
@by_algorithm
def test_bounds_are_tight_enough_to_catch_a_lost_tap(name: str, dtype: str) -> None:
    """No bound is above 30 × the largest error seen over the suite."""
    verdicts = [
        checked(name, problem, kind)
        for problem in supported(name)
        if problem.spec.dtype == dtype
        for kind in ("normal", "relu", "scaled")
    ]
    largest = max(verdict.error for verdict in verdicts)
    bound = max(verdict.bound for verdict in verdicts)
    assert bound <= 30 * largest, f"bound {bound:.3g} is {bound / largest:.3g} × the largest error seen, {largest:.3g}"


def reads(spec: ConvSpec, pixel: tuple[int, ...]) -> np.ndarray:
    """Outputs, as a mask of output_shape, whose sum holds the input pixel (n, c, …)."""
    mark = np.zeros(spec.input_shape, np.float32)
    mark[pixel] = 1
    return oracle(mark, np.ones(spec.weight_shape, np.float32), None, spec) > 0


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [name for name, algorithm in algorithms().items() if algorithm.local])
def test_local_algorithms_keep_nonfinite_pixels_to_the_outputs_that_read_them(name: str, poison: float) -> None:
    for problem in supported(name):
        spec = problem.spec
        if not spec.N:
            continue
        x, w, bias = arrays(spec, kind="normal" if problem.weights == "dense" else problem.weights)
        solve = kernel(spec, name, threads=1)
        clean = solve(x, w, bias)
        rng = np.random.default_rng(0)
        for pixel in {tuple(size - 1 for size in x.shape), tuple(int(rng.integers(size)) for size in x.shape)}:
            spoilt = x.copy()
            spoilt[pixel] = poison
            y, touched = solve(spoilt, w, bias), reads(spec, pixel)
            assert not np.isfinite(y[touched]).any(), f"{spec}: {poison} at {pixel} was lost"
            assert np.isfinite(y[~touched]).all(), f"{spec}: {poison} at {pixel} spread"
            assert np.array_equal(y[~touched], clean[~touched]), f"{spec}: {poison} at {pixel} changed other outputs"
