"""Unknown names, constraints that make no sense or that nothing meets, spoilt files of choices."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from refusals import SPEC, refused, w, x

import convbench as cb
from convbench import choices
from convbench.algorithm import UnknownAlgorithm
from convbench.arguments import SpecError
from convbench.driver import Kernel

NAMES: dict[Any, str] = {
    "dirct": r"unknown algorithm 'dirct'; did you mean 'direct'\? allowed: .*im2col",
    "Direct": r"unknown algorithm 'Direct'; did you mean 'direct'\?",
    "winograd_4x4_3": r"unknown algorithm 'winograd_4x4_3'; did you mean 'winograd_4x4_3x3'\?",
    "": r"unknown algorithm ''; allowed: .*direct",
    "magic": r"unknown algorithm 'magic'; allowed: .*direct",
    None: r"unknown algorithm None; allowed: .*direct",
    3: r"unknown algorithm 3; allowed: .*direct",
    ("direct",): r"unknown algorithm \('direct',\);.* allowed: .*direct",
}


@pytest.mark.parametrize("name", NAMES)
def test_unknown_algorithms(name: Any) -> None:
    for call in (
        lambda: cb.kernel(SPEC, name),
        lambda: cb.check(name, SPEC),
        lambda: cb.conv2d(x, w, algorithm=name),
    ):
        refused(call, UnknownAlgorithm, NAMES[name])


def test_a_list_is_no_algorithm() -> None:
    for call in (lambda: cb.kernel(SPEC, ["direct"]), lambda: cb.conv2d(x, w, algorithm=["direct"])):
        refused(call, UnknownAlgorithm, r"unknown algorithm \['direct'\]")


def test_auto_is_no_algorithm_of_a_kernel() -> None:
    refused(lambda: cb.kernel(SPEC, "auto"), UnknownAlgorithm, "unknown algorithm 'auto'")


#: constraints of fastest, explain and conv2d, and of kernel and check where those take them
CONSTRAINTS: dict[str, tuple[dict[str, Any], str]] = {
    "threads 0": ({"threads": 0}, r"threads is 0; allowed: an integer from 1"),
    "threads negative": ({"threads": -2}, r"threads is -2; allowed"),
    "threads beyond any machine's": (
        {"threads": 99_999},
        r"threads is 99999; allowed: an integer from 1 to [1-9][0-9]+$",
    ),
    "threads a float": ({"threads": 1.5}, r"threads is 1.5; allowed"),
    "threads bool": ({"threads": True}, r"threads is True; allowed"),
    "threads a list": ({"threads": [2]}, r"threads is \[2\]; allowed"),
    "workspace negative": ({"workspace_limit": -1}, r"workspace_limit is -1; allowed: an integer from 0"),
    "workspace text": ({"workspace_limit": "1 MB"}, r"workspace_limit is '1 MB'; allowed"),
    "error 0": ({"max_error": 0}, r"max_error is 0; allowed: None or a number > 0"),
    "error negative": ({"max_error": -1e-3}, r"max_error is -0.001; allowed"),
    "error NaN": ({"max_error": float("nan")}, r"max_error is nan; allowed"),
    "error text": ({"max_error": "small"}, r"max_error is 'small'; allowed"),
    "nonfinite unknown": ({"nonfinite": "global"}, r"nonfinite is 'global'; allowed: None or 'local'"),
    "nonfinite a list": ({"nonfinite": ["local"]}, r"nonfinite is \['local'\]; allowed"),
}


@pytest.mark.parametrize("case", CONSTRAINTS)
def test_constraints(case: str) -> None:
    given, message = CONSTRAINTS[case]
    refused(lambda: cb.fastest(SPEC, **given), SpecError, message)
    refused(lambda: cb.explain(SPEC, **given), SpecError, message)
    refused(lambda: cb.conv2d(x, w, **given), SpecError, message)
    if set(given) <= {"threads", "workspace_limit"}:
        refused(lambda: cb.kernel(SPEC, "im2col", **given), SpecError, message)
        refused(lambda: cb.conv2d(x, w, algorithm="im2col", **given), SpecError, message)
        refused(lambda: cb.check("im2col", SPEC, **given), SpecError, message)


def test_what_an_algorithm_cannot_is_said_by_kernel_and_never_later() -> None:
    sentence = r"pointwise cannot solve mb1ic4ih8oc6oh6kh3: the filter is 3×3; pointwise is for 1×1 filters"
    for call in (
        lambda: cb.kernel(SPEC, "pointwise"),
        lambda: cb.check("pointwise", SPEC),
        lambda: cb.conv2d(x, w, algorithm="pointwise"),
    ):
        refused(call, cb.Unsupported, sentence)


def test_workspace_that_is_not_enough_is_named_with_the_limit() -> None:
    refused(lambda: cb.kernel(SPEC, "im2col", workspace_limit=7), cb.Unsupported, r"im2col needs [0-9]+ bytes.* is 7$")


def test_constraints_that_nothing_meets() -> None:
    message = r"no algorithm meets these constraints for mb1ic4ih8oc6oh6kh3.*direct: error bound .* above max_error"
    refused(lambda: cb.fastest(SPEC, max_error=1e-12), cb.Unsupported, message)
    refused(lambda: cb.conv2d(x, w, max_error=1e-12), cb.Unsupported, message)


def test_constraints_are_for_auto() -> None:
    message = "max_error and nonfinite constrain algorithm='auto'; algorithm is 'direct'"
    refused(lambda: cb.conv2d(x, w, algorithm="direct", max_error=1e-3), SpecError, message)
    refused(lambda: cb.conv2d(x, w, algorithm="direct", nonfinite="local"), SpecError, message)


def test_kernels_are_made_by_kernel_with_the_reason_why() -> None:
    assert isinstance(cb.kernel(SPEC, "direct"), Kernel)
    assert cb.kernel(SPEC, "direct").why == "direct: asked for by name"


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"version": 1}', '{"version": "x", "choices": {}}', json.dumps({"choices": 3}), "\0"],
)
def test_a_corrupt_selection_file_is_one_warning_and_no_exception(text: str, user_cache: Path) -> None:
    user_cache.mkdir()
    choices.path().write_text(text)
    with pytest.warns(UserWarning, match=r"choices.json are ignored \(.*\); run a benchmark to renew them") as caught:
        assert cb.fastest(SPEC).algorithm in cb.list_algorithms()
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cb.fastest(SPEC, threads=1)


def test_a_selection_file_that_cannot_be_read_is_one_warning(user_cache: Path) -> None:
    choices.path().mkdir(parents=True)
    with pytest.warns(UserWarning, match=r"choices.json are ignored") as caught:
        cb.fastest(SPEC)
    assert len(caught) == 1
