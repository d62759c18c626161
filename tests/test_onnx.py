"""ONNX models built here: shapes by inference, names, repeats, paddings of every kind, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_formats import listed
from test_spec import specs

from convbench import suites
from convbench.formats import onnx as models
from convbench.spec import ConvSpec, SpecError

onnx = pytest.importorskip("onnx")
helper, FLOAT, DOUBLE = onnx.helper, onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE


def tensor(name: str, shape: Any, dtype: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, dtype, shape)


def weights(name: str, shape: tuple[int, ...], dtype: int = FLOAT) -> Any:
    """Weights that are kept elsewhere: shape and type only, as in a model with its data in another file."""
    made = onnx.TensorProto(name=name, data_type=dtype, dims=shape)
    made.data_location = onnx.TensorProto.EXTERNAL
    made.external_data.add(key="location", value="missing.bin")
    return made


def conv(x: str, w: str, y: str, name: str = "", **attributes: Any) -> Any:
    return helper.make_node("Conv", [x, w], [y], name=name, **attributes)


def model(nodes: list[Any], inputs: list[Any], parts: list[Any], output: str, functions: Any = ()) -> bytes:
    """A serialised model whose output has no known shape."""
    graph = helper.make_graph(nodes, "net", inputs, [tensor(output, None)], parts)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ours", 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=functions).SerializeToString()


def one(x: Any, w: tuple[int, ...], dtype: int = FLOAT, **attributes: Any) -> list[ConvSpec]:
    nodes = [conv("x", "w", "y", "conv", **attributes)]
    return models.loads(model(nodes, [tensor("x", x, dtype)], [weights("w", w, dtype)], "y"))


def network() -> bytes:
    """Two equal 3×3 layers and a strided depthwise one behind a ReLU and a pooling; the batch is open."""
    nodes = [
        conv("x", "w1", "a", "stem", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
        conv("c", "w2", "d", "block.0", pads=[1, 1, 1, 1]),
        conv("d", "w2", "e", "block.1", auto_pad="SAME_UPPER"),
        conv("e", "w3", "y", group=8, strides=[2, 2], pads=[0, 0, 1, 1]),
    ]
    parts = [weights("w1", (8, 3, 3, 3)), weights("w2", (8, 8, 3, 3)), weights("w3", (8, 1, 3, 3))]
    return model(nodes, [tensor("x", ("batch", 3, 16, 20))], parts, "y")


def layers(batch: int) -> list[tuple[ConvSpec, str, int]]:
    depthwise = ConvSpec((batch, 8, 8, 10), (8, 1, 3, 3), stride=2, padding=((0, 1), (0, 1)), groups=8)
    return [
        (ConvSpec((batch, 3, 16, 20), (8, 3, 3, 3), padding=1), "stem", 1),
        (ConvSpec((batch, 8, 8, 10), (8, 8, 3, 3), padding=1), "block.0", 2),
        (depthwise, "y", 1),
    ]


def test_every_layer_of_a_network(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(network())
    assert listed(models.read(path)) == layers(1)
    problems = suites.resolve(str(path))
    assert listed(problem.spec for problem in problems) == layers(1)
    assert {problem.suite for problem in problems} == {"net"}


def test_an_open_batch_is_what_is_asked_for() -> None:
    assert listed(models.loads(network(), batch=4)) == layers(4)
    nodes = [conv("x", "w", "y")]
    unnamed = model(nodes, [tensor("x", (None, 3, 9))], [weights("w", (4, 3, 3))], "y")
    assert models.loads(unnamed, batch=2) == [ConvSpec((2, 3, 9), (4, 3, 3))]
    fixed = model(nodes, [tensor("x", (7, 3, 9))], [weights("w", (4, 3, 3))], "y")
    assert models.loads(fixed, batch=2) == [ConvSpec((7, 3, 9), (4, 3, 3))]


@given(specs().filter(lambda spec: spec.N > 0))
def test_attributes_are_the_specs(spec: ConvSpec) -> None:
    before, after = zip(*spec.padding, strict=True)
    found = one(
        spec.input_shape,
        spec.weight_shape,
        DOUBLE if spec.dtype == "float64" else FLOAT,
        strides=spec.stride,
        dilations=spec.dilation,
        pads=[*before, *after],
        group=spec.groups,
    )
    assert listed(found) == [(spec, "conv", 1)]
    assert found[0].padding == spec.padding


@given(st.integers(1, 12), st.integers(1, 4), st.integers(1, 3), st.integers(1, 2), st.booleans())
def test_same_paddings_give_the_sizes_that_onnx_infers(size: int, k: int, s: int, d: int, upper: bool) -> None:
    auto_pad = "SAME_UPPER" if upper else "SAME_LOWER"
    (spec,) = one((1, 2, size), (3, 2, k), auto_pad=auto_pad, strides=[s], dilations=[d])
    assert spec.output_spatial == (-(-size // s),)
    ((before, after),) = spec.padding
    assert 0 <= (after - before if upper else before - after) <= 1


def test_valid_padding_and_defaults() -> None:
    expected = [ConvSpec((1, 2, 5, 6, 7), (3, 2, 1, 2, 3))]
    assert one((1, 2, 5, 6, 7), (3, 2, 1, 2, 3)) == expected
    assert one((1, 2, 5, 6, 7), (3, 2, 1, 2, 3), auto_pad="VALID") == expected


def test_weights_that_are_an_input_or_a_constant() -> None:
    made = helper.make_node("Constant", [], ["w2"], value=helper.make_tensor("w2", FLOAT, (4, 4, 1), [0.0] * 16))
    nodes = [made, conv("x", "w1", "a", "first"), conv("a", "w2", "y", "second")]
    found = models.loads(model(nodes, [tensor("x", (1, 3, 9)), tensor("w1", (4, 3, 3))], [], "y"))
    assert found == [ConvSpec((1, 3, 9), (4, 3, 3)), ConvSpec((1, 4, 7), (4, 4, 1))]


def test_layers_in_subgraphs_and_functions() -> None:
    branches = {
        f"{name}_branch": helper.make_graph([conv("x", "w", name, name)], name, [], [tensor(name, None)])
        for name in ("then", "else")
    }
    function = helper.make_function(
        "ours", "Twice", ["a", "w"], ["c"], [conv("a", "w", "b"), conv("b", "w", "c")], [helper.make_opsetid("", 17)]
    )
    nodes = [
        helper.make_node("If", ["flag"], ["m"], **branches),
        helper.make_node("Twice", ["x", "w"], ["y"], domain="ours"),
    ]
    inputs = [tensor("x", (1, 2, 9)), tensor("flag", (), onnx.TensorProto.BOOL)]
    found = models.loads(model(nodes, inputs, [weights("w", (2, 2, 3))], "y", [function]))
    first, second = ConvSpec((1, 2, 9), (2, 2, 3)), ConvSpec((1, 2, 7), (2, 2, 3))
    assert {spec: spec.repeats for spec in found} == {first: 3, second: 1}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"x": (1, 3, "height", 8), "w": (4, 3, 3, 3)}, r"shape of its input is \(1, 3, height, 8\); allowed: known"),
        ({"x": None, "w": (4, 3, 3, 3)}, "shape of its input is unknown"),
        ({"x": (1, 3, 8), "w": (4, 3, 3), "dtype": onnx.TensorProto.FLOAT16}, "type of its input is FLOAT16"),
        ({"x": (1, 3, 8), "w": (4, 2, 3)}, r"weight_shape\[1\] is 2"),
        ({"x": (1, 3, 8), "w": (4, 3, 3), "pads": [1, 1, 1]}, r"pads is \[1, 1, 1\]; allowed: 2 integers"),
        ({"x": (1, 3, 8), "w": (4, 3, 3), "auto_pad": "SAME"}, "auto_pad is 'SAME'; allowed: NOTSET"),
        ({"x": (1, 3, 8), "w": (4, 3, 9)}, "filter is"),
    ],
)
def test_what_is_refused_names_the_node(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(SpecError, match=f"^<model>: Conv 'conv': .*{reason}"):
        one(**arguments)


def test_files_that_hold_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model at all")
    with pytest.raises(SpecError, match=f"^{path}: found something else; allowed: a serialised ONNX model"):
        suites.resolve(str(path))
    path.write_bytes(model([helper.make_node("Relu", ["x"], ["y"])], [tensor("x", (1, 2))], [], "y"))
    with pytest.raises(SpecError, match="lists no problem"):
        suites.resolve(str(path))
    with pytest.raises(FileNotFoundError):
        suites.resolve(str(tmp_path / "missing.onnx"))
