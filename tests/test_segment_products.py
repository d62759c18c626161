"""Small images with output channels in the lanes: right for every stride, dilation, tail and share of the threads."""

from __future__ import annotations

import dataclasses

import pytest

from convbench.algorithm import get
from convbench.kernels.segment_plans import SegmentPlan, plan_segments
from convbench.kernels.simd import VECTOR_BYTES
from convbench.spec import ConvSpec
from convbench.verify import check

pytestmark = pytest.mark.skipif(VECTOR_BYTES != 64, reason="only the widest vectors lose lanes to narrow images")

PROBLEMS = [
    "g3mb2ic48ih7oc48oh7kh3ph1",
    "g2mb1ic30ih14oc70oh7kh3sh2ph1",  # channels that fill no vector
    "g2mb3ic32ih16iw15oc32oh16ow8kh3kw3sh1sw2ph1pw1",  # a stride along the row only
    "g2mb1ic32ih15iw16oc32oh8ow16kh3kw3sh2sw1ph1pw1",
    "g2mb1ic34ih9oc36oh9kh3ph1",  # the last segment of a row overlaps the one before
    "mb1ic150ih14oc40oh14kh3ph1",  # sums over blocks of input channels
    "mb2ic40ih11iw9oc33oh9ow7kh3kw3",
    "g2mb1ic32ih14oc32oh14kh3dh1ph2",
    "g2mb1ic32ih7oc32oh7kh5ph2",
    "mb1ic20ih1iw30oc40oh1ow28kh1kw3",
    "mb1ic64ih7oc64oh7kh1",
]  # fmt: skip


def in_segments(spec: ConvSpec, threads: int, workspace_limit: int | None) -> SegmentPlan:
    plan = plan_segments(spec, threads, workspace_limit)
    assert plan is not None
    return plan


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_sums_are_right(problem: str, threads: int, dtype: str) -> None:
    direct = dataclasses.replace(get("direct"), name="segments", plan=in_segments)
    verdict = check(direct, ConvSpec.parse(problem).replace(dtype=dtype), threads=threads)
    assert verdict.ok, verdict


@pytest.mark.parametrize(
    "problem",
    [
        "mb1ic64ih5oc64oh5kh3ph1",  # narrower than a segment
        "g2mb1ic64ih31oc64oh11kh3sh3ph1",
        "g2mb1ic32id4ih9iw9oc32od4oh9ow9kd3kh3kw3pd1ph1pw1",
        "mb1ic64ih112oc64oh112kh3ph1",  # too much for L2
        "mb1ic64ih5iw7oc64oh5ow7kh3kw3ph1pw1",  # five segments are no shares of four and three
    ],
)
def test_others_are_left_to_strips(problem: str) -> None:
    assert plan_segments(ConvSpec.parse(problem), 1, None) is None


def test_room_decides() -> None:
    spec = ConvSpec.parse(PROBLEMS[0])
    plan = in_segments(spec, 1, None)
    assert in_segments(spec, 1, plan.scratch).scratch == plan.scratch
    assert plan_segments(spec, 1, plan.scratch - 1) is None
