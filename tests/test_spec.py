"""ConvSpec: derived sizes, equality, and the text round trip."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convbench.spec import ConvSpec


@st.composite
def specs(draw: st.DrawFn) -> ConvSpec:
    """Valid 1-, 2- and 3-D problems with every feature, the filter never larger than the padded input."""
    axes = draw(
        st.lists(
            st.fixed_dictionaries(
                {"k": st.integers(1, 5), "d": st.integers(1, 4), "s": st.integers(1, 5), "slack": st.integers(0, 9)}
                | {"before": st.integers(0, 6), "after": st.integers(0, 6)}
            ),
            min_size=1,
            max_size=3,
        )
    )
    if draw(st.booleans()):
        axes = [axes[0]] * len(axes)  # the single-letter form
    spatial = [max(1, (a["k"] - 1) * a["d"] + 1 + a["slack"] - a["before"] - a["after"]) for a in axes]
    N, G = draw(st.integers(0, 3)), draw(st.integers(1, 4))
    C, K = draw(st.integers(1, 3)), G * draw(st.integers(1, 3))
    return ConvSpec(
        (N, C * G, *spatial),
        (K, C, *(a["k"] for a in axes)),
        stride=[a["s"] for a in axes],
        padding=[(a["before"], a["after"]) for a in axes],
        dilation=[a["d"] for a in axes],
        groups=G,
        dtype=draw(st.sampled_from(["float32", "float64"])),
    )


@given(specs())
def test_text_reads_back(spec):
    again = ConvSpec.parse(str(spec))
    assert again == spec
    assert hash(again) == hash(spec)
    assert str(again) == str(spec)
    assert again.padding == spec.canonical_padding
    assert again.output_shape == spec.output_shape


@given(specs())
def test_output_size_counts_the_filter_positions(spec):
    for i, (before, after), k, s, o in zip(
        spec.spatial, spec.padding, spec.effective_filter, spec.stride, spec.output_spatial, strict=True
    ):
        assert o == sum(1 for start in range(-before, i + after, s) if start + k <= i + after)


@given(specs())
def test_canonical_padding_is_the_least_with_this_output(spec):
    least = spec.replace(padding=spec.canonical_padding)
    assert least.output_spatial == spec.output_spatial
    for axis, (before, after) in enumerate(spec.canonical_padding):
        if after == 0:
            continue
        less = list(spec.canonical_padding)
        less[axis] = (before, after - 1)
        shrunk = spec.spatial[axis] + before + after - 1
        if shrunk >= spec.effective_filter[axis]:
            assert spec.replace(padding=less).output_spatial != spec.output_spatial


@given(specs())
def test_symmetric_padding_is_the_leading_one_where_both_sides_may_have_it(spec):
    before = tuple(pair[0] for pair in spec.padding)
    fits = all(i + 2 * p >= k for i, p, k in zip(spec.spatial, before, spec.effective_filter, strict=True))
    same = fits and spec.replace(padding=before) == spec
    assert spec.symmetric_padding == (before if same else None)


@given(specs(), st.integers(0, 5))
def test_more_trailing_padding_matters_only_when_it_adds_outputs(spec, extra):
    more = spec.replace(padding=[(before, after + extra) for before, after in spec.padding])
    assert (more == spec) == (more.output_spatial == spec.output_spatial)
    assert (str(more) == str(spec)) == (more == spec)


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (ConvSpec((1, 64, 56, 56), (64, 64, 3, 3), padding=1), "mb1ic64ih56oc64oh56kh3ph1"),
        (ConvSpec((1, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3), "mb1ic3ih224oc64oh112kh7sh2ph3"),
        (ConvSpec((2, 32, 9, 9), (32, 1, 3, 3), groups=32), "g32mb2ic32ih9oc32oh7kh3"),
        (ConvSpec((1, 8, 15, 15), (8, 8, 3, 3), padding=2, dilation=2), "mb1ic8ih15oc8oh15kh3ph2dh1"),
        (ConvSpec((1, 8, 9, 7), (4, 8, 3, 3)), "mb1ic8ih9iw7oc4oh7ow5kh3kw3"),
        (ConvSpec((1, 8, 9, 9), (4, 8, 3, 3), stride=(1, 2)), "mb1ic8ih9iw9oc4oh7ow4kh3kw3sh1sw2"),
        (ConvSpec((1, 1, 100), (1, 1, 5)), "mb1ic1iw100oc1ow96kw5"),
        (ConvSpec((1, 1, 100), (1, 1, 5), padding=((4, 0),)), "mb1ic1iw100oc1ow100kw5pw4"),
        (ConvSpec((1, 1, 100), (1, 1, 5), padding=((0, 4),)), "mb1ic1iw100oc1ow100kw5pw0"),
        (ConvSpec((1, 2, 8, 8, 8), (4, 2, 3, 3, 3), padding=1), "mb1ic2id8oc4od8kd3pd1"),
        (ConvSpec((1, 2, 4, 8, 8), (4, 2, 1, 1, 1)), "mb1ic2id4ih8iw8oc4od4oh8ow8kd1kh1kw1"),
        (ConvSpec((0, 3, 8, 8), (4, 3, 3, 3), dtype="float64"), "--dt=f64 mb0ic3ih8oc4oh6kh3"),
        (ConvSpec((1, 4, 9, 9), (4, 4, 1, 1), stride=2), "mb1ic4ih9oc4oh5kh1sh2"),
        # benchdnn halves (oh - 1) sh + kh - ih = -2 to a padding of -1, so ph0 must be written
        (ConvSpec((1, 4, 9, 9), (4, 4, 1, 1), stride=3), "mb1ic4ih9oc4oh3kh1sh3ph0"),
    ],
)
def test_text(spec, text):
    assert str(spec) == text
    assert ConvSpec.parse(text) == spec


def test_sizes_of_a_resnet_layer():
    spec = ConvSpec((2, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3)
    assert (spec.ndim, spec.N, spec.C, spec.K, spec.G) == (2, 2, 3, 64, 1)
    assert (spec.spatial, spec.filter, spec.output_spatial) == ((224, 224), (7, 7), (112, 112))
    assert (spec.stride, spec.padding, spec.dilation) == ((2, 2), ((3, 3), (3, 3)), (1, 1))
    assert spec.output_shape == (2, 64, 112, 112)
    assert spec.macs == 2 * 64 * 112 * 112 * 3 * 7 * 7
    assert spec.flop == 2 * spec.macs
    assert spec.min_bytes == 4 * (2 * 3 * 224**2 + 64 * 3 * 49 + 2 * 64 * 112**2)
    assert spec.arithmetic_intensity == spec.flop / spec.min_bytes
    assert (spec.itemsize, spec.np_dtype) == (4, np.float32)


def test_groups_divide_the_work():
    grouped = ConvSpec((1, 8, 9, 9), (16, 2, 3, 3), groups=4)
    assert grouped.macs == 16 * 7 * 7 * 2 * 9


def test_double_precision_doubles_the_bytes():
    single = ConvSpec((1, 8, 9, 9), (16, 8, 3, 3))
    double = single.replace(dtype="float64")
    assert double.min_bytes == 2 * single.min_bytes
    assert double != single


def test_dilation_widens_the_filter():
    assert ConvSpec((1, 1, 20, 20), (1, 1, 3, 5), dilation=(4, 2)).effective_filter == (9, 9)


def test_empty_batch_has_no_work():
    spec = ConvSpec((0, 3, 8, 8), (4, 3, 3, 3))
    assert (spec.output_shape, spec.flop) == ((0, 4, 6, 6), 0)


def test_unread_trailing_padding_is_not_compared():
    asked = ConvSpec((1, 3, 224, 224), (64, 3, 7, 7), stride=2, padding=3)
    read = ConvSpec.parse("mb1ic3ih224oc64oh112kh7sh2ph3")
    assert asked == read
    assert hash(asked) == hash(read)
    assert asked.padding == ((3, 3), (3, 3))
    assert read.padding == asked.canonical_padding == ((3, 2), (3, 2))


def test_leading_padding_is_compared():
    leading = ConvSpec((1, 1, 9), (1, 1, 3), padding=((2, 0),))
    trailing = ConvSpec((1, 1, 9), (1, 1, 3), padding=((0, 2),))
    assert leading.output_shape == trailing.output_shape
    assert leading != trailing


def test_name_and_repeats_are_kept_but_not_compared():
    plain = ConvSpec((1, 3, 8, 8), (4, 3, 3, 3))
    named = plain.replace(name="net:conv1", repeats=3)
    assert (named.name, named.repeats) == ("net:conv1", 3)
    assert named == plain
    assert len({named, plain}) == 1
    assert str(named) == str(plain)


def test_a_spec_is_not_its_text():
    spec = ConvSpec((1, 3, 8, 8), (4, 3, 3, 3))
    assert spec != str(spec)


def test_replace_checks_again():
    spec = ConvSpec((1, 3, 8, 8), (4, 3, 3, 3))
    assert spec.replace(stride=2).output_spatial == (3, 3)
    with pytest.raises(ValueError, match="stride is 0"):
        spec.replace(stride=0)


def test_frozen_and_picklable():
    spec = ConvSpec((1, 3, 8, 8), (4, 3, 3, 3), padding="same", name="net:conv1")
    assert pickle.loads(pickle.dumps(spec)) == spec
    with pytest.raises(AttributeError):
        spec.groups = 3


def test_importing_spec_loads_nothing_heavy():
    code = "import convbench.spec, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "numpy" in loaded
    assert not {"numba", "scipy", "pandas", "altair"} & set(loaded)
