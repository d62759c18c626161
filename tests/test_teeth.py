"""The tests are tested: ``check`` accepts a correct algorithm and rejects every sabotaged copy of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from sabotage import HONEST, RICH, SABOTAGE, run

from convbench import verify
from convbench.spec import ConvSpec
from convbench.verify import check

DTYPES = ("float32", "float64")


@pytest.fixture(params=["every output", "sampled outputs"])
def extent(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Also with sampling as for problems above 10⁸ multiply-adds."""
    verify.truth.cache_clear()
    if request.param == "sampled outputs":
        monkeypatch.setattr(verify, "FULL", 0)
    yield
    verify.truth.cache_clear()


@pytest.mark.usefixtures("extent")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_correct_algorithm_is_accepted(dtype: str) -> None:
    for spec in (
        RICH,
        ConvSpec((1, 3, 20), (5, 3, 4), padding=2, stride=3),
        ConvSpec((2, 4, 5, 6, 7), (6, 2, 3, 2, 1), groups=2, padding=1, dilation=(1, 2, 3)),
        ConvSpec((0, 3, 8, 8), (4, 3, 3, 3)),
        ConvSpec((1, 1, 1, 1), (1, 1, 1, 1)),
    ):
        verdict = check(HONEST, spec.replace(dtype=dtype))
        assert verdict.ok, verdict


@pytest.mark.usefixtures("extent")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SABOTAGE)
def test_the_sabotaged_one_is_rejected(name: str, dtype: str) -> None:
    verdict = check(SABOTAGE[name], RICH.replace(dtype=dtype))
    assert not verdict.ok, verdict
    assert verdict.reason
    assert "FAILED" in str(verdict)
    verdict = check(HONEST, RICH.replace(dtype=dtype))
    assert verdict.ok, f"the sabotage spoilt the data of later checks: {verdict}"


def test_another_plan_of_calls_that_prepare_the_filter_is_checked() -> None:
    def spec_of(plan: ConvSpec | tuple[ConvSpec]) -> ConvSpec:
        return plan if isinstance(plan, ConvSpec) else plan[0]

    def off_by_one(plan, x, w, bias, y, work):
        run(spec_of(plan), x, w, bias, y, work)
        if isinstance(plan, tuple):
            y += 1

    algorithm = replace(HONEST, name="apart", run=off_by_one, workspace=lambda plan: HONEST.workspace(spec_of(plan)))
    assert check(algorithm, RICH).ok
    assert not check(replace(algorithm, unprepared=lambda spec: (spec,)), RICH).ok


def test_single_precision_sums_of_a_double_precision_problem_are_rejected() -> None:
    def narrow(spec, x, w, bias, y, work):
        run(spec, x, w, bias, y, work)
        y[...] = y.astype(np.float32)

    verdict = check(replace(HONEST, name="narrow", run=narrow), RICH.replace(dtype="float64"))
    assert not verdict.ok, verdict


@pytest.mark.parametrize("taps", [(11, 11), (3, 3)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_lost_tap_of_many_thousand_products_is_rejected(taps: tuple[int, int], dtype: str) -> None:
    spec = ConvSpec((1, 96, 12, 12), (2, 96, *taps), dtype=dtype)
    assert check(HONEST, spec).ok
    verdict = check(SABOTAGE["middle_tap_lost"], spec)
    assert not verdict.ok, verdict


def test_a_bound_that_is_not_kept_is_reported() -> None:
    verdict = check(replace(HONEST, error=lambda plan: 1e-12), RICH)
    assert not verdict.ok
    assert "exceeds the bound 1e-12" in verdict.reason


@pytest.mark.usefixtures("extent")
def test_data_that_could_hardly_catch_an_error_is_called_weak() -> None:
    """48 of 49 outputs read nothing but padding."""
    verdict = check(HONEST, ConvSpec((1, 1, 1, 1), (1, 1, 1, 1), padding=3))
    assert verdict.ok
    assert verdict.weak
    assert "weak test" in str(verdict)
    assert not check(HONEST, RICH).weak
