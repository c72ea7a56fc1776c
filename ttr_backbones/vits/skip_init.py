"""New parameters without random values, for a model that a file is about to fill.

Drawing them takes longer than reading the file: seconds for a ViT-L.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# What torch and timm draw with. erfinv makes timm's truncated normal of uniform values.
_DRAWING = frozenset({
    Tensor.normal_,
    Tensor.uniform_,
    Tensor.erfinv_,
    nn.init.kaiming_uniform_,
    nn.init.uniform_,
    nn.init.normal_,
    nn.init.trunc_normal_,
    nn.init.xavier_uniform_,
})  # fmt: skip


class SkipInit(TorchFunctionMode):
    """Within it, what would draw random values in place leaves a tensor as it is.

    Every other value, such as a norm's ones and a table of positions, is made. Only where all that
    would have been drawn is replaced afterwards: the memory may hold anything.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run `func` unless it draws."""
        if func in _DRAWING:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))
