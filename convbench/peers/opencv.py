"""OpenCV: ``filter2D`` and ``sepFilter2D``, which filter images, and ``cv2.dnn``, which runs networks.

``opencv_filter2d``     one call a channel; a DFT inside for large filters. Its output has the image's size, so that of
                        a problem with less padding is cropped out of it.
``opencv_sepfilter2d``  the same from two 1-D filters: preparation factorises, and refuses a filter of higher rank.
``opencv_dnn``          a network of one Conv, read from ONNX; Winograd inside for 3×3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from convbench.algorithm import Unsupported
from convbench.machine import Machine
from convbench.peers import installed, peer, symmetric_padding
from convbench.peers.onnxruntime import model
from convbench.peers.scipy_signal import MOST_CALLS
from convbench.spec import ConvSpec

SECONDS_PER_CALL = 2e-5
SECONDS_PER_MAC = 1e-10  # of filter2D's direct form
SECONDS_PER_LINE_MAC = 2.5e-10  # of sepFilter2D
DFT_TAPS = 130  # filter2D takes larger filters through a DFT,
DFT_MACS = 330  # at the cost of so many multiply-adds a pixel
LEVELS = 8  # singular values below so many units in the last place of the first are rounding errors
DNN_SECONDS_PER_CALL = 1e-4
DNN_EFFICIENCY, DNN_ALONE = 0.3, 0.01  # of the peak; the second for a single output channel


class Plan(NamedTuple):
    spec: ConvSpec
    threads: int


def _cv2() -> Any:
    import cv2

    return cv2


def plan(spec: ConvSpec, threads: int, workspace_limit: int | None) -> Plan:
    _cv2().setNumThreads(threads)
    return Plan(spec, threads)


def supports(spec: ConvSpec) -> str | None:
    if spec.ndim != 2:
        return "OpenCV filters images"
    if spec.weight_shape[1] != 1 or spec.N * spec.K > MOST_CALLS:
        return f"OpenCV filters one channel a call; it is looped over up to {MOST_CALLS}, and sums none"
    if max(spec.stride) > 1 or max(spec.dilation) > 1:
        return "OpenCV's filters have neither stride nor dilation"
    if any(sum(pair) >= taps for pair, taps in zip(spec.padding, spec.filter, strict=True)):
        return "OpenCV gives an output of the image's size; this problem's is larger"
    return None


def factorise(plan: Plan, weight: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """(row, column) of every filter: w[k, 0] = column · rowᵀ. Unsupported if one is not of rank 1."""
    pairs = []
    for taps in weight[:, 0]:
        left, levels, right = np.linalg.svd(taps.astype(np.float64))
        if any(levels[1:] > LEVELS * np.finfo(weight.dtype).eps * levels[0]):
            raise Unsupported("sepFilter2D takes filters that are a column times a row; these weights are not")
        pairs.append((right[0].astype(weight.dtype), (levels[0] * left[:, 0]).astype(weight.dtype)))
    return pairs


def filtered(
    apply: Callable[..., np.ndarray], plan: Plan, x: np.ndarray, filters: Iterable[Any], bias: np.ndarray | None
) -> np.ndarray:
    """y[n, k] = ``apply(image, filter, …)``, cropped: anchored so that output 0 lies before by as much as is padded."""
    spec, cv2 = plan.spec, _cv2()
    rows, columns = spec.output_spatial
    share, (top, left) = spec.K // spec.groups, (before for before, _ in spec.padding)
    planes = [
        apply(
            image[k // share],
            taps,
            anchor=(left, top),
            delta=0.0 if bias is None else float(bias[k]),
            borderType=cv2.BORDER_CONSTANT,
        )[:rows, :columns]
        for image in x
        for k, taps in enumerate(filters)
    ]
    return (planes[0] if len(planes) == 1 else np.stack(planes)).reshape(spec.output_shape)


def filter2d(plan: Plan, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    def apply(image: np.ndarray, taps: np.ndarray, **where: Any) -> np.ndarray:
        return _cv2().filter2D(image, -1, taps[0], **where)

    return filtered(apply, plan, x, weight, bias)


def sepfilter2d(plan: Plan, x: np.ndarray, pairs: Sequence[Any], bias: np.ndarray | None) -> np.ndarray:
    def apply(image: np.ndarray, pair: tuple[np.ndarray, np.ndarray], **where: Any) -> np.ndarray:
        return _cv2().sepFilter2D(image, -1, *pair, **where)

    return filtered(apply, plan, x, pairs, bias)


def filter2d_cost(plan: Plan, machine: Machine) -> float:
    spec = plan.spec
    taps = prod(spec.filter)
    macs = taps if taps <= DFT_TAPS else DFT_MACS
    return spec.N * spec.K * (SECONDS_PER_CALL + macs * prod(spec.spatial) * SECONDS_PER_MAC)


def sepfilter2d_cost(plan: Plan, machine: Machine) -> float:
    spec = plan.spec
    return spec.N * spec.K * (SECONDS_PER_CALL + sum(spec.filter) * prod(spec.spatial) * SECONDS_PER_LINE_MAC)


def supports_dnn(spec: ConvSpec) -> str | None:
    if spec.ndim != 2 or spec.dtype != "float32":
        return "cv2.dnn is raced on images of float32"
    if symmetric_padding(spec) is None:
        return f"cv2.dnn pads both sides alike; this problem has {spec.padding}"
    if spec.groups > 1 and prod(spec.filter) == 1 and any(map(any, spec.padding)):
        return "cv2.dnn is wrong on padded 1×1 layers of several groups"
    return None


def network(plan: Plan, weight: np.ndarray, bias: np.ndarray | None) -> Any:
    return _cv2().dnn.readNetFromONNX(np.frombuffer(model(plan.spec, weight, bias), np.uint8))


def forward(plan: Plan, x: np.ndarray, state: Any, bias: np.ndarray | None) -> np.ndarray:
    state.setInput(x)
    return state.forward()


def dnn_cost(plan: Plan, machine: Machine) -> float:
    spec = plan.spec
    compute = machine.flop_time(spec.flop, spec, plan.threads, DNN_EFFICIENCY if spec.K > 1 else DNN_ALONE)
    return DNN_SECONDS_PER_CALL + max(compute, machine.byte_time(spec.min_bytes, plan.threads))


opencv_filter2d = peer(
    "opencv_filter2d",
    filter2d,
    supports=supports,
    plan=plan,
    cost=filter2d_cost,
    available=installed("cv2"),
    claim="cv2.filter2D, one call a channel",
)
opencv_sepfilter2d = peer(
    "opencv_sepfilter2d",
    sepfilter2d,
    supports=supports,
    plan=plan,
    prepare=factorise,
    cost=sepfilter2d_cost,
    available=installed("cv2"),
    claim="cv2.sepFilter2D for filters of rank 1, one call a channel",
)
opencv_dnn = peer(
    "opencv_dnn",
    forward,
    supports=supports_dnn,
    plan=plan,
    bind=network,
    cost=dnn_cost,
    available=installed("cv2", "onnx"),
    claim="OpenCV's cv2.dnn, one Conv with constant weights and bias",
)
