"""Pointwise as an algorithm: the form chosen, its limits and costs, and the short way of prepared layers."""

from __future__ import annotations

import numpy as np
import pytest

from convbench.algorithms.pointwise import Plan, pointwise
from convbench.data import arrays
from convbench.driver import kernel
from convbench.kernels import plane_product
from convbench.kernels.simd import VECTOR_BYTES
from convbench.machine import SHIPPED
from convbench.spec import ConvSpec, DTypeError, SpecError
from convbench.verify import check

LANES = VECTOR_BYTES // 4
HEIGHT = plane_product.HEIGHT

by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def test_a_layer_keeps_filters_that_are_not_packed() -> None:
    spec = ConvSpec((1, 512, 1, 1), (512, 512, 1, 1))
    weight = np.ones(spec.weight_shape, np.float32)
    layer = kernel(spec, "pointwise", threads=1).prepare(weight)
    weight[:] = 0
    assert (layer(np.ones(spec.input_shape, np.float32)) == 512).all()


@pytest.mark.parametrize(
    "text",
    ["g2ic26ih1oc6oh1kh1", "g1ic5ih1oc83oh1kh1", "g3ic600ih1oc99oh1kh1", "ic1001ih1oc203oh1kh1", "ic7iw1oc9ow1kw1"],
)
@by_dtype
def test_a_layer_of_one_pixel(text: str, dtype: str) -> None:
    """Its own look at the arrays lets through what the driver would: the same bits, whatever their memory."""
    spec = ConvSpec.parse(f"mb1{text}").replace(dtype=dtype)
    x, w, bias = (array.copy() for array in arrays(spec))
    solve = kernel(spec, "pointwise", threads=1)
    read_only = x.copy()
    read_only.flags.writeable = False
    for offset in (bias, None):
        layer, driven = solve.prepare(w, offset), solve.prepare(w, offset)
        driven._quick = None
        want = driven(x)
        both = np.full(x.size + want.size, np.nan, dtype)
        beside, there = both[: x.size].reshape(x.shape), both[x.size :].reshape(want.shape)
        beside[...] = x
        assert layer._quick is not None
        assert np.array_equal(layer(x), want)
        assert layer(beside, there) is there
        assert np.array_equal(there, want)
        assert layer._quick is not None
        for alike in (read_only, np.repeat(x, 2, axis=1)[:, ::2], x):
            assert np.array_equal(layer(alike), want)
        untouched = np.full_like(want, np.nan)
        assert not layer._quick(read_only, untouched)  # without an exception, now that one came
        assert not layer._quick(x[..., 0], untouched)
        assert np.isnan(untouched).all()
        assert layer._quick(x, untouched)
        assert np.array_equal(untouched, want)


@pytest.mark.parametrize("text", ["ic40ih9oc24oh9kh1", "g2ic26ih7oc66oh7kh1"])
@by_dtype
def test_a_layer_of_an_image(text: str, dtype: str) -> None:
    """The short way gives the driver's bits for arrays of their own memory, and leaves the others to the driver."""
    spec = ConvSpec.parse(f"mb2{text}").replace(dtype=dtype)
    x, w, bias = (array.copy() for array in arrays(spec))
    solve = kernel(spec, "pointwise", threads=1)
    for offset in (bias, None):
        layer, want = solve.prepare(w, offset), solve(x, w, offset)
        y = np.full_like(want, np.nan)
        solve.poison()
        assert layer._quick is not None
        assert layer._quick(x, y)
        assert np.array_equal(y, want)
        untouched = np.full_like(want, np.nan)
        for left in (x[:, ::-1], x[:], x[:1], np.asfortranarray(x)):
            assert not layer._quick(left, untouched)
        assert np.isnan(untouched).all()
        assert np.array_equal(layer(np.asfortranarray(x)), want)


