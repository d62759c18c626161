"""The file of measured choices: what is read back, what is refused, and when a measurement counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from convbench import choices
from convbench.choices import Measured
from convbench.select import explain, fastest
from convbench.spec import ConvSpec

SPEC = ConvSpec.parse("mb1ic8ih20oc8oh20kh3ph1")
KEY = choices.key(SPEC, 1)


def test_a_record_decides(user_cache: Path) -> None:
    choices.record({KEY: {"im2col": Measured(1e-9, 1e-9, 0), "direct": Measured(2e-9, 1e-9, 1)}})
    chosen = fastest(SPEC, threads=1)
    assert chosen.algorithm == "im2col"
    assert "measured" in chosen.why


def test_records_merge(user_cache: Path) -> None:
    choices.record({KEY: {"im2col": Measured(1.0, 1.0, 0)}})
    choices.record({"another problem": {"direct": Measured(1.0, 1.0, 0)}})
    assert set(choices.load()) == {KEY, "another problem"}


@pytest.mark.parametrize(
    "numbers",
    [
        "[1, 1, Infinity]",
        "[-1, 1, 0]",
        "[NaN, 1, 0]",
        "[true, 1, 0]",
        "[1, 1, 0.5]",
        '["1", 1, 0]',
        "[1, 1]",
        f"[1{'0' * 400}, 1, 0]",
    ],
)
def test_numbers_that_cannot_be_are_ignored_with_one_warning(user_cache: Path, numbers: str) -> None:
    file = choices.record({KEY: {"im2col": Measured(1.0, 1.0, 0)}})
    text = file.read_text()
    good = json.dumps(json.loads(text)["choices"][KEY]["im2col"], indent=1)
    file.write_text(json.dumps(json.loads(text)).replace(json.dumps(json.loads(good)), numbers))
    with pytest.warns(UserWarning, match="ignored"):
        assert fastest(SPEC, threads=1).why.count("predicted")


def test_a_file_nested_too_deep_is_ignored_with_one_warning(user_cache: Path) -> None:
    choices.path().parent.mkdir(parents=True, exist_ok=True)
    choices.path().write_text("[" * 100_000)
    with pytest.warns(UserWarning, match="ignored"):
        assert "predicted" in fastest(SPEC, threads=1).why


def test_a_measurement_of_a_larger_plan_does_not_count_under_a_limit(user_cache: Path) -> None:
    spec = ConvSpec.parse("mb1ic8ih40oc8oh40kh3ph1")
    choices.record({choices.key(spec, 1): {"im2col": Measured(1e-9, 1e-9, 0)}})
    rows = {row.algorithm: row for row in explain(spec, threads=1, workspace_limit=20_000).rows}
    assert rows["im2col"].kernel is not None
    assert rows["im2col"].measured is None
    assert {row.algorithm: row for row in explain(spec, threads=1).rows}["im2col"].measured is not None
