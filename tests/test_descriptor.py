"""benchdnn's descriptor, rule by rule. Lines marked (oneDNN) are from oneDNN's benchdnn inputs, Apache-2.0."""

from __future__ import annotations

import pickle

import pytest

from convbench.spec import ConvSpec, DescriptorError, SpecError


def parse(text):
    return ConvSpec.parse(text)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        (  # (oneDNN) shapes_alexnet
            'g1mb256ic3ih227iw227oc96oh55ow55kh11kw11sh4sw4ph0pw0n"alexnet:conv1"',
            ConvSpec((256, 3, 227, 227), (96, 3, 11, 11), stride=4),
        ),
        (  # (oneDNN) shapes_alexnet: ic and oc are totals, not per group
            'g2mb256ic96ih27oc256oh27kh5ph2n"alexnet:conv2"',
            ConvSpec((256, 96, 27, 27), (256, 48, 5, 5), padding=2, groups=2),
        ),
        (  # (oneDNN) shapes_mobilenet_dw
            'g32mb1ic32ih112iw112oc32oh112ow112kh3kw3sh1sw1ph1pw1n"mobilenet:conv2_1/dw"',
            ConvSpec((1, 32, 112, 112), (32, 1, 3, 3), padding=1, groups=32),
        ),
        (  # (oneDNN) shapes_1d_wavenet
            'mb1_g1ic32oc32_iw84350ow84349kw2sw1dw0pw0n"wavenet:conv1d_1"',
            ConvSpec((1, 32, 84350), (32, 32, 2)),
        ),
        (  # (oneDNN) shapes_dilated: dh1 skips one input
            'mb20ic4ih8oc6oh3kh3sh2ph1dh1n"dilated_conv:1"',
            ConvSpec((20, 4, 8, 8), (6, 4, 3, 3), stride=2, padding=1, dilation=2),
        ),
        (  # (oneDNN) shapes_dilated, 3-D: the sides may differ in everything
            'mb2ic16id5ih1iw1oc16od4oh1ow1kd3kh1kw1pd7ph0pw0dd3dh0dw0n"dilated_conv:32"',
            ConvSpec((2, 16, 5, 1, 1), (16, 16, 3, 1, 1), padding=((7, 0), 0, 0), dilation=(4, 1, 1)),
        ),
        (  # (oneDNN) shapes_resnet_50: the last row and column are not read
            'g1mb50ic256ih56iw56oc512oh28ow28kh1kw1sh2sw2ph0pw0n"resnet_50:res3a_branch1"',
            ConvSpec((50, 256, 56, 56), (512, 256, 1, 1), stride=2),
        ),
        (  # (oneDNN) shapes_regression_padding: a key may stand twice, and padding exceed the filter
            "mb1ic16oc16_ih10kh5_kh5ph7sh1",
            ConvSpec((1, 16, 10, 10), (16, 16, 5, 5), padding=7),
        ),
        (  # (oneDNN) shapes_mobilenet: the layout of verbose logs
            'mb32_g1ic3oc32_ih224oh112kh3sh2dh0ph1_iw224ow112kw3sw2dw0pw1_n"mobilenet:conv1*3"',
            ConvSpec((32, 3, 224, 224), (32, 3, 3, 3), stride=2, padding=1),
        ),
    ],
)
def test_published_lines(text, spec):
    assert parse(text) == spec


def test_batch_size_is_2_unless_given():
    assert parse("ic3ih8oc4kh3").N == 2
    assert parse("mb0ic3ih8oc4kh3").N == 0


def test_any_order_and_underscores():
    assert parse("kh3_oc4__ih8_ph1ic3oh8mb1_") == parse("mb1ic3ih8oc4oh8kh3ph1")


@pytest.mark.parametrize(
    ("text", "spatial", "filter", "stride", "dilation"),
    [
        ("ic3ih8oc4kh3sh2dh1", (8, 8), (3, 3), (2, 2), (2, 2)),
        ("ic3id8oc4kd3sd2", (8, 8, 8), (3, 3, 3), (2, 2, 2), (1, 1, 1)),
        ("ic3iw8oc4kw3", (8,), (3,), (1,), (1,)),
        ("ic3ih8iw9oc4kh3kw2sh2dh1", (8, 9), (3, 2), (2, 1), (2, 1)),  # a described side takes its own defaults
        ("ic3ih8oc4kh3sh2sw1pw0dw0", (8, 8), (3, 3), (2, 2), (1, 1)),  # defaults do not describe a side
    ],
)
def test_a_side_is_copied_unless_it_is_described(text, spatial, filter, stride, dilation):
    spec = parse(text)
    assert (spec.spatial, spec.filter, spec.stride, spec.dilation) == (spatial, filter, stride, dilation)


