"""Numba building blocks: jit options, threads, the micro-kernel, layouts, transforms."""
