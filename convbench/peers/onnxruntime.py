"""ONNX Runtime on its CPU provider: a model of one Conv whose weights and bias are constants, packed once.

A call is what its users write: ``session.run`` from a NumPy array to a new NumPy array. Each session has a pool of
threads of its own, as many as the plan says; they stop spinning when a call ends, or they would slow the contender
whose turn is next.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from convbench.machine import Machine
from convbench.peers import installed, peer
from convbench.spec import ConvSpec

SECONDS_PER_CALL = 3e-5
EFFICIENCY, ALONE = 0.55, 0.03  # of the peak; the second for a single output channel
OPSET, IR_VERSION = 17, 8  # of 2022: what every runtime in use reads
ERRORS_ONLY = 3


class Plan(NamedTuple):
    spec: ConvSpec
    threads: int


def supports(spec: ConvSpec) -> str | None:
    return None if spec.dtype == "float32" else "ONNX Runtime's Conv is float32 on CPUs"


def plan(spec: ConvSpec, threads: int, workspace_limit: int | None) -> Plan:
    return Plan(spec, threads)


def model(spec: ConvSpec, weight: np.ndarray, bias: np.ndarray | None) -> bytes:
    """A serialised ONNX model: x (N, C, …) -> y (N, K, …) through one Conv whose weight and bias are initializers."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {"weight": weight} | ({} if bias is None else {"bias": bias})
    node = helper.make_node(
        "Conv",
        ["x", *constants],
        ["y"],
        kernel_shape=spec.filter,
        strides=spec.stride,
        dilations=spec.dilation,
        group=spec.groups,
        pads=[before for before, _ in spec.padding] + [after for _, after in spec.padding],
    )
    graph = helper.make_graph(
        [node],
        "conv",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, spec.input_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, spec.output_shape)],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in constants.items()],
    )
    opset = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION).SerializeToString()


def session(plan: Plan, weight: np.ndarray, bias: np.ndarray | None) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = plan.threads
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return ort.InferenceSession(model(plan.spec, weight, bias), options, providers=["CPUExecutionProvider"])


def call(plan: Plan, x: np.ndarray, state: Any, bias: np.ndarray | None) -> np.ndarray:
    return state.run(None, {"x": x})[0]


def cost(plan: Plan, machine: Machine) -> float:
    spec = plan.spec
    compute = machine.flop_time(spec.flop, spec, plan.threads, EFFICIENCY if spec.K > 1 else ALONE)
    return SECONDS_PER_CALL + max(compute, machine.byte_time(spec.min_bytes, plan.threads))


onnxruntime = peer(
    "onnxruntime",
    call,
    supports=supports,
    plan=plan,
    bind=session,
    cost=cost,
    available=installed("onnxruntime", "onnx"),
    claim="ONNX Runtime, one Conv with constant weights and bias",
)
