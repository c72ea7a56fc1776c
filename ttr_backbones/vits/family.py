"""`Family`: what is where inside the ViTs of one implementation.

Everything that reaches inside a ViT asks the family of it, so that another implementation is one
more file with one more subclass. A family holds no state: the model is an argument of each method.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.vits.architecture_facts import ArchitectureFacts
from ttr_backbones.vits.block_parts import BlockParts, no_parts
from ttr_backbones.vits.tokens import Grid, Heads, TokenLayout, Tokens
from ttr_backbones.vits.unsupported import unsupported_reason


class Family(ABC):
    """The parts of a ViT by their role.

    Shapes: B images, N tokens, C channels, D hidden units, h x w patches. `block` is one of
    `blocks(vit)`.

    Attributes:
        name: the implementation, for messages.
        examples: models of it, for messages.
        register_tokens: mixin of a model with test-time registers, a `RegisterTokens`.
        constant_tokens: mixin of attention with constant keys and values, a `ConstantTokens`.
    """

    name: str
    examples: str
    register_tokens: type[Any]
    constant_tokens: type[Any]

    @abstractmethod
    def owns(self, vit: Any) -> bool:
        """Whether `vit` is of this family."""

    @abstractmethod
    def check(self, vit: Any) -> None:
        """Raise InputError where test-time registers have no place in the sequence of `vit`."""

    @abstractmethod
    def facts(self, vit: Any) -> ArchitectureFacts:
        """What the world around `vit` has to know of it."""

    @abstractmethod
    def kernel(self, vit: Any) -> Tensor:
        """The weight that patches are embedded with, [C, 3, P, P]."""

    @abstractmethod
    def num_prefix(self, vit: Any) -> int:
        """CLS and trained registers P: tokens before the patches in the model's output."""

    @abstractmethod
    def layout(self, vit: Any, grid: Grid | None = None) -> TokenLayout:
        """Where the tokens of a sequence inside `vit` are, for images of `grid` patches."""

    @abstractmethod
    def patches(self, vit: Any, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] -> embedded patches [B, h, w, C]."""

    @abstractmethod
    def position_embedding(self, vit: Any) -> Tensor | None:
        """The position embedding that is added to tokens, [1, (P +) h * w, C], if there is one."""

    def rotation(self, vit: Any, grid: Grid) -> Tensor | None:
        """The table by which attention turns queries and keys (RoPE); None without one."""
        del vit, grid
        return None

    def position_tensors(self, vit: Any) -> list[Tensor]:
        """What the positions of a grid are made of: where one changes, they do."""
        table = self.position_embedding(vit)
        return [] if table is None else [table]

    @abstractmethod
    def embed(self, vit: Any, patches: Tensor, table: Tensor | None) -> Tensor:
        """Put together what the first block is given.

        Args:
            vit: the model, with or without registers.
            patches: of `patches`, [B, h, w, C].
            table: the position embedding, resampled to their grid.

        Returns:
            The sequence inside the model, [B, P + R + h * w, C].
        """

    @abstractmethod
    def run_block(
        self, vit: Any, block: int, tokens: Tensor, rotation: Tensor | None, **options: Any
    ) -> Tensor:
        """Run one block.

        Args:
            vit: the model.
            block: 0-based.
            tokens: [B, P + R + h * w, C].
            rotation: of `rotation`, for the grid of the patches.
            options: of `grid_argument`.
        """

    @abstractmethod
    def final_norm(self, vit: Any, tokens: Tensor) -> Tensor:
        """Apply the norm behind the last block; nothing where there is none for tokens."""

    @abstractmethod
    def pool(self, vit: Any, tokens: Tensor) -> Tensor | None:
        """The image's embedding [B, E] by the model's own pooling, with its projection if any.

        Args:
            vit: the model.
            tokens: its output after the final norm, [B, P + N, C].

        Returns:
            None for a model that does not pool. Scores of classes are no embedding: a classifier is
            left out.
        """

    @abstractmethod
    def has_classifier(self, vit: Any) -> bool:
        """Whether the head gives scores of classes."""

    @abstractmethod
    def classes(self, vit: Any, tokens: Tensor) -> Tensor:
        """Scores of the classes [B, K] from the output tokens, [B, P + N, C]."""

    @abstractmethod
    def final_tokens(self, vit: Any, images: Tensor) -> Tensor:
        """The model's own pass: images [B, 3, H, W] -> [B, P + N, C] after the final norm."""

    @abstractmethod
    def run(
        self, vit: Any, images: Tensor, blocks: Any, **kwargs: Any
    ) -> tuple[Tensor | None, list[Tokens]]:
        """The model's own pass with the tokens after some blocks.

        Args:
            vit: the model, with or without registers.
            images: [B, 3, H, W].
            blocks: which; negative ones count back.
            kwargs: `norm`, `stop_early`, `intermediates_only`, `attn_mask` as in timm's
                `forward_intermediates`.

        Returns:
            `final_tokens`, None with `intermediates_only`; and the tokens of each block.
        """

    @abstractmethod
    def renamed(self, vit: Any, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename the tensors of a publisher's file to those of `vit`."""

    @abstractmethod
    def blocks(self, vit: Any) -> Sequence[Any]:
        """The transformer blocks, in order."""

    @abstractmethod
    def patch_embedding(self, vit: Any) -> nn.Module:
        """The module that embeds the patches of images [B, 3, H, W]."""

    def patch_map(self, output: Tensor) -> Tensor:
        """What `patch_embedding` gives, as [B, h, w, C]."""
        return output

    def resampling(self, vit: Any) -> Literal["transformers"] | None:
        """How this implementation resamples positions; None where the checkpoint decides."""
        del vit
        return None

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
    def head_shape(self, block: Any) -> tuple[int, int]:
        """(heads, head_dim) of the keys and values of a block."""

    @abstractmethod
    def qkv_widths(self, block: Any) -> tuple[int, int, int]:
        """Channels of the queries, keys and values of a block, over all heads."""

    @abstractmethod
    def attention_input(self, block: Any, tokens: Tensor) -> Tensor:
        """What a block gives its attention, of its own input [B, N, C]."""

    @abstractmethod
    def qkv(self, block: Any, tokens: Tensor) -> Heads:
        """Queries, keys and values as the linear layers give them, with their biases.

        Args:
            block: the block.
            tokens: of `attention_input`, [B, N, C].

        Returns:
            Heads side by side, [B, N, heads * head_dim] each.
        """

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
        """Turn queries or keys [B, heads, N, head_dim] of block number `block` by their positions.

        They are those of `heads`; without RoPE they stay what they were.
        """
        del vit, block, grid
        return tokens

    @abstractmethod
    def check_constants(self, block: Any) -> None:
        """Raise InputError unless attention can have constant keys and values here."""

    @abstractmethod
    def scale(self, block: Any) -> float:
        """Factor on the product of a query and a key."""

    def parts(self, block: Any) -> BlockParts:
        """Weights of a block by their role; InputError where they cannot be taken apart."""
        raise InputError(no_parts(block, "one of a timm model"))


_FAMILIES: list[Family] = []


FamilyT = TypeVar("FamilyT", bound=Family)


def register_family(family: FamilyT) -> FamilyT:
    """Make the models of a family known to `family_of`."""
    _FAMILIES.append(family)
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
    raise InputError(no_vit(type(vit).__name__))


def no_vit(kind: str) -> str:
    """Return the message for a model of a class that no family is of."""
    known = " or ".join(f"a {family.name}" for family in _FAMILIES)
    examples = "; ".join(f"{family.name}: {family.examples}" for family in _FAMILIES)
    return f"expected {known}, got {kind}{unsupported_reason(kind)} ({examples})"


@contextmanager
def naming_block(block: int) -> Iterator[None]:
    """Let an InputError, which says what a block is, say which block."""
    try:
        yield
    except InputError as error:
        raise InputError(f"block {block} is {error}") from error
