"""convbench: which convolution algorithm should I use for this problem on this machine, and how do I call it?

The public names below are loaded on first use, so that ``import convbench`` costs no JIT and no plotting library.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "ConvSpec": "spec",
    "SpecError": "spec",
    "DTypeError": "spec",
    "Algorithm": "algorithm",
    "UnknownAlgorithm": "algorithm",
    "Unsupported": "algorithm",
    "list_algorithms": "algorithm",
    "phases": "algorithm",
    "register": "algorithm",
    "kernel": "driver",
    "Verdict": "verify",
    "check": "verify",
    "explain": "select",
    "fastest": "select",
    "conv1d": "api",
    "conv2d": "api",
    "conv3d": "api",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'convbench' has no attribute {name!r}")
    value = getattr(import_module(f"convbench.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__"})
