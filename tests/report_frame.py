"""A made-up frame of cells with the columns of `bench.records.cells`: plausible times, every status, no measurement."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from convbench import suites
from convbench.bench.records import COLUMNS
from convbench.spec import ConvSpec

PEAK, BANDWIDTH = 140e9, 11e9
EFFICIENCY = {  # algorithm -> (part of the peak on large problems, executed part of the nominal flop, error)
    "python_loops": (2e-5, 1.0, 2e-7),
    "naive": (0.02, 1.0, 2e-7),
    "direct": (0.80, 1.0, 2e-7),
    "im2col": (0.62, 1.0, 2e-7),
    "implicit_gemm": (0.70, 1.0, 2e-7),
    "kn2row": (0.45, 1.0, 2e-7),
    "pointwise": (0.78, 1.0, 2e-7),
    "winograd_2x2_3x3": (0.62, 0.444, 3e-7),
    "winograd_4x4_3x3": (0.60, 0.25, 8e-7),
    "winograd_6x6_3x3": (0.50, 0.20, 7e-6),
    "fft": (0.15, 0.0, 4e-7),
    "fft_tiled": (0.30, 0.0, 4e-7),
    "separable": (0.35, 0.0, 3e-7),
    "depthwise": (0.45, 1.0, 2e-7),
    "depthwise_separable": (0.40, 0.0, 3e-7),
    "scipy_oaconvolve": (0.01, 0.0, 6e-7),
    "torch_conv2d": (0.55, 1.0, 2e-7),
    "torch_channels_last_prepacked": (0.72, 1.0, 2e-7),
}
PEERS = ("scipy_oaconvolve", "torch_conv2d", "torch_channels_last_prepacked")
SCALING = (
    '{"threads": [1, 2], "kernel_threads": [1, 2], "seconds": [[2.0, 2.2, 2.1, 2.0, 2, 2], [1.0, 1.1, 1.1, 1.0, 1, 1]],'
    ' "probe": [[1e-3, 1e-3], [1e-3, 1e-3]], "busy": [1.0, 1.9]}'
)
Problem = tuple[str, str, ConvSpec, str]


def problems() -> list[Problem]:
    """(suite, name, spec, weights) of the default suite, a volume and a float64 layer: about 80."""
    found = [(problem.suite, problem.spec.name, problem.spec, problem.weights) for problem in suites.load("default")]
    volume = ConvSpec((1, 16, 8, 28, 28), (32, 16, 3, 3, 3), padding=1)
    layer = ConvSpec((1, 64, 28, 28), (64, 64, 3, 3), padding=1, dtype="float64")
    return [*found, ("extras", "i3d", volume, "dense"), ("extras", "double", layer, "dense")]


def few() -> list[Problem]:
    """Some layers, some photos and one whole sweep: 14 problems."""
    by_suite = {name: [problem for problem in problems() if problem[0] == name] for name in ("resnet50", "images")}
    return by_suite["resnet50"][::3] + by_suite["images"][::3] + [p for p in problems() if p[0] == "sweep_size"]


def _refusal(name: str, spec: ConvSpec, weights: str) -> str:
    if name.startswith("winograd") and (set(spec.filter) != {3} or max(spec.stride) > 1 or spec.ndim > 2):
        return f"{name} needs a 3×3 filter with stride 1; this one is {'×'.join(map(str, spec.filter))}"
    if name == "pointwise" and max(spec.filter) > 1:
        return "pointwise needs a filter of one tap"
    if name == "python_loops" and spec.macs > 10**6:
        return f"python_loops refuses more than 1,000,000 multiply-adds; this problem has {spec.macs:,}"
    if name == "depthwise" and spec.G != spec.C:
        return f"depthwise needs groups = C; groups = {spec.G}, C = {spec.C}"
    if name in ("kn2row", "depthwise_separable", "separable") and (spec.ndim != 2 or max(spec.stride) > 1):
        return f"{name} handles 2-D problems with stride 1"
    if name == "scipy_oaconvolve" and spec.C > 1:
        return "scipy.signal convolves one channel"
    if name.startswith("torch") and spec.ndim != 2:
        return "this peer is 2-D only"
    return ""


def _time(name: str, spec: ConvSpec, weights: str, rng: np.random.Generator) -> float:
    efficiency, executed, _ = EFFICIENCY[name]
    taps, image = math.prod(spec.filter), math.prod(spec.spatial)
    flop = spec.flop * executed
    if name.startswith(("fft", "scipy")):
        flop = 5 * image * math.log2(image) * (spec.C + spec.K) + 8 * image * spec.C * spec.K
    if "separable" in name:
        flop = spec.flop / taps * 2 * math.sqrt(taps) * (1 if weights == "rank1" else min(spec.filter))
    if spec.G > 1 and name != "depthwise":
        efficiency /= 4
    if name in ("im2col", "kn2row") and spec.C == 1:
        efficiency /= 6
    seconds = flop / (efficiency * PEAK) + spec.min_bytes / BANDWIDTH + 3e-6
    return float(seconds * rng.lognormal(0, 0.08))


def _cell(problem: Problem, name: str, rng: np.random.Generator) -> dict[str, object]:
    suite, label, spec, weights = problem
    _, executed, error = EFFICIENCY[name]
    cell: dict[str, object] = {
        **{"suite": suite, "spec": str(spec), "problem_name": label, "repeats": spec.repeats, "weights": weights},
        **{"algorithm": name, "peer": name in PEERS, "status": "ok", "reason": "", "threads": 1, "cache": "hot"},
        **{"compile_s": rng.uniform(0.3, 4), "cache_load_s": rng.uniform(0.01, 0.3), "first_s": np.nan},
        **{"prepare_s": rng.uniform(1e-5, 1e-3), "workspace_bytes": spec.min_bytes // 3},
        **{"error": error * rng.lognormal(0, 0.3), "bound": 10 * error, "relative_error": 2 * error},
        **{"library_bytes": 0, "traced_bytes": 1000, "resident_bytes": 4096, "cold_bytes": np.nan, "slowed": 0.0},
        **{"phases": "", "phases_sum": np.nan, "phases_slowdown": np.nan, "scaling": ""},
        **{"flop": spec.flop, "executed_flop": spec.flop * executed, "min_bytes": spec.min_bytes},
        **{"rounds": 25, "ndim": spec.ndim, "repro": f"convbench bench --algorithms {name} '{spec}'"},
    }
    reason = _refusal(name, spec, weights)
    if reason:
        cell |= {"status": "skipped", "reason": reason, "rounds": 0}
    cell["time"] = np.nan if reason else _time(name, spec, weights, rng)
    cell["predicted_s"] = cell["time"]
    return cell


TROUBLES = (
    ("failed", "error 3.1e-02 is above the bound 2.0e-06"),
    ("crashed", "the worker died of signal 11 (segmentation fault)"),
    ("timed out", "no answer in 60 s"),
    ("out of budget", "the budget was over before its turn"),
    ("weak test", "the data cannot tell a wrong answer: 0.1% of the outputs are non-zero"),
)


def _rank(cells: pd.DataFrame) -> pd.DataFrame:
    """Ratios to the fastest, the tied set, the winner and the hopeless of one problem."""
    cells = cells.copy()
    best = cells["time"].min()
    hopeless = cells["time"] > 20 * best
    lost = [status for status, _ in TROUBLES if status != "weak test"]
    cells.loc[hopeless & ~cells["status"].isin(lost), "status"] = "hopeless"
    cells.loc[hopeless, "reason"] = cells.loc[hopeless, "time"].map(lambda t: f"predicted {t:.3g} s, over 20× the best")
    cells.loc[cells["status"].isin(["hopeless", *lost]), ["time", "rounds"]] = (np.nan, 0)
    ratio = cells["time"] / cells["time"].min()
    spread = np.where(ratio == 1, 0.0, 0.03)
    cells["time_low"], cells["time_high"] = cells["time"] * 0.97, cells["time"] * 1.04
    cells["best_ratio"], cells["ratio_low"], cells["ratio_high"] = ratio, ratio * (1 - spread), ratio * (1 + spread)
    cells["tied"] = cells["ratio_low"] <= 1
    winner = cells[cells["tied"]].sort_values(["workspace_bytes", "error", "algorithm"]).index[:1]
    cells["winner"] = cells.index.isin(winner)
    own = cells[~cells["peer"] & cells["time"].notna()]
    close = own[own["ratio_low"] <= own["ratio_high"].min()]
    cells["own_tied"] = cells.index.isin(close.index)
    cells["own_winner"] = cells.index.isin(close.sort_values(["workspace_bytes", "error", "algorithm"]).index[:1])
    cells["peak_fraction"] = cells["flop"] / cells["time"] / PEAK
    cells["bandwidth_fraction"] = cells["min_bytes"] / cells["time"] / BANDWIDTH
    return cells


def frame(chosen: list[Problem] | None = None, seed: int = 0) -> pd.DataFrame:
    """Cells of every algorithm on each of the problems (by default all of `problems()`)."""
    rng = np.random.default_rng(seed)
    chosen = problems() if chosen is None else chosen
    cells = pd.DataFrame([_cell(problem, name, rng) for problem in chosen for name in EFFICIENCY])
    ran = cells.index[cells["status"] == "ok"]
    for at, (status, reason) in zip(ran[3::7], TROUBLES, strict=False):
        cells.loc[at, ["status", "reason"]] = (status, reason)
    marked = cells["algorithm"].str.startswith(("winograd", "im2col")) & cells["time"].notna()
    parts = '{"call": 1e-5, "transform": 2e-4, "multiply": 6e-4, "inverse": 2e-4}'
    cells.loc[marked, ["phases", "phases_sum", "phases_slowdown"]] = [parts, 0.99, 1.02]
    cells.loc[cells["algorithm"].isin(["direct", "fft"]) & cells["time"].notna(), "scaling"] = SCALING
    groups = cells.groupby(["suite", "spec", "weights"], sort=False)
    return pd.concat([_rank(group) for _, group in groups], ignore_index=True)[list(COLUMNS)]


MACHINE = {
    "cpu_model_name": "Example CPU @ 2.50GHz",
    "python_version": "3.12.1 (64-bit)",
    "numpy_version": "2.4.0",
    "numba_version": "0.68.1",
    "threads": 1,
    "cache": "hot",
}


def contest(*rows: dict[str, object]) -> pd.DataFrame:
    """Cells of one problem: defaults of an untied, timed contender of ours, changed by each row."""
    default = frame(few()[:1]).iloc[0].to_dict() | {
        "status": "ok",
        "reason": "",
        "peer": False,
    }
    flags = {"tied": False, "winner": False, "own_tied": False, "own_winner": False}
    times = {"time": 1.0, "time_low": 0.9, "time_high": 1.1, "best_ratio": 1.0, "ratio_low": 1.0, "ratio_high": 1.0}
    return pd.DataFrame([default | flags | times | row for row in rows], columns=list(COLUMNS))


FIRST = {"tied": True, "winner": True, "own_tied": True, "own_winner": True}
SILENT = {"time": np.nan, "time_low": np.nan, "time_high": np.nan, "best_ratio": np.nan, "rounds": 0}
