"""Where the tokens of a sequence inside a ViT are.

From the position embedding to the last block a sequence is [CLS, trained registers, test-time
registers, patches].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from ttr_backbones.errors import InputError

Grid = tuple[int, int]


class Tokens(NamedTuple):
    """The parts of a sequence of tokens."""

    prefix: Tensor  # [B, P, C], CLS and trained registers
    registers: Tensor  # [B, R, C], test-time registers
    patches: Tensor  # [B, N, C]


class Heads(NamedTuple):
    """Queries, keys and values of one block, or what stands for them."""

    query: Tensor
    key: Tensor
    value: Tensor


@dataclass(frozen=True)
class TokenLayout:
    """How many tokens of each kind a sequence has.

    Args:
        num_cls: CLS tokens, 0 or 1.
        num_trained: the model's own further prefix tokens, P - num_cls: trained registers.
        num_registers: test-time registers R.
        grid: (h, w) of the patches; None where it is not known.
    """

    num_cls: int
    num_trained: int
    num_registers: int = 0
    grid: Grid | None = None

    @property
    def num_prefix(self) -> int:
        """CLS and trained registers, P."""
        return self.num_cls + self.num_trained

    @property
    def first_patch(self) -> int:
        """Index of the first patch, P + R."""
        return self.num_prefix + self.num_registers

    @property
    def cls(self) -> slice:
        """Where CLS is."""
        return slice(0, self.num_cls)

    @property
    def trained(self) -> slice:
        """Where the trained registers are."""
        return slice(self.num_cls, self.num_prefix)

    @property
    def prefix(self) -> slice:
        """Where CLS and the trained registers are."""
        return slice(0, self.num_prefix)

    @property
    def registers(self) -> slice:
        """Where the test-time registers are."""
        return slice(self.num_prefix, self.first_patch)

    @property
    def patches(self) -> slice:
        """Where the patches are."""
        end = None if self.grid is None else self.first_patch + self.grid[0] * self.grid[1]
        return slice(self.first_patch, end)

    def split(self, tokens: Tensor) -> Tokens:
        """Take a sequence [B, P + R + N, C] apart."""
        parts = (self.prefix, self.registers, self.patches)
        return Tokens(*(tokens[:, part] for part in parts))

    def check(self, tokens: Tensor) -> None:
        """Raise InputError unless `tokens` [B, P + R + N, C] are as many as here."""
        num = tokens.shape[1] if tokens.ndim > 1 else 0
        h, w = self.grid or (1, num - self.first_patch)
        if num != self.first_patch + h * w or num < self.first_patch:
            raise InputError(
                f"expected tokens [B, {self.num_cls} CLS + {self.num_trained} trained + "
                f"{self.num_registers} test-time registers + "
                f"{'N' if self.grid is None else f'{h} x {w}'} patches, C], got "
                f"{tuple(tokens.shape)}"
            )
