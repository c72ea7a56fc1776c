"""Parameters with other values for a while: class swaps that keep the tensors they replace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.vits.class_swap import Mixin, mix

_KEPT = "replaced_"  # before the name of a parameter: its own tensor


def replace_parameters(vit: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Give parameters other values, until `unmix_all` brings back the tensors that they were.

    The values are in tensors of their own: a copy that shares the weights of `vit` keeps its own.

    Args:
        vit: the model; changed in place.
        values: by name as in the state dict, each of the parameter's shape.

    Raises:
        InputError: no such parameter, or another shape; nothing is changed then.
    """
    known = dict(vit.named_parameters())
    groups: dict[str, dict[str, Tensor]] = {}
    for name, value in values.items():
        if name not in known or known[name].shape != value.shape:
            has = f"{tuple(known[name].shape)}" if name in known else "no such parameter"
            raise InputError(
                f"the values of {name} are {tuple(value.shape)}, the model has {has}: they belong "
                "to another model, or to one made with another model_kwargs=dict(img_size=...)"
            )
        module, _, parameter = name.rpartition(".")
        groups.setdefault(module, {})[parameter] = value
    for path, group in groups.items():
        module_with_others: Any = vit.get_submodule(path)
        mix(module_with_others, ReplacedParameters)
        module_with_others.replace(group)


class ReplacedParameters(Mixin):
    """A module some of whose parameters have other values; what they were is kept."""

    def replace(self, values: Mapping[str, Tensor]) -> None:
        """Take on values, and keep the module's own as buffers that are saved nowhere."""
        for name, value in values.items():
            original = getattr(self, name)
            self.register_buffer(f"{_KEPT}{name}", original.detach(), persistent=False)
            other = nn.Parameter(value.to(original, copy=True), original.requires_grad)
            setattr(self, name, other)

    def restore(self) -> None:
        """Have the module's own tensors again."""
        for kept in [name for name in self._buffers if name.startswith(_KEPT)]:
            name = kept.removeprefix(_KEPT)
            other = getattr(self, name)  # cast since, maybe alone
            original = getattr(self, kept).to(other.dtype)
            setattr(self, name, nn.Parameter(original, other.requires_grad))
            delattr(self, kept)

    def _load_from_state_dict(
        self, state_dict: Any, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Take a file with the values that there are or with the module's own, and keep both.

        Any other is an error: the values were made for the module's own.
        """
        errors = args[-1]
        for kept in [name for name in self._buffers if name.startswith(_KEPT)]:
            name = kept.removeprefix(_KEPT)
            now, stored = getattr(self, name).detach(), state_dict.get(f"{prefix}{name}")
            if not isinstance(stored, Tensor):
                continue
            known = (now, getattr(self, kept).to(now))
            if not any(torch.equal(stored.to(now), each) for each in known):
                errors.append(
                    f"{prefix}{name}: a repair has replaced this parameter, and the file has yet "
                    "another one. Call remove_repair, load the file, and fit the repair again"
                )
            state_dict = {**state_dict, f"{prefix}{name}": now}
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
