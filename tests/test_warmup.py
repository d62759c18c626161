"""Likenesses: small problems that reach every kernel a run needs."""

from __future__ import annotations

import pytest

from convbench.bench.warmup import likeness, likenesses
from convbench.spec import ConvSpec


@pytest.mark.parametrize(
    ("text", "small"),
    [
        ("mb8ic512ih56oc512oh56kh3ph1", "mb1ic32ih23oc32oh23kh3ph1"),
        ("g960mb1ic960ih7oc960oh7kh3ph1", "g32mb1ic32ih7oc32oh7kh3ph1"),
        ("g32mb1ic128ih56oc256oh56kh3ph1", "g4mb1ic16ih23oc32oh23kh3ph1"),
        ("mb1ic1iw480000oc1ow478977kw1024", "mb1ic1iw1044oc1ow21kw1024"),
        ("--dt=f64 mb1ic3ih224oc64oh112kh7sh2ph3", "--dt=f64 mb1ic3ih27oc32oh13kh7sh2ph3"),
    ],
)
def test_a_likeness_keeps_what_kernels_are_compiled_for(text: str, small: str) -> None:
    spec = ConvSpec.parse(text)
    assert likeness(spec) == ConvSpec.parse(small)
    assert len(likenesses([spec, likeness(spec)])) == 1
