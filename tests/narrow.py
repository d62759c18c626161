"""``python narrow.py 32``: check every algorithm as compiled for a host whose vectors have 32 (or 16) bytes.

The features of wider vectors are hidden from LLVM before anything is compiled. Prints one line a failure; exit code 1
if there is any.
"""

from __future__ import annotations

import sys

from llvmlite import binding

WIDER = {32: ("avx512", "avx10", "amx", "evex512"), 16: ("avx", "amx", "evex512", "f16c", "xop", "vaes", "vpclmul")}


def hide(vector_bytes: int) -> None:
    """Make LLVM and convbench believe that the host has no wider vectors."""
    whole = binding.get_host_cpu_features()

    def narrow() -> binding.FeatureMap:
        return binding.FeatureMap({
            name: present and not name.startswith(WIDER[vector_bytes]) for name, present in whole.items()
        })  # fmt: skip

    binding.get_host_cpu_features = narrow


def main(vector_bytes: int) -> int:
    hide(vector_bytes)
    from convbench import suites
    from convbench.algorithm import algorithms
    from convbench.kernels.simd import VECTOR_BYTES
    from convbench.verify import check

    assert vector_bytes == VECTOR_BYTES
    checked = failed = 0
    for problem in suites.load("correctness"):
        for dtype in ("float32", "float64"):
            spec = problem.spec.replace(dtype=dtype)
            for name, algorithm in algorithms().items():
                if algorithm.supports(spec) is None and name != "python_loops":
                    verdict = check(algorithm, spec, threads=2)
                    checked += 1
                    if not verdict.ok:
                        failed += 1
                        print(verdict, flush=True)
    print(f"{checked} checked")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
