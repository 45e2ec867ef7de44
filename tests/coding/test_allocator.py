"""Freed memory stays in the process while a network is trained, and goes back at the end."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from radretrieval.coding.allocator import freed_memory_kept

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        np.ones(8 << 20, np.float64)  # 64 MiB: 16384 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return int(open("/proc/self/statm").read().split()[1]) // 256

outside = faults()
with freed_memory_kept():
    faults()
    inside, held = faults(), resident()
print(outside, inside, held - resident(), faults())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_pages_are_cleared_once_and_returned_at_the_end() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    outside, inside, returned, after = map(int, done.stdout.split())
    assert inside < 100 < outside
    assert returned > 50  # MiB
    assert after > 100
