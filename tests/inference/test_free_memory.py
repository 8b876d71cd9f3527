"""What a process may still allocate."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import resource, psutil
from prosect.inference.memory import ADDRESSES, available_bytes
used = psutil.Process().memory_info().vms
limit = used + ADDRESSES + (50 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
found = available_bytes()
assert 0 < found <= 50 << 20, found
resource.setrlimit(resource.RLIMIT_AS, (used + ADDRESSES // 2, limit))
assert available_bytes() == 0
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space are Linux's")
def test_under_a_limit_of_addresses_some_are_kept_free() -> None:
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)
