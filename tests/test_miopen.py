"""Commands of MIOpen's driver: lines checked by hand, round trips, errors with their place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_formats import listed, symmetric
from test_spec import specs

from convbench import suites
from convbench.formats import miopen
from convbench.spec import ConvSpec, DescriptorError, SpecError


@pytest.mark.parametrize(
    ("options", "spec"),
    [
        (
            "-n 128 -c 3 -H 224 -W 226 -k 64 -y 7 -x 5 -p 3 -q 2 -u 2 -v 1 -l 1 -j 1 -m conv -g 1 -F 1 -t 1",
            ConvSpec((128, 3, 224, 226), (64, 3, 7, 5), stride=(2, 1), padding=(3, 2)),
        ),
        (
            "--batchsize 2 --in_channels 64 --in_h 27 --in_w 28 --out_channels 128 --fil_h 5 --fil_w 3 --pad_h 2 "
            "--pad_w 1 --conv_stride_h 1 --conv_stride_w 2 --dilation_h 2 --dilation_w 3 --group_count 32 --forw 3",
            ConvSpec((2, 64, 27, 28), (128, 2, 5, 3), stride=(1, 2), padding=(2, 1), dilation=(2, 3), groups=32),
        ),
        (
            "-_ 3 -n 1 -c 4 -! 6 -H 7 -W 8 -k 5 -@ 1 -y 2 -x 3 -$ 0 -p 1 -q 2 -# 1 -u 2 -v 3 -^ 1 -l 2 -j 1",
            ConvSpec((1, 4, 6, 7, 8), (5, 4, 1, 2, 3), (1, 2, 3), (0, 1, 2), (1, 2, 1)),
        ),
        ("", ConvSpec((100, 3, 32, 32), (32, 3, 3, 3))),
        ("--in_d 9 -n 1 -I NHWC -O NHWC -f NHWC", ConvSpec((1, 3, 32, 32), (32, 3, 3, 3), layout="NHWC")),
        ("-n 1 \\\n  -p 1 -q 1 2>&1 | tee log", ConvSpec((1, 3, 32, 32), (32, 3, 3, 3), padding=1)),
    ],
)
def test_commands_of_the_driver(options: str, spec: ConvSpec) -> None:
    assert miopen.loads(f"./bin/MIOpenDriver conv {options}\n") == [spec]


def test_a_script_of_driver_commands(tmp_path: Path) -> None:
    path = tmp_path / "net.sh"
    path.write_text(
        "#!/bin/sh\n# MIOpenDriver pool\ncd build\n./MIOpenDriver conv -n 1  # net.conv1*4\n"
        "MIOpen(HIP): Command [LogCmdConvolution] ./bin/MIOpenDriver conv -n 2 -F 0\n./MIOpenDriver conv -n 1\n"
    )
    first, second = ConvSpec((1, 3, 32, 32), (32, 3, 3, 3)), ConvSpec((2, 3, 32, 32), (32, 3, 3, 3))
    assert listed(miopen.read(path)) == [(first, "net.conv1", 4), (second, "", 1), (first, "", 1)]
    assert listed(problem.spec for problem in suites.resolve(str(path))) == [(first, "net.conv1", 5), (second, "", 1)]


@given(st.lists(symmetric(), max_size=4), st.sampled_from(["NCHW", "NHWC"]))
def test_miopen_reads_back(drawn: list[ConvSpec], layout: str) -> None:
    problems = [spec.replace(layout=layout) for spec in drawn if spec.ndim > 1]
    assert listed(miopen.loads(miopen.dumps(problems))) == listed(problems)


@given(specs())
def test_what_the_driver_cannot_run_is_refused_and_the_rest_kept(spec: ConvSpec) -> None:
    if spec.ndim > 1 and spec.dtype == "float32" and spec.symmetric_padding is not None:
        assert miopen.loads(miopen.dumps([spec])) == [spec]
    else:
        with pytest.raises(SpecError, match="allowed in a command of MIOpenDriver: 2-D or 3-D, float32"):
            miopen.dumps([spec])


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        ("MIOpenDriver convfp16 -n 1", "1:14", "operation is 'convfp16'; allowed: 'conv', the convolution of float32"),
        ("\nMIOpenDriver pool -n 1", "2:14", "operation is 'pool'"),
        ("MIOpenDriver", "1:1", "operation is missing"),
        ("MIOpenDriver conv -n 1 -F 2", "1:27", "-F is '2'; allowed: 0, 1, 3, 5, which include the forward direction"),
        ("MIOpenDriver conv --mode trans", "1:26", "--mode is 'trans'; allowed: conv"),
        ("MIOpenDriver conv --pad_mode same", "1:30", "--pad_mode is 'same'; allowed: default"),
        ("MIOpenDriver conv --fil_hh 3", "1:19", "option --fil_hh is not known; did you mean '--fil_h'"),
        ("MIOpenDriver conv -n 1 -c", "1:26", "expected a value after -c"),
        ("MIOpenDriver conv \\\n -H 3x", "2:5", "-H is '3x'; allowed: an integer from 0 up"),
        ("MIOpenDriver conv -g 2", "1:14", "group_count is 2; allowed: a divisor of in_channels, 3"),
        ("MIOpenDriver conv -y 99", "1:14", "filter is"),
        ("MIOpenDriver conv -I NHWC", "1:14", "in_layout and out_layout differ"),
    ],
)
def test_errors_of_commands_carry_line_and_column(text: str, place: str, reason: str) -> None:
    with pytest.raises(DescriptorError, match=reason) as caught:
        miopen.loads(text)
    assert str(caught.value).startswith(f"<text>:{place}: ")
