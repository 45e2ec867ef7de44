"""The C library's memory allocator while a network is trained on a CPU."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

# glibc's malloc.h: parameters of mallopt, with their defaults
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
DEFAULTS = {TRIM_THRESHOLD: 128 << 10, TOP_PAD: 128 << 10, MMAP_MAX: 65536}
KEEPING = {TRIM_THRESHOLD: 2**31 - 1, TOP_PAD: 64 << 20, MMAP_MAX: 0}


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep freed memory in this process, and give it back to the system at the end.

    Each step frees the activations of its batch, hundreds of megabytes. glibc gives such blocks back at once, and the
    kernel clears each page again in the next step: up to 40 % of the time of a step. Without glibc this does nothing.
    """
    library = ctypes.CDLL(None)
    mallopt, trim = getattr(library, "mallopt", None), getattr(library, "malloc_trim", None)
    if mallopt is None or trim is None:
        yield
        return
    for parameter, value in KEEPING.items():
        mallopt(parameter, value)
    try:
        yield
    finally:
        for parameter, value in DEFAULTS.items():
            mallopt(parameter, value)
        trim(0)
