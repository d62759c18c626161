"""ONNX models: every Conv with the shapes that ONNX's own shape inference finds, under its node's name.

Equal layers are one problem, repeated that often; Convs in subgraphs (If, Loop) and local functions count. A batch size
that the model leaves open is 1 unless said; other sizes have to be known. Shapes are all that is read of the weights:
those kept in files of their own may be missing. Needs the onnx package (pip install 'convbench[onnx]').
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from convbench.formats.text import merged
from convbench.spec import ConvSpec, SpecError

DTYPES = {"FLOAT": "float32", "DOUBLE": "float64"}


class _Tensor(NamedTuple):
    """ONNX's name of a type, and sizes: integers, or the names of what is not known."""

    dtype: str
    shape: tuple[int | str, ...]


def read(path: str | Path, batch: int = 1) -> list[ConvSpec]:
    """The layers of a model's file. Raises OSError, or SpecError with file and node."""
    return loads(Path(path).read_bytes(), str(path), batch)


def loads(data: bytes, path: str | None = None, batch: int = 1) -> list[ConvSpec]:
    """The layers of a serialised model; `path` stands in the errors, `batch` for a batch size that is left open."""
    where = path or "<model>"
    try:
        import onnx
        import onnx.inliner
        import onnx.shape_inference
        from google.protobuf.message import DecodeError
    except ImportError as error:
        reason = "ONNX models are read with the onnx package, which is not installed"
        raise SpecError(f"{where}: {reason}; pip install 'convbench[onnx]' brings it") from error
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise SpecError(f"{where}: found something else; allowed: a serialised ONNX model") from error
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    _fix_batch(model.graph, batch)
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    return merged(_convolutions(model.graph, {}, where))


def _fix_batch(graph: Any, batch: int) -> None:
    """Put `batch` where an input leaves its first size open, and wherever else that size's name stands."""
    weights = {tensor.name for tensor in graph.initializer}
    names = {""}
    for value in graph.input:
        sizes = value.type.tensor_type.shape.dim
        if value.name not in weights and sizes and sizes[0].dim_value < 1:
            names.add(sizes[0].dim_param)
            sizes[0].dim_value = batch
    for value in (*graph.input, *graph.value_info, *graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param in names - {""}:
                size.dim_value = batch


def _convolutions(graph: Any, outer: Mapping[str, _Tensor], where: str) -> Iterator[ConvSpec]:
    import onnx

    values = (*graph.input, *graph.value_info, *graph.output)
    known = {**outer, **{value.name: _tensor(value.type.tensor_type) for value in values}}
    for weight in graph.initializer:
        known[weight.name] = _Tensor(onnx.TensorProto.DataType.Name(weight.data_type), tuple(weight.dims))
    for node in graph.node:
        attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        for value in attributes.values():
            for inner in value if isinstance(value, list) else [value]:
                if isinstance(inner, onnx.GraphProto):
                    yield from _convolutions(inner, known, where)
        if node.op_type == "Conv" and node.domain in ("", "ai.onnx"):
            name = node.name or node.output[0]
            try:
                yield _spec(name, [known.get(operand) for operand in node.input], attributes)
            except SpecError as error:
                raise SpecError(f"{where}: Conv {name!r}: {error}") from error


def _tensor(tensor: Any) -> _Tensor:
    import onnx

    sizes = tensor.shape.dim
    shape = tuple(size.dim_value if size.HasField("dim_value") else size.dim_param or "?" for size in sizes)
    return _Tensor(onnx.TensorProto.DataType.Name(tensor.elem_type), shape)


def _spec(name: str, operands: Sequence[_Tensor | None], attributes: Mapping[str, Any]) -> ConvSpec:
    shapes: list[tuple[Any, ...]] = []
    for what, tensor in zip(("input", "weight"), operands, strict=False):
        if tensor is None or not tensor.shape or any(isinstance(size, str) for size in tensor.shape):
            found = "unknown" if tensor is None or not tensor.shape else f"({', '.join(map(str, tensor.shape))})"
            raise SpecError(f"the shape of its {what} is {found}; allowed: known sizes, only the batch may be open")
        if tensor.dtype not in DTYPES:
            raise SpecError(f"the type of its {what} is {tensor.dtype}; allowed: {', '.join(DTYPES)}")
        shapes.append(tensor.shape)
    inputs, weights = shapes
    ndim = len(inputs) - 2
    stride = attributes.get("strides") or [1] * ndim
    dilation = attributes.get("dilations") or [1] * ndim
    return ConvSpec(
        inputs,
        weights,
        stride,
        _padding(attributes, inputs[2:], weights[2:], stride, dilation),
        dilation,
        attributes.get("group", 1),
        DTYPES[operands[0].dtype] if operands[0] else "float32",
        name=name,
    )


def _padding(
    attributes: Mapping[str, Any],
    spatial: Sequence[int],
    filter: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> list[tuple[int, int]]:
    """(before, after) pairs; SAME_… gives outputs of ⌈size / stride⌉, with the odd one behind or in front."""
    auto = attributes.get("auto_pad", b"NOTSET").decode()
    if auto == "NOTSET":
        pads = attributes.get("pads") or [0] * (2 * len(spatial))
        if len(pads) != 2 * len(spatial):
            raise SpecError(f"pads is {pads}; allowed: {2 * len(spatial)} integers")
        return list(zip(pads[: len(spatial)], pads[len(spatial) :], strict=True))
    if auto == "VALID":
        return [(0, 0)] * len(spatial)
    if auto not in ("SAME_UPPER", "SAME_LOWER"):
        raise SpecError(f"auto_pad is {auto!r}; allowed: NOTSET, SAME_LOWER, SAME_UPPER, VALID")
    sizes = zip(spatial, filter, stride, dilation, strict=False)  # ConvSpec refuses what does not match
    totals = [max(0, (-(-i // s) - 1) * s + (k - 1) * d + 1 - i) for i, k, s, d in sizes]
    halves = [(total // 2, total - total // 2) for total in totals]
    return halves if auto == "SAME_UPPER" else [(after, before) for before, after in halves]
