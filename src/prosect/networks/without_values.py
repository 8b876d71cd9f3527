"""Building a network whose weights come from a file: its shapes alone, in no time and no memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["without_values"]


class _NoInitialisation(TorchFunctionMode):
    """Leave tensors alone that would be filled with first values.

    On the device without memory that does nothing but load torch's compiler, which takes as long as torch itself.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return what a function of torch does, or of `torch.nn.init` the tensor itself."""
        named = dict(kwargs or {})
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else named["tensor"]
        return func(*args, **named)


@contextmanager
def without_values() -> Iterator[None]:
    """Build networks inside the block that have shapes and no values."""
    with torch.device("meta"), _NoInitialisation():
        yield
