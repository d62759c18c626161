"""PyTorch (oneDNN) in the three modes its users meet: as called, on channels-last tensors, and with packed weights.

``torch_nchw``           plain ``conv1d/2d/3d`` on contiguous tensors.
``torch_channels_last``  the same call on tensors and weights in channels-last memory.
``torch_prepacked``      channels last, weights reordered once by ``mkldnn_reorder_conv2d_weight`` and run by
                         ``mkldnn._convolution_pointwise``, as ``torch.compile`` does: the strongest of the three.
                         Plain calls reorder the weights every time.
The input's change of memory format is not timed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from convbench.algorithm import direct_error
from convbench.kernels.evict import Range
from convbench.machine import Machine
from convbench.peers import installed, peer, symmetric_padding
from convbench.spec import ConvSpec

SECONDS_PER_CALL = 3e-5
EFFICIENCY = 0.6  # of the peak


class Plan(NamedTuple):
    spec: ConvSpec
    padding: tuple[int, ...]


def _torch() -> Any:
    import torch

    return torch


def supports(spec: ConvSpec) -> str | None:
    if symmetric_padding(spec) is None:
        return f"torch pads both sides alike; this problem has {spec.padding}"
    return None


def supports_2d(spec: ConvSpec) -> str | None:
    return supports(spec) if spec.ndim == 2 else "channels-last memory is for two dimensions"


def supports_packed(spec: ConvSpec) -> str | None:
    return supports_2d(spec) if spec.dtype == "float32" else "oneDNN's packed weights are float32"


def plan(spec: ConvSpec, threads: int, workspace_limit: int | None) -> Plan:
    _torch().set_num_threads(threads)
    return Plan(spec, symmetric_padding(spec) or ())


def tensor(plan: Plan, array: np.ndarray) -> Any:
    return _torch().tensor(array)


def channels_last(plan: Plan, array: np.ndarray) -> Any:
    torch = _torch()
    return torch.tensor(array).to(memory_format=torch.channels_last)


def pack(plan: Plan, weight: np.ndarray) -> Any:
    torch, spec = _torch(), plan.spec
    return torch._C._nn.mkldnn_reorder_conv2d_weight(
        torch.tensor(weight).to_mkldnn(),
        list(plan.padding),
        list(spec.stride),
        list(spec.dilation),
        spec.groups,
        list(spec.input_shape),
    )


def call(plan: Plan, x: Any, weight: Any, bias: np.ndarray | None) -> Any:
    torch, spec = _torch(), plan.spec
    conv = (torch.conv1d, torch.conv2d, torch.conv3d)[spec.ndim - 1]
    b = None if bias is None else torch.from_numpy(bias)
    return conv(x, weight, b, spec.stride, plan.padding, spec.dilation, spec.groups)


def call_packed(plan: Plan, x: Any, weight: Any, bias: np.ndarray | None) -> Any:
    torch, spec = _torch(), plan.spec
    b = None if bias is None else torch.from_numpy(bias)
    return torch.ops.mkldnn._convolution_pointwise(
        x, weight, b, plan.padding, spec.stride, spec.dilation, spec.groups, "none", [], ""
    )


def export(plan: Plan, y: Any) -> np.ndarray:
    return y.contiguous().numpy()


def memory(tensor: Any) -> list[Range]:
    """The address range of a tensor, oneDNN's opaque ones included."""
    if tensor.is_mkldnn:
        mkldnn = _torch().ops.mkldnn
        return [(mkldnn.data_ptr(tensor), mkldnn._nbytes(tensor))]
    storage = tensor.untyped_storage()
    return [(storage.data_ptr(), storage.nbytes())]


def cost(plan: Plan, machine: Machine) -> float:
    spec = plan.spec
    compute = machine.flop_time(spec.flop, spec, 1, EFFICIENCY)
    return SECONDS_PER_CALL + max(compute, machine.byte_time(spec.min_bytes))


common: dict[str, Any] = {
    "plan": plan,
    "export": export,
    "memory": memory,
    "cost": cost,
    "error": direct_error,
    "local": True,
    "available": installed("torch"),
}
torch_nchw = peer(
    "torch_nchw",
    call,
    supports=supports,
    load=tensor,
    prepare=tensor,
    claim="torch conv on contiguous tensors",
    **common,
)
torch_channels_last = peer(
    "torch_channels_last",
    call,
    supports=supports_2d,
    load=channels_last,
    prepare=channels_last,
    claim="torch conv2d on channels-last tensors",
    **common,
)
torch_prepacked = peer(
    "torch_prepacked",
    call_packed,
    supports=supports_packed,
    load=channels_last,
    prepare=pack,
    claim="oneDNN through torch: channels last, weights packed once",
    **common,
)
