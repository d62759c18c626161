"""The one place where Numba's options are chosen, each with its reason.

Compiled code is cached on disk in a directory whose name holds a hash of this folder's sources: Numba notices an
edit of the file that holds a kernel, but not of a helper or intrinsic that the kernel uses from another file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import numba
from numba import config
from numba.core.types.misc import unliteral

from convbench.machine import cache_dir

OPTIONS: dict[str, Any] = {
    "cache": True,  # the next process loads in milliseconds what this one compiled in seconds
    "nogil": True,  # threads.parallel runs kernels on Python threads
    "error_model": "numpy",  # no branch for a division by zero in every loop
    # FMA contraction, and sums reordered so that they vectorise; NaN and infinity keep their meaning (no nnan, ninf)
    "fastmath": {"contract", "nsz", "arcp", "reassoc"},
    "no_cfunc_wrapper": True,  # one function less to compile for each kernel: none is called from C
}


def chosen_vector_bytes() -> int | None:
    """``$CONVBENCH_VECTOR_BYTES``: vectors of 64, 32 or 16 bytes, where the host has them; None if it is not set."""
    text = os.environ.get("CONVBENCH_VECTOR_BYTES")
    if not text:
        return None
    if text not in ("64", "32", "16"):
        raise ValueError(f"CONVBENCH_VECTOR_BYTES={text!r}; allowed: 64, 32, 16")
    return int(text)


def sources_hash(*sources: Path) -> str:
    """Twelve hex digits over these Python files, and those in these folders."""
    digest = hashlib.sha256()
    for path in sorted(path for source in sources for path in (source.glob("*.py") if source.is_dir() else [source])):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def code_dir() -> Path:
    """Where compiled kernels live: ``$NUMBA_CACHE_DIR`` if set, else the user's cache, and the hash below it.

    Code for vectors of a chosen width has a directory of its own.
    """
    base = Path(config.CACHE_DIR) if config.CACHE_DIR else cache_dir() / "numba"
    width = chosen_vector_bytes()
    return base / (f"kernels-{_HASH}-{width}" if width else f"kernels-{_HASH}")


def njit(function: Callable[..., Any], *types: Any, **options: Any) -> Any:
    """``numba.njit`` with :data:`OPTIONS`; the cache lands in :func:`code_dir`, other users of Numba keep theirs.

    types: of the arguments, if the function shall be compiled at once and take no others (TypeError).
    """
    theirs = config.CACHE_DIR
    config.CACHE_DIR = str(_CODE_DIR)
    try:
        compiled = numba.njit(types or None, **OPTIONS, **options)(function)
    finally:
        config.CACHE_DIR = theirs
    _name_apart(compiled)
    _compile_once(compiled)
    return compiled


def _compile_once(compiled: Any) -> None:
    """Compile for a number's type, whether its value is known where the function is called or not.

    Numba else compiles f(x, 0) and f(x, i) apart, though both are the same code: the 0 is an argument like any other.
    It asks this inner method of a dispatcher what a call in compiled code means.
    """
    template = compiled.get_call_template

    def by_type(arguments: Any, named: Any) -> Any:
        return template(tuple(map(unliteral, arguments)), {name: unliteral(each) for name, each in named.items()})

    compiled.get_call_template = by_type


def _name_apart(compiled: Any) -> None:
    """Give every variant of a function a file of its own, whoever writes it.

    Numba numbers them by the index it has read. Of two processes that compile different variants at once, both may take
    the same number, and whoever reads the index later gets the code of the one under the key of the other.
    """
    file = compiled._cache._cache_file
    stem = file._index_name.removesuffix(".nbi")
    file._data_name = lambda number: f"{stem}.{uuid4().hex}.nbc"


def inlined(function: Callable[..., Any]) -> Any:
    """:func:`njit` for a function that becomes part of its callers: a call hands over seven words for every array."""
    return njit(function, inline="always")


_HASH = sources_hash(Path(__file__).parent)
_CODE_DIR = code_dir()
