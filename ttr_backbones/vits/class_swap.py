"""Class swaps: mixins that change modules in place, and are removed again bit for bit.

A module keeps its parameters, its name and its place and changes only its class, to one made of
the mixin and of the class it had. There are no hooks, so `torch.compile`, `torch.export`,
`deepcopy`, pickles and `.to()` see ordinary modules.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.vits.family import family_of

Module = TypeVar("Module", bound=nn.Module)


def has_test_time_registers(vit: nn.Module) -> bool:
    """Whether `vit` has test-time registers, as tokens or as constant keys and values."""
    return isinstance(vit, RegisterMixin) and vit.is_test_time


def is_swapped(vit: nn.Module) -> bool:
    """Whether any module of `vit` has taken on another class, for whatever repair."""
    return any(isinstance(module, Mixin) for module in vit.modules())


def unmix_all(vit: nn.Module) -> None:
    """Let every module of `vit` be, bit for bit, what it was before `mix`."""
    for module in list(vit.modules()):
        while isinstance(module, Mixin):  # a module may have taken on several, the last one first
            module.restore()
            unmix(module)


def remove_test_time_registers(vit: nn.Module) -> nn.Module:
    """Take registers of either form away: `vit` is again, bit for bit, what timm made.

    Raises:
        InputError: `vit` has no test-time registers.
    """
    if not has_test_time_registers(vit):
        raise InputError("this model has no test-time registers to remove")
    unmix_all(vit)
    return vit


def check_plain(vit: Any) -> None:
    """Raise InputError unless `vit` is a ViT of a known family without a repair."""
    if has_test_time_registers(vit):
        raise InputError(
            "this model already has test-time registers: call remove_test_time_registers first"
        )
    if isinstance(vit, nn.Module) and is_swapped(vit):
        raise InputError("this model is already repaired: call remove_repair first")
    family_of(vit)


@contextmanager
def restored_eval(vit: nn.Module) -> Iterator[None]:
    """Run `vit` in eval mode; give every module its mode back, and leave no repair on."""
    training = [module for module in vit.modules() if module.training]
    vit.eval()
    try:
        yield
    finally:
        unmix_all(vit)
        for module in training:
            module.training = True


def sharing_copy(module: Module, share: Callable[[Tensor], bool] = lambda _: True) -> Module:
    """Copy the modules and not the weights: the copy can have other registers, or none.

    Args:
        module: what is copied.
        share: which of its parameters and buffers are not copied; by default none is.
    """
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors if share(tensor)})


class Mixin(nn.Module):
    """A class that a module takes on for a while; copies and pickles keep it.

    A module of transformers keeps the printed name of its class, whatever it takes on: transformers
    finds by that what a model records, and stores it in its config.
    """

    def restore(self) -> None:
        """Give back everything that the module did not have before."""
        raise NotImplementedError

    def __prepare_scriptable__(self) -> Any:
        """Refuse `torch.jit.script`, which asks for this first and knows no swapped classes.

        Raises:
            InputError: always.
        """
        raise InputError(
            "torch.jit.script cannot compile a model with registers or another repair: use "
            "torch.export (`ttrb export`) or torch.compile, or torch.jit.trace at one size"
        )

    def __reduce_ex__(self, protocol: Any) -> Any:
        del protocol
        parts, cls = [], type(self)
        while vars(cls).get("is_mixed"):  # pickles know classes by name, and these have none
            mixin, cls = cls.__bases__
            parts.append(mixin)
        return _rebuild, (*parts, cls), self.__dict__


class RegisterMixin(Mixin):
    """What a ViT takes on with registers that it does not have by itself.

    Attributes:
        is_test_time: whether they are test-time registers, and not learned ones.
    """

    is_test_time = True

    def describe(self) -> dict[str, Any]:
        """What they are, as plain data: equal where they do the same."""
        raise NotImplementedError


def mix(module: nn.Module, mixin: Any) -> None:
    """Put `mixin` in front of the class of `module`."""
    base: Any = type(module)
    module.__class__ = _mixed(mixin, base)


def unmix(module: nn.Module) -> None:
    """Let `module` be of the class again that it had before `mix`."""
    module.__class__ = type(module).__bases__[1]


@functools.cache
def _mixed(mixin: Any, base: Any) -> Any:
    name, about = f"{base.__name__}{mixin.__name__}", {"__module__": __name__, "is_mixed": True}
    if base.__module__.startswith("transformers."):
        name = base.__name__
        about |= {"__module__": base.__module__, "__qualname__": base.__qualname__}
    return type(name, (mixin, base), about)


def _rebuild(*parts: Any) -> Any:
    """Make an instance of the class that the mixins `parts[:-1]` and the class behind them give."""
    cls = functools.reduce(lambda base, mixin: _mixed(mixin, base), reversed(parts))
    return cls.__new__(cls)
