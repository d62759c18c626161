"""Rivals: right by the same check as ours, optional, and timed for what their users pay."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from convbench.algorithm import Unsupported, list_algorithms
from convbench.data import arrays
from convbench.peers import Peer, UnknownPeer, get, installed, peers, symmetric_padding
from convbench.spec import ConvSpec
from convbench.verify import check

PROBLEMS = [
    "mb1ic1ih20iw17oc1oh20ow17kh3kw3ph1pw1",
    "mb1ic1ih20oc1oh16kh5ph0",
    "mb1ic1ih20oc1oh21kh4ph2",
    "mb2ic3ih9oc4oh9kh3ph1",
    "mb1ic4ih12oc6oh6kh3sh2ph1",
    "mb1ic4ih12oc4oh12kh3ph2dh1",
    "g4mb1ic4ih10oc8oh10kh3ph1",
    "g2mb1ic4ih10oc6oh8kh3ph0",
    "mb1ic1iw300oc1ow300kw33pw16",
    "mb1ic1iw300oc1ow292kw9pw0",
    "mb1ic2id6ih7iw8oc3od6oh7ow8kd3kh3kw3pd1ph1pw1",
    "--dt=f64 mb1ic1ih20oc1oh20kh7ph3",
    "mb1ic3ih11oc4oh6kh3sh2ph0",
    "mb2ic1ih20iw17oc1oh14ow17kh7kw1ph0pw0",
    "g3mb1ic3ih15iw20oc6oh15ow18kh13kw13ph6pw5",
    "mb1ic16ih14oc24oh14kh3ph1",
]
CASES = [(name, text) for name in peers() for text in PROBLEMS]


def kind(name: str) -> str:
    """The data that a rival takes: ``sepFilter2D`` has two vectors for a filter."""
    return "rank1" if name == "opencv_sepfilter2d" else "normal"


def refusal(rival: Peer, spec: ConvSpec) -> str | None:
    return rival.available() or rival.supports(spec)


@pytest.mark.parametrize(("name", "text"), CASES)
def test_a_rival_is_right_where_it_applies(name: str, text: str) -> None:
    rival, spec = get(name), ConvSpec.parse(text)
    if reason := refusal(rival, spec):
        pytest.skip(reason)
    verdict = check(rival, spec, kind=kind(name))
    assert verdict.ok, verdict.reason


@pytest.mark.skipif(get("opencv_sepfilter2d").available() is not None, reason="OpenCV is not installed")
def test_sepfilter2d_refuses_weights_that_are_not_of_rank_1() -> None:
    with pytest.raises(Unsupported, match="a column times a row"):
        check(get("opencv_sepfilter2d"), ConvSpec.parse(PROBLEMS[0]))


@pytest.mark.parametrize("name", [name for name, rival in peers().items() if rival.available() is None])
def test_every_installed_rival_applies_somewhere(name: str) -> None:
    assert [text for text in PROBLEMS if refusal(get(name), ConvSpec.parse(text)) is None]


@pytest.mark.parametrize(("name", "text"), CASES)
def test_the_timed_call_alone_gives_the_answer_and_changes_no_input(name: str, text: str) -> None:
    rival, spec = get(name), ConvSpec.parse(text)
    if reason := refusal(rival, spec):
        pytest.skip(reason)
    plan = rival.plan(spec, 1, None)
    operands = [array.copy() for array in arrays(spec, kind=kind(name))]
    state, x = rival.bind(plan, rival.prepare(plan, operands[1]), operands[2]), rival.load(plan, operands[0])
    first = rival.export(plan, rival.call(plan, x, state, operands[2])).copy()
    second = rival.export(plan, rival.call(plan, x, state, operands[2]))
    assert second.shape == spec.output_shape
    assert second.dtype == spec.np_dtype
    np.testing.assert_array_equal(first, second)
    for ours, original in zip(operands, arrays(spec, kind=kind(name)), strict=True):
        np.testing.assert_array_equal(ours, original)


@pytest.mark.parametrize("name", peers())
def test_a_refusal_is_a_sentence_and_a_cost_is_positive(name: str) -> None:
    from convbench.machine import SHIPPED

    rival = get(name)
    for spec in map(ConvSpec.parse, PROBLEMS):
        reason = rival.supports(spec)
        assert reason is None or (isinstance(reason, str) and " " in reason)
        if refusal(rival, spec) is None:
            assert rival.cost(rival.plan(spec, 1, None), SHIPPED) > 0


def test_rivals_are_no_algorithms_of_ours() -> None:
    assert not set(peers()) & set(list_algorithms())


def test_asking_for_rivals_imports_none_of_them() -> None:
    import subprocess

    optional = {"torch", "cv2", "onnx", "onnxruntime"}
    code = f"import sys, convbench.peers as p; p.peers(); sys.exit(bool({optional} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_package_is_a_reason() -> None:
    reason = installed("no_such_package_here")()
    assert reason is not None
    assert "no_such_package_here is not installed" in reason
    assert "no_such_package_here is not installed" in str(installed("numpy", "no_such_package_here")())
    assert installed("numpy")() is None


def test_an_unknown_rival_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownPeer, match="scipy_oaconvolve"):
        get("scipy_oaconvolv")


@pytest.mark.parametrize(
    ("text", "padding"),
    [("mb1ic1ih20oc1oh20kh3ph1", (1, 1)), ("mb1ic1ih20oc1oh21kh4ph2", (2, 2)), ("mb1ic1ih20oc1oh20kh4ph1", None)],
)
def test_symmetric_padding(text: str, padding: tuple[int, int] | None) -> None:
    assert symmetric_padding(ConvSpec.parse(text)) == padding
