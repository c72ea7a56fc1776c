"""Register tokens that were learned: a ViT has them inside, and its outputs are as long as before.

They come behind the model's own prefix, without positions, as test-time registers do; those start
as zeros and these as whatever was trained.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.vits.class_swap import Mixin, check_plain, mix
from ttr_backbones.vits.family import family_of


def add_learned_registers(vit: nn.Module, registers: Tensor) -> None:
    """Give `vit` R more tokens inside, until `unmix_all`.

    Args:
        vit: without a repair; changed in place.
        registers: what they start as, [R, C]. A `Parameter` can be trained and is then in the state
            dict; any other tensor is copied, and is not.

    Raises:
        InputError: registers have no place in this model, or are of another width.
    """
    check_plain(vit)
    family = family_of(vit)
    family.check(vit)
    width = family.facts(vit).channels
    if registers.ndim != 2 or registers.shape[1] != width or not len(registers):
        raise InputError(
            f"registers: expected [R, {width}] with R > 0, got {tuple(registers.shape)}"
        )
    mix(vit, family.register_tokens)
    mix(vit, LearnedRegisters)
    mixed: Any = vit
    mixed.hold(registers)


class LearnedRegisters(Mixin):
    """A ViT with register tokens (`RegisterTokens`) that do not start as zeros."""

    is_test_time = False
    learned_registers: Tensor

    @property
    def initial_registers(self) -> Tensor:
        """What they start as, [R, C]."""
        return self.learned_registers

    def hold(self, registers: Tensor) -> None:
        """Start with these from now on, [R, C]."""
        vit: Any = self
        vit.set_num_registers(len(registers))
        if isinstance(registers, nn.Parameter):
            self.register_parameter("learned_registers", registers)
        else:
            like = next(self.parameters())
            self.register_buffer("learned_registers", registers.to(like, copy=True), False)

    def restore(self) -> None:
        """Forget them."""
        del self.learned_registers
