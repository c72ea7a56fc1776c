"""Vision towers of transformers: ViT, Dinov2, DINOv3, CLIP, SigLIP, InternVL, and what has one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

import ttr_backbones.vits.hf_parts as hf_parts
from ttr_backbones.errors import InputError
from ttr_backbones.vits.architecture_facts import ArchitectureFacts
from ttr_backbones.vits.block_parts import BlockParts
from ttr_backbones.vits.family import Family, register_family
from ttr_backbones.vits.hf_block_parts import hf_block_parts
from ttr_backbones.vits.hf_facts import facts_of
from ttr_backbones.vits.hf_registers import HFRegisterTokens
from ttr_backbones.vits.register_tokens import (
    drop_registers,
    insert_registers,
    num_test_time_registers,
    split_tokens,
)
from ttr_backbones.vits.tokens import Grid, Heads, TokenLayout, Tokens


class HFViT(Family):
    """A model of transformers with one vision tower.

    Blocks run one by one, with the tower's own modules: so what is outside of the tower (a text
    model, a decoder) is never run.
    """

    register_tokens = HFRegisterTokens

    name = "transformers model"
    examples = "ViTModel, Dinov2Model, DINOv3ViTModel, CLIPModel, SiglipVisionModel and others"

    def owns(self, vit: Any) -> bool:
        """Whether `vit` is a `PreTrainedModel`."""
        return hf_parts.is_pretrained_model(vit)

    def check(self, vit: Any) -> None:
        """Raise InputError for a model without a tower that is known."""
        hf_parts.mlp(self.blocks(vit)[0])

    def facts(self, vit: Any) -> ArchitectureFacts:
        """Read from the modules and the config; mean and std from `pretrained_cfg` if it has one.

        Without, they are those of the image processor of the model's class.
        """
        return facts_of(vit, hf_parts.tower(vit))

    def kernel(self, vit: Any) -> Tensor:
        """The weight of the convolution, [C, 3, P, P]."""
        weight: Tensor = hf_parts.convolution(hf_parts.tower(vit)).weight
        return weight

    def num_prefix(self, vit: Any) -> int:
        """CLS and trained registers."""
        return hf_parts.num_prefix(hf_parts.tower(vit))

    def layout(self, vit: Any, grid: Grid | None = None) -> TokenLayout:
        """[CLS, trained registers, test-time registers, patches]."""
        vision = hf_parts.tower(vit)
        num_cls = int(hf_parts.cls_token(vision) is not None)
        num_trained = hf_parts.num_prefix(vision) - num_cls
        return TokenLayout(num_cls, num_trained, num_test_time_registers(vit), grid)

    def patches(self, vit: Any, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] -> [B, h, w, C]."""
        embedding = hf_parts.convolution(hf_parts.tower(vit))
        return self.patch_map(embedding(images.to(embedding.weight.dtype)))

    def position_embedding(self, vit: Any) -> Tensor | None:
        """The rows of patches, and of CLS where no trained registers stand behind it."""
        vision = hf_parts.tower(vit)
        table = hf_parts.positions(vision)
        return table if table is None or not hf_parts.cls_apart(vision) else table[:, 1:]

    def embed(self, vit: Any, patches: Tensor, table: Tensor | None) -> Tensor:
        """Put the sequence together as `embeddings` does, without resampling."""
        vision = hf_parts.tower(vit)
        tokens, cls = patches.flatten(1, 2), hf_parts.cls_token(vision)
        apart, stored = hf_parts.cls_apart(vision), hf_parts.positions(vision)
        if table is not None and apart:
            tokens = tokens + table
            cls = cls if cls is None or stored is None else cls + stored[:, :1]
        prefix = [part for part in (cls, hf_parts.trained_registers(vision)) if part is not None]
        expanded = [part.to(tokens.dtype).expand(len(tokens), -1, -1) for part in prefix]
        tokens = torch.cat([*expanded, tokens], dim=1)
        if table is not None and not apart:
            tokens = tokens + table
        dropout = getattr(vision.embeddings, "dropout", None)
        tokens = tokens if dropout is None else dropout(tokens)
        return hf_parts.before_blocks(vision, insert_registers(vit, tokens))

    def rotation(self, vit: Any, grid: Grid) -> Tensor | None:
        """Cosines and sines of DINOv3's rotation, [2, h * w, head_dim]."""
        rope = self._rope(vit)
        if rope is None:
            return None
        kernel = self.kernel(vit)
        height, width = kernel.shape[2:]
        # The module asks for an image, of which it only reads size, device and type.
        image = kernel.detach().new_empty(1, 1, 1, 1)
        training, rope.training = rope.training, False  # it would draw them at random
        try:
            return torch.stack(rope(image.expand(1, 3, grid[0] * height, grid[1] * width)))
        finally:
            rope.training = training

    def position_tensors(self, vit: Any) -> list[Tensor]:
        """The position embedding, or the frequencies."""
        rope, table = self._rope(vit), self.position_embedding(vit)
        return [*([] if table is None else [table]), *([] if rope is None else [rope.inv_freq])]

    def run_block(
        self, vit: Any, block: int, tokens: Tensor, rotation: Tensor | None, **options: Any
    ) -> Tensor:
        """Run one block, with the rotation of the grid where it takes one."""
        module = self.blocks(vit)[block]
        kind: Any = type(module)
        arguments: dict[str, Any] = dict.fromkeys(hf_parts.required_arguments(kind))
        if rotation is not None:
            arguments["position_embeddings"] = rotation.to(tokens.dtype).unbind()
        output = module(tokens, **arguments, **options)
        tokens = output[0] if isinstance(output, tuple) else output
        return tokens

    def final_norm(self, vit: Any, tokens: Tensor) -> Tensor:
        """The norm behind the blocks; CLIP's, which it applies to CLS, is applied to all tokens."""
        tokens = hf_parts.final_norm(hf_parts.tower(vit))(tokens)
        return tokens

    def pool(self, vit: Any, tokens: Tensor) -> Tensor | None:
        """By the tower's head or pooler, or else CLS; through CLIP's projection if there is one."""
        vision = hf_parts.tower(vit)
        pooler = hf_parts.part(vision, "head", "pooler")
        if pooler is None and not self.layout(vit).num_cls:
            return None
        pooled: Tensor = tokens[:, 0] if pooler is None else pooler(tokens)
        projection = getattr(vit, "visual_projection", None)
        return pooled if projection is None else projection(pooled)

    def has_classifier(self, vit: Any) -> bool:
        """Whether it is a ViT or Dinov2 `ForImageClassification`, whose pooling is known here."""
        classifier = getattr(vit, "classifier", None)
        kind = type(hf_parts.tower(vit).embeddings).__name__
        known = kind.startswith(("ViT", "Dinov2"))
        return known and isinstance(classifier, nn.Linear)

    def classes(self, vit: Any, tokens: Tensor) -> Tensor:
        """The classifier on CLS, in Dinov2 on CLS and the mean of the patches."""
        cls = tokens[:, 0]
        if type(hf_parts.tower(vit).embeddings).__name__.startswith("Dinov2"):
            cls = torch.cat([cls, tokens[:, self.num_prefix(vit) :].mean(dim=1)], dim=1)
        scores: Tensor = vit.classifier(cls)
        return scores

    def final_tokens(self, vit: Any, images: Tensor) -> Tensor:
        """The tower's embeddings, blocks and final norm."""
        final, _ = self.run(vit, images, [])
        assert final is not None, "as no early stop is asked for"
        return final

    def run(
        self, vit: Any, images: Tensor, blocks: Any, **kwargs: Any
    ) -> tuple[Tensor | None, list[Tokens]]:
        """The tower's embeddings, which resample positions as it does, and its blocks."""
        if kwargs.get("attn_mask") is not None:
            raise InputError("attn_mask: models of transformers take none here: leave it out")
        vision, depth = hf_parts.tower(vit), len(self.blocks(vit))
        wanted = {index % depth for index in blocks}
        options = {"interpolate_pos_encoding": True} if hf_parts.interpolates(vision) else {}
        embedded = vision.embeddings(images.to(self.kernel(vit).dtype), **options)
        tokens = embedded[0] if isinstance(embedded, tuple) else embedded
        tokens = hf_parts.before_blocks(vision, tokens)
        grid = self.facts(vit).grid_of((images.shape[2], images.shape[3]))
        rotation, alone = self.rotation(vit, grid), bool(kwargs.get("intermediates_only"))
        last = max(wanted) if kwargs.get("stop_early") and wanted else depth - 1
        taken = []
        for index in range(last + 1):
            tokens = self.run_block(vit, index, tokens, rotation)
            if index in wanted:
                seen = self.final_norm(vit, tokens) if kwargs.get("norm") else tokens
                taken.append(split_tokens(vit, seen))
        final = None if alone else drop_registers(vit, self.final_norm(vit, tokens))
        return final, taken

    def renamed(self, vit: Any, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename nothing: `hf_source` has transformers read its own files."""
        del vit
        return dict(state)

    def blocks(self, vit: Any) -> Sequence[Any]:
        """The tower's blocks, in order."""
        blocks: Sequence[Any] = hf_parts.runner(hf_parts.tower(vit))[1]
        return blocks

    def patch_embedding(self, vit: Any) -> nn.Module:
        """The convolution, which gives [B, C, h, w]."""
        module: nn.Module = hf_parts.convolution(hf_parts.tower(vit))
        return module

    def patch_map(self, output: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, h, w, C]."""
        return output.permute(0, 2, 3, 1)

    def resampling(self, vit: Any) -> Literal["transformers"] | None:
        """Without antialias, but with it, as timm, in models of DINOv2 with registers."""
        return None if hf_parts.cls_apart(hf_parts.tower(vit)) else "transformers"

    def attention(self, block: Any) -> Any:
        """The module with the projections of queries, keys and values."""
        return hf_parts.attention(block)

    def mlp(self, block: Any) -> Any:
        """The MLP, or its first half where a block has two."""
        return hf_parts.mlp(block)

    def second_linear(self, block: Any) -> Any:
        """`fc2`, `down_proj`, `weights_out` or `output.dense`."""
        hf_parts.mlp(block)
        return hf_parts.second_linear(block)

    def head_shape(self, block: Any) -> tuple[int, int]:
        """(heads, head_dim)."""
        heads = hf_parts.num_heads(block)
        return heads, self.qkv_widths(block)[1] // heads

    def qkv_widths(self, block: Any) -> tuple[int, int, int]:
        """Channels of queries, keys and values."""
        query, key, value = hf_parts.projections(block)
        return int(query.out_features), int(key.out_features), int(value.out_features)

    def attention_input(self, block: Any, tokens: Tensor) -> Tensor:
        """The first norm of the block."""
        norm = hf_parts.part(block, "norm1", "layer_norm1", "layernorm_before")
        normed: Tensor = norm(tokens)
        return normed

    def qkv(self, block: Any, tokens: Tensor) -> Heads:
        """What the three linear layers give, [B, N, heads * head_dim] each."""
        return Heads(*(linear(tokens) for linear in hf_parts.projections(block)))

    def heads(self, block: Any, tokens: Tensor) -> Heads:
        """Queries, keys and values by head, normed over all heads where there is a norm."""
        module, found = hf_parts.attention(block), self.qkv(block, tokens)
        norms = (getattr(module, "q_norm", None), getattr(module, "k_norm", None), None)
        normed = (x if n is None else n(x) for x, n in zip(found, norms, strict=True))
        num = hf_parts.num_heads(block)
        return Heads(*(x.unflatten(2, (num, -1)).transpose(1, 2) for x in normed))

    def rotated(self, vit: Any, block: int, tokens: Tensor, grid: Grid) -> Tensor:
        """DINOv3's rotation of the patches; the prefix and the registers stay as they are."""
        del block
        rotation = self.rotation(vit, grid)
        if rotation is None:
            return tokens
        cos, sin = rotation.to(tokens.dtype)
        first = tokens.shape[2] - cos.shape[0]
        patches = tokens[:, :, first:]
        left, right = patches.chunk(2, dim=-1)
        turned = patches * cos + torch.cat([-right, left], dim=-1) * sin
        return torch.cat([tokens[:, :, :first], turned], dim=2)

    def check_constants(self, block: Any) -> None:
        """Raise InputError: constants have no place in the attention of transformers."""
        raise InputError(
            f"a {type(block).__name__} of transformers, whose attention takes no constant keys and "
            "values. Use registers as tokens instead (type='test_time', add_test_time_registers), "
            "or the same weights in timm"
        )

    def scale(self, block: Any) -> float:
        """Factor on the product of a query and a key."""
        return float(hf_parts.part(hf_parts.attention(block), "scaling", "scale"))

    def parts(self, block: Any) -> BlockParts:
        """Value, projection behind the heads, the MLP's linear layers, norms and LayerScale."""
        return hf_block_parts(block)

    def _rope(self, vit: Any) -> Any:
        return getattr(hf_parts.tower(vit), "rope_embeddings", None)


HF = register_family(HFViT())
