"""`TextTower`: sentences to vectors, with one interface for all libraries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError


@dataclass(frozen=True, eq=False)
class TextTower:
    """A text tower with its projection and its tokenizer.

    Args:
        module: the tower, in eval mode.
        tokenize: sentences and the number of tokens N -> ids [B, N]; longer ones are cut there.
        context_length: N that the tower takes.
        embed: the tower's ids [B, N] -> embeddings [B, C], of no particular length.
        source: where the weights are from, for messages.
    """

    module: nn.Module
    tokenize: Callable[[Sequence[str], int], Tensor]
    context_length: int
    embed: Callable[[Tensor], Tensor]
    source: str

    def ids(self, sentences: Sequence[str]) -> Tensor:
        """Tokenize.

        Raises:
            InputError: a sentence is longer than the tower takes.
        """
        ids = self.tokenize(sentences, self.context_length)
        # With one more place a sentence that was cut reads on where its end was put.
        longer = self.tokenize(sentences, self.context_length + 1)[:, : self.context_length]
        cut = (ids != longer).any(dim=1).nonzero().flatten().tolist()
        if cut:
            raise InputError(
                f"{sentences[cut[0]]!r} has more than the {self.context_length} tokens that "
                f"{self.source} takes: give a shorter name"
            )
        return ids

    @torch.inference_mode()
    def __call__(self, sentences: Sequence[str]) -> Tensor:
        """Embeddings [B, C] of unit length of B sentences, float32 on the CPU."""
        device = next(self.module.parameters()).device
        embeddings = self.embed(self.ids(sentences).to(device)).float()
        return nn.functional.normalize(embeddings, dim=-1).cpu().clone()