def test_a_layer_of_one_pixel_knows_byte_orders() -> None:
    """Numba takes swapped arrays for those that it has met unaligned."""
    spec = ConvSpec((1, 64, 1, 1), (16, 64, 1, 1))
    x, w, _ = arrays(spec)
    layer = kernel(spec, "pointwise", threads=1).prepare(w)
    y = layer(x)
    unaligned = np.zeros(x.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(x.shape)
    unaligned[...] = x
    np.testing.assert_allclose(layer(unaligned), y, rtol=1e-5, atol=1e-5)
    with pytest.raises(DTypeError, match=">f4"):
        layer(x.astype(">f4"))
    with pytest.raises(DTypeError, match=">f4"):
        layer(x, out=np.empty(y.shape, ">f4"))


def test_a_layer_of_one_pixel_refuses_what_the_driver_does() -> None:
    spec = ConvSpec.parse("mb1ic8ih1oc8oh1kh1")
    x, w, _ = (array.copy() for array in arrays(spec))
    memory = np.zeros(12, np.float32)
    read_only = np.zeros_like(x)
    read_only.flags.writeable = False
    prepared = kernel(spec, "pointwise", threads=1).prepare(w)
    before = x.copy()
    for arguments, message in [
        ((x.reshape(1, 1, 8, 1),), "input has shape"),
        ((x, x), "overlaps"),
        ((x, x[:]), "overlaps"),
        ((memory[:8].reshape(x.shape), memory[4:].reshape(x.shape)), "overlaps"),
        ((memory[4:].reshape(x.shape), memory[:8].reshape(x.shape)), "overlaps"),
        ((x, np.zeros((1, 1, 8, 1), np.float32)), "out has shape"),
        ((x[:, :4],), "input has shape"),
        ((x.reshape(1, 8, 1),), "input has shape"),
        ((None,), "input is None"),
        ((x, read_only), "out is read-only"),
        ((x, [0.0]), "out must be a NumPy array"),
        ((x.astype(np.float64),), "input has dtype"),
        ((x.astype(x.dtype.newbyteorder()),), "input has dtype"),
        ((x, np.zeros(x.shape)), "out has dtype"),
    ]:
        for layer in (kernel(spec, "pointwise", threads=1).prepare(w), prepared):
            with pytest.raises((SpecError, DTypeError), match=message):
                layer(*arguments)
    assert np.array_equal(x, before)
    assert not memory.any()


@pytest.mark.parametrize(
    ("text", "kernel"),
    [
        ("mb1ic64ih56oc64oh56kh1", "multiply_planes"),
        ("mb1ic512ih7oc512oh7kh1", "multiply_channels"),
        ("mb1ic1024ih14oc256oh14kh1", "multiply_channels"),
        ("mb1ic1024ih26oc256oh26kh1", "multiply_planes"),  # an image of 2.8 MB
        ("mb8ic512ih1oc512oh1kh1", "multiply_channels"),
        ("mb1ic28ih1oc672oh1kh1", "multiply_vector"),
        ("mb1ic672ih1oc672oh1kh1", "multiply_rows"),
        ("mb1ic28ih1oc28oh1kh1", "multiply_rows"),
    ],
)
@pytest.mark.skipif(VECTOR_BYTES != 64, reason="the choice at other vector widths is another")
def test_the_form_by_the_number_of_pixels(text: str, kernel: str) -> None:
    plan = pointwise.plan(ConvSpec.parse(text), 1, None)
    assert isinstance(plan, Plan)
    assert plan.form.kernel.__name__ == kernel


def test_a_limit_makes_the_panels_smaller() -> None:
    spec = ConvSpec.parse("mb1ic256ih56oc64oh56kh1")
    free = pointwise.workspace(pointwise.plan(spec, 2, None))
    for limit in (free // 2, free // 20, 4 * plane_product.WIDTH * VECTOR_BYTES):
        assert pointwise.workspace(pointwise.plan(spec, 2, limit)) <= limit


@pytest.mark.parametrize("text", ["ic10oc240", "g3ic12oc300", "ic64oc1024"])
@by_dtype
def test_a_call_with_one_pixel_packs_nothing(text: str, dtype: str) -> None:
    """A layer's filters are packed here; whoever uses them once has them read as they lie, and knows it in advance."""
    spec = ConvSpec.parse(f"mb1{text}ih1oh1kh1").replace(dtype=dtype)
    x, w, bias = arrays(spec)
    solve = kernel(spec, "pointwise", threads=1)
    assert np.shares_memory(pointwise.prepare(pointwise.unprepared(solve.plan), w), w)
    assert not np.shares_memory(pointwise.prepare(solve.plan, w), w)
    np.testing.assert_allclose(solve(x, w, bias), solve.prepare(w, bias)(x), rtol=0, atol=1e-5)
    packed = solve.predicted(SHIPPED) + pointwise.prepare_cost(solve.plan, SHIPPED)
    assert solve.predicted(SHIPPED) <= solve.predicted(SHIPPED, prepared=False) < packed


def test_the_model_knows_calls_and_filters() -> None:
    """More filters cost more even for one pixel; nothing costs less than a call."""
    costs = [pointwise.cost(pointwise.plan(ConvSpec((1, C, 1, 1), (C, C, 1, 1)), 1, None), SHIPPED)
             for C in (2, 512, 1024, 4096)]  # fmt: skip
    assert costs == sorted(costs)
    assert costs[0] > 1e-6
    assert costs[-1] > 4 * 4096**2 / (3 * SHIPPED.bandwidth)


@pytest.mark.parametrize("text", ["mb1ic64ih7oc8oh4kh1sh2", "mb4ic64ih1oc16oh1kh1"])
def test_little_is_not_worth_gathering(text: str) -> None:
    """Bringing pixels together first takes longer than all of ``direct``, which reads them where they lie."""
    spec = ConvSpec.parse(text)
    others = kernel(spec, "direct", threads=1).predicted(SHIPPED)
    assert others < kernel(spec, "pointwise", threads=1).predicted(SHIPPED) < 3 * others


def test_a_limit_that_gathered_pixels_exceed_has_them_gathered_as_they_are_needed() -> None:
    spec = ConvSpec((2, 512, 100, 2), (128, 512, 1, 1), stride=2)
    free = pointwise.plan(spec, 1, None)
    limit = 32 << 10
    assert isinstance(free, Plan)
    assert pointwise.workspace(free) > limit
    tight = pointwise.plan(spec, 1, limit)
    assert isinstance(tight, Plan)
    assert tight.as_needed
    assert pointwise.workspace(tight) <= limit
    assert check(pointwise, spec, workspace_limit=limit).ok


@pytest.mark.skipif(VECTOR_BYTES < 64, reason="planes of 7² leave no more lanes empty than tiles of channels do")
def test_pixels_are_gathered_first_where_that_is_little_of_the_work() -> None:
    """Small products are done before two steps are; large ones take the form that multiplies less."""
    for text, as_needed in (
        ("mb1ic128ih14oc256oh7kh1sh2", True),
        ("mb1ic512ih28oc1024oh14kh1sh2", True),
        ("mb1ic1024ih14oc2048oh7kh1sh2", False),
    ):
        plan = pointwise.plan(ConvSpec.parse(text), 1, None)
        assert isinstance(plan, Plan)
        assert plan.as_needed is as_needed
        assert bool(plan.gathered) is not as_needed