@pytest.mark.parametrize(
    ("text", "output", "padding"),
    [
        ("ic1iw10oc1kw3", 8, (0, 0)),  # neither: no padding
        ("ic1iw10oc1kw3pw1", 10, (1, 1)),  # no output: the same padding behind
        ("ic1iw10oc1ow10kw3", 10, (1, 1)),  # no padding: half of what the output needs in front
        ("ic1iw10oc1ow10kw4", 10, (1, 2)),
        ("ic1iw10oc1ow10kw3pw2", 10, (2, 0)),
        ("ic1iw10oc1ow13kw3pw0", 13, (0, 5)),
        ("ic1iw11oc1ow5kw3sw2dw1", 5, (1, 1)),
        ("ic1iw10oc1ow5kw1sw2", 5, (0, 0)),  # input that nothing reads is not negative padding
        ("ic1iw12oc1ow3kw1sw4", 3, (0, 0)),
    ],
)
def test_padding_and_output_follow_from_each_other(text, output, padding):
    spec = parse(text)
    assert spec.output_spatial == (output,)
    assert spec.padding == (padding,)


@pytest.mark.parametrize(
    ("end", "name", "repeats"),
    [
        ("", "", 1),
        ('n"net:conv1"', "net:conv1", 1),
        ("nnet:conv1", "net:conv1", 1),
        ('_n"net:conv1*3"', "net:conv1", 3),
        ("nnet:conv1*3", "net:conv1", 3),
        ('n"net:conv1"*3', "net:conv1", 3),
        ('n"the 2*2 block*4" ', "the 2*2 block", 4),
        ('n""', "", 1),
    ],
)
def test_name_and_repeats(end, name, repeats):
    spec = parse("ic3ih8oc4kh3" + end)
    assert (spec.name, spec.repeats) == (name, repeats)


def test_dtype_option():
    assert parse("--dt=f64 ic3ih8oc4kh3").dtype == "float64"
    assert parse("  --dt=f32  ic3ih8oc4kh3 ").dtype == "float32"


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("", 1, r"expected ic \(input channels\)"),
        ("mb1ic3", 7, r"expected oc \(output channels\)"),
        ("ic3oc4", 7, "expected a spatial size: id, ih or iw"),
        ("ic3ih8oc4", 10, r"expected kh \(filter size\)"),
        ("ic3oc4kh3", 10, r"expected ih \(input size\)"),
        ("ic3ih8oc4kh3kw3", 16, r"expected iw \(input size\)"),
        ("ic3ih8oc4kh3sw2", 16, r"expected iw \(input size\)"),
        ("ic3id8ih8oc4kd3kh3", 19, "expected both h and w keys beside the d keys, or neither"),
        ("ic3ih8oc4kh3x", 13, "expected one of the keys .* found 'x'"),
        ("ic3 ih8oc4kh3", 4, "found ' ih8oc4kh3'"),
        ("icx", 3, "expected an integer from 0 to 2..63 - 1 after ic"),
        ("ic3ih8oc4kh3ph-1", 15, "expected an integer from 0 to 2..63 - 1 after ph"),
        ("ic3ih8oc4kh3.0", 13, "found '.0'"),
        ("ic" + "9" * 5000 + "ih8oc4kh3", 3, "expected an integer from 0 to 2..63 - 1 after ic"),
        ("ic3ih8oc4kh0", 10, "kh is 0; allowed: 1 or more"),
        ("ic0ih8oc4kh3", 1, "ic is 0"),
        ("g0ic3ih8oc4kh3", 1, "g is 0"),
        ("ic3ih8oc4kh3sh0", 13, "sh is 0"),
        ("ic3ih8oc4kh3ic4", 13, "ic is 4, and 3 in column 1; allowed: one value"),
        ("ic3ih8oc4g2kh3", 10, "g is 2; allowed: a divisor of both ic3 and oc4"),
        ("ic3ih8oc4kh9", 10, "kh is 9, 9 when dilated; allowed: at most the padded input, 8"),
        ("ic3ih8oc4dh3kh4", 13, "kh is 4, 13 when dilated; allowed: at most the padded input, 8"),
        ("ic3ih8oc4oh2kh3", 10, "oh is 2; allowed: at least 6"),
        ("ic3ih8oc4oh8kh3ph3", 10, "oh is 8; allowed: at least 9"),
        ("--dt=bf16 ic3ih8oc4kh3", 6, "--dt is 'bf16'; allowed: f32, f64"),
        ("--dt=f64 ic3ih8oc4kx3", 19, "found 'kx3'"),
        ('ic3ih8oc4kh3n"open', 13, "found"),
        ('ic3ih8oc4kh3n"a"b', 13, "found"),
        ("ic3ih8oc4kh3na b", 13, "found"),
        ('ic3ih8oc4kh3n"a*0"', 1, "repeats is 0"),
        ("mb9999999999ic9999999999ih8oc4kh3", 1, "padded input bytes"),
    ],
)
def test_errors_name_the_column_and_what_was_expected(text, column, reason):
    with pytest.raises(DescriptorError, match=reason) as caught:
        parse(text)
    assert isinstance(caught.value, SpecError)
    assert caught.value.column == column
    assert str(caught.value).startswith(f"column {column}: ")
    assert "\n" not in str(caught.value)


def test_errors_survive_pickling():
    with pytest.raises(DescriptorError) as caught:
        parse("icx")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.column) == (str(caught.value), 3)
