"""Operands for calls that are refused, and what a refusal must be: one exception of ours, one line."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable

import numpy as np
import pytest

import convbench as cb

x = np.ones((1, 4, 8, 8), np.float32)
w = np.ones((6, 4, 3, 3), np.float32)
bias = np.ones(6, np.float32)
SPEC = cb.ConvSpec(x.shape, w.shape)
Y = np.zeros(SPEC.output_shape, np.float32)


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def refused(call: Callable[[], object], error: type[Exception], message: str) -> None:
    """``call`` raises exactly this class, with one line that matches."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error) as raised:
            call()
    text = str(raised.value)
    assert type(raised.value) is error
    assert "\n" not in text
    assert re.search(message, text), text
