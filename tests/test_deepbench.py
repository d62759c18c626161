"""DeepBench's rows: a published one and its descriptor, round trips, errors with their place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_formats import listed, symmetric
from test_spec import specs

from convbench import suites
from convbench.formats import deepbench
from convbench.spec import ConvSpec, DescriptorError, SpecError

ROW = "std::make_tuple(700, 161, 1, 4, 32, 20, 5, 0, 0, 2, 2)"


def test_a_row_of_deepbench_is_this_descriptor() -> None:
    assert deepbench.loads(ROW) == [ConvSpec.parse("mb4_ic1ih161iw700_oc32_kh5kw20_sh2sw2_ph0pw0")]


def test_width_stands_before_height_throughout() -> None:
    (spec,) = deepbench.loads("std::make_tuple(151, 40, 1, 2, 32, 20, 5, 8, 3, 4, 2)")
    assert (spec.input_shape, spec.weight_shape) == ((2, 1, 40, 151), (32, 1, 5, 20))
    assert (spec.padding, spec.stride) == (((3, 3), (8, 8)), (2, 4))


def test_a_header_of_deepbench(tmp_path: Path) -> None:
    path = tmp_path / "conv_problems.h"
    path.write_text(
        "// w, h, c, n\nstd::vector<std::tuple<unsigned int>> training_set = {\n"
        f"    {ROW},  // speech*3\n    //{ROW}, faults\n    /* {ROW} */\n"
        "    std::make_tuple(\n        8, 8, 3, 1, 4, 3, 3,\n        1, 1, 1, 1)\n};  // end\n"
    )
    small = ConvSpec((1, 3, 8, 8), (4, 3, 3, 3), padding=1)
    assert listed(deepbench.read(path)) == [
        (deepbench.loads(ROW)[0], "speech", 3),
        (small, "", 1),
    ]
    assert [problem.spec for problem in suites.resolve(str(path))] == [deepbench.loads(ROW)[0], small]


@given(st.lists(symmetric(), max_size=4))
def test_deepbench_reads_back(drawn: list[ConvSpec]) -> None:
    plain = [spec for spec in drawn if spec.ndim == 2 and spec.groups == 1 and {*spec.dilation} == {1}]
    assert listed(deepbench.loads(deepbench.dumps(plain))) == listed(plain)


@given(specs())
def test_what_deepbench_cannot_hold_is_refused_and_the_rest_kept(spec: ConvSpec) -> None:
    plain = (spec.ndim, spec.dtype, spec.groups, {*spec.dilation}) == (2, "float32", 1, {1})
    if plain and spec.symmetric_padding is not None:
        assert deepbench.loads(deepbench.dumps([spec])) == [spec]
    else:
        with pytest.raises(SpecError, match="allowed in a DeepBench row: 2-D"):
            deepbench.dumps([spec])


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("\n  std::make_tuple(35, 700, 2048, false)", "2:19", "found 4 values; allowed: 11 integers, w, h, c, n"),
        (ROW.replace("161", "x"), "1:22", "h is 'x'; allowed: an integer"),
        (ROW.replace("32", "9" * 40), "1:33", "k is '9999"),
        (ROW.replace("20", "0"), "1:17", r"weight_shape\[3\] is 0"),
        (ROW.replace("161", "-1"), "1:17", r"input_shape\[2\] is -1"),
    ],
)
def test_errors_of_deepbench_carry_file_line_and_column(tmp_path: Path, text: str, place: str, reason: str) -> None:
    path = tmp_path / "rows.h"
    path.write_text(text)
    with pytest.raises(DescriptorError, match=reason) as caught:
        suites.resolve(str(path))
    assert str(caught.value).startswith(f"{path}:{place}: ")
