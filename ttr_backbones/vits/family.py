"""`Family`: what is where inside the ViTs of one implementation.

Everything that reaches inside a ViT asks the family of it, so that another implementation is one
more file with one more subclass. A family holds no state: the model is an argument of each method.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn

from ttr_backbones.errors import InputError

Grid = tuple[int, int]


class Heads(NamedTuple):
    """Queries, keys and values of one block, or what stands for them."""

    query: Tensor
    key: Tensor
    value: Tensor


class Family(ABC):
    """The parts of a ViT by their role.

    Shapes: B images, N tokens, C channels, D hidden units, h x w patches. `block` is one of
    `blocks(vit)`.

    Attributes:
        name: the implementation, for messages.
        examples: models of it, for messages.
    """

    name: str
    examples: str

    @abstractmethod
    def owns(self, vit: Any) -> bool:
        """Whether `vit` is of this family."""

    @abstractmethod
    def blocks(self, vit: Any) -> Sequence[Any]:
        """The transformer blocks, in order."""

    @abstractmethod
    def patch_embedding(self, vit: Any) -> nn.Module:
        """The module that gives the patches [B, h, w, C] of images [B, 3, H, W]."""

    @abstractmethod
    def attention(self, block: Any) -> Any:
        """The attention of a block; its input is what queries, keys and values are made of.

        Raises:
            InputError: the block has none that queries, keys and values could be read from.
        """

    @abstractmethod
    def mlp(self, block: Any) -> Any:
        """The MLP of a block.

        Raises:
            InputError: the block has not one standard MLP, the hidden units of which are neurons.
        """

    @abstractmethod
    def second_linear(self, block: Any) -> Any:
        """The MLP's second linear layer, whose input the neurons are."""

    @abstractmethod
    def hidden(self, block: Any) -> nn.Module:
        """The module whose output [B, N, D] is the input of `second_linear`."""

    @abstractmethod
    def heads(self, block: Any, tokens: Tensor) -> Heads:
        """Queries, keys and values by head, normed as the softmax is given them.

        Positions that attention itself adds (RoPE) are not in them: see `rotated`.

        Args:
            block: the block.
            tokens: input of its attention, [B, N, C].

        Returns:
            [B, heads, N, head_dim] each.
        """

    def rotated(self, vit: Any, block: int, tokens: Tensor, grid: Grid) -> Tensor:
        """Turn queries or keys by their positions; without RoPE they are what they were.

        Args:
            vit: the model.
            block: 0-based.
            tokens: queries or keys of `heads`, [B, heads, N, head_dim].
            grid: of the patches among the tokens.
        """
        del vit, block, grid
        return tokens

    @abstractmethod
    def check_constants(self, block: Any) -> None:
        """Check that the attention of a block can have constant keys and values.

        Raises:
            InputError: it cannot.
        """

    @abstractmethod
    def scale(self, block: Any) -> float:
        """Factor on the product of a query and a key."""


_FAMILIES: list[Family] = []


def register_family(family: type[Family]) -> type[Family]:
    """Make the models of a family known to `family_of`."""
    _FAMILIES.append(family())
    return family


def is_vit(model: Any) -> bool:
    """Whether `model` is a ViT of a family that is known."""
    return any(family.owns(model) for family in _FAMILIES)


def family_of(vit: Any) -> Family:
    """Return the family of a model.

    Raises:
        InputError: it is of none.
    """
    for family in _FAMILIES:
        if family.owns(vit):
            return family
    known = " or ".join(f"a {family.name}" for family in _FAMILIES)
    examples = "; ".join(f"{family.name}: {family.examples}" for family in _FAMILIES)
    raise InputError(f"expected {known}, got {type(vit).__name__} ({examples})")


@contextmanager
def naming_block(block: int) -> Iterator[None]:
    """Let an InputError, which says what a block is, say which block."""
    try:
        yield
    except InputError as error:
        raise InputError(f"block {block} is {error}") from error
