"""Memory that ends while weights are loaded, called by its name: such a file is whole and need not be fetched again."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from prosect.errors import ResourceError

__all__ = ["ran_out", "refuse_exhaustion_of_loading"]

# What torch's allocator and the C++ library write into a plain RuntimeError where they get no memory.
SIGNS = ("DefaultCPUAllocator", "bad_alloc", "Cannot allocate memory", "not enough memory")


def ran_out(error: BaseException) -> bool:
    """Return whether an error, or one that led to it, says that the processor's or a GPU's memory ended."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError | torch.OutOfMemoryError):
            return True
        if isinstance(cause, OSError) and cause.errno == errno.ENOMEM:
            return True
        if isinstance(cause, RuntimeError) and any(sign in str(cause) for sign in SIGNS):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


@contextmanager
def refuse_exhaustion_of_loading() -> Iterator[None]:
    """Turn every way in which memory ends while weights are read, fitted or moved into one typed error.

    Raises:
        ResourceError: An allocation failed, on the processor (`MEMORY_EXHAUSTED`) or the GPU (`GPU_MEMORY`).
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ResourceError(
            "The GPU ran out of memory while the weights were loaded. Close what else uses it, or use --device cpu.",
            code="GPU_MEMORY",
        ) from error
    except (MemoryError, RuntimeError, OSError) as error:
        if not ran_out(error):
            raise
        raise ResourceError(
            "The memory ran out while the weights were loaded; the file itself need not be damaged. Close other "
            "programs, or use a machine with more memory.",
            code="MEMORY_EXHAUSTED",
        ) from error
