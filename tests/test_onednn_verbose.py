"""Logs of oneDNN of all ages: what ran and how often, what is left out, errors with their place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from test_formats import listed
from test_spec import specs

from convbench import suites
from convbench.formats import onednn_verbose
from convbench.spec import ConvSpec, DescriptorError

STEM = "mb32_ic3oc64_ih224oh112kh7sh2dh0ph3_iw224ow112kw7sw2dw0pw3"
TENSORS = "src_f32::blocked:abcd:f0 wei_f32::blocked:Acdb16a:f0 bia_undef::undef::f0 dst_f32::blocked:aBcd16b:f0"
PASS = "jit:avx512_common,forward_training"


@pytest.mark.parametrize(
    "line",
    [
        f"mkldnn_verbose,exec,convolution,{PASS},fsrc:nchw fwei:Ohwi16o fbia:x,alg:convolution_direct,{STEM},15.6",
        f"dnnl_verbose,exec,cpu,convolution,{PASS},{TENSORS},,alg:convolution_direct,{STEM},0.25",
        f"onednn_verbose,primitive,exec,cpu,convolution,{PASS},{TENSORS},attr-scratchpad:user ,alg:auto,{STEM},0.25",
        f"onednn_verbose,v1,1697.25,primitive,exec,gpu:0,convolution,{PASS},src:f32:a:blocked:acdb::f0,,,{STEM}",
    ],
)
def test_lines_of_all_ages(line: str) -> None:
    assert onednn_verbose.loads(f"a program's own output\n{line}\n") == [
        ConvSpec((32, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3)
    ]


def executed(direction: str, dtype: str, descriptor: str) -> str:
    fields = f"jit:avx2,{direction},src_{dtype}::blocked:abcd::f0 wei_f32::blocked:abcd::f0,,alg:auto,{descriptor},0.1"
    return f"onednn_verbose,primitive,exec,cpu,convolution,{fields}\n"


def test_a_log_counts_what_ran(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    depthwise = "g32mb1_ic32oc32_ih14oh14kh3sh1dh0ph1_iw14ow14kw3sw1dw0pw1"
    path.write_text(
        "onednn_verbose,info,oneDNN v3.5\n"
        + executed("forward_inference", "f32", STEM)
        + executed("forward_training", "f32", depthwise)
        + executed("forward_training", "f32", STEM)
        + executed("forward_training", "f64", STEM)
        + f"onednn_verbose,primitive,create:cache_miss,cpu,convolution,{PASS},{TENSORS},,alg:auto,{STEM},3\n"
        + f"onednn_verbose,primitive,exec,cpu,deconvolution,{PASS},{TENSORS},,alg:auto,{STEM},3\n"
        + "onednn_verbose,primitive,exec,cpu,reorder,jit:uni,undef,src_f32::blocked:a::f0 dst_f32,,,16,0.2\n"
    )
    stem = ConvSpec((32, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3)
    expected = [
        (stem, "", 2),
        (ConvSpec((1, 32, 14, 14), (32, 1, 3, 3), padding=1, groups=32), "", 1),
        (stem.replace(dtype="float64"), "", 1),
    ]
    assert listed(onednn_verbose.read(path)) == expected
    assert listed(problem.spec for problem in suites.resolve(str(path))) == expected


def test_what_a_log_has_beside_forward_float_is_counted_in_a_warning() -> None:
    log = executed("forward_training", "f32", STEM) + 2 * executed("backward_data", "f32", STEM)
    with pytest.warns(UserWarning, match=r"^<text>: convolutions left out: 2 backward f32, 1 bf16$"):
        assert len(onednn_verbose.loads(log + executed("forward_training", "bf16", STEM))) == 1


@pytest.mark.parametrize(
    ("line", "place", "reason"),
    [
        (executed("forward", "f32", "*"), "2:47", "expected a descriptor"),
        (executed("sideways", "f32", STEM), "2:47", "expected forward or backward"),
        (executed("forward", "f32", "mb1_ic3oc4_ih8zz"), "2:140", "expected one of the keys"),
    ],
)
def test_errors_of_a_log_carry_line_and_column(line: str, place: str, reason: str) -> None:
    with pytest.raises(DescriptorError, match=reason) as caught:
        onednn_verbose.loads(f"\n{line}")
    assert str(caught.value).startswith(f"<text>:{place}: ")


@given(specs())
def test_descriptors_with_every_key_are_read(spec: ConvSpec) -> None:
    letters = "dhw"[-spec.ndim :]
    sizes = (spec.spatial, spec.output_spatial, spec.filter, spec.stride, spec.dilation, spec.padding)
    axes = (
        f"_i{x}{i}o{x}{o}k{x}{k}s{x}{s}d{x}{d - 1}p{x}{p[0]}"
        for x, i, o, k, s, d, p in zip(letters, *sizes, strict=True)
    )
    text = f"mb{spec.N}_{f'g{spec.groups}' if spec.groups > 1 else ''}ic{spec.C}oc{spec.K}{''.join(axes)}"
    dtype = "f64" if spec.dtype == "float64" else "f32"
    assert onednn_verbose.loads(executed("forward_inference", dtype, text)) == [spec]
