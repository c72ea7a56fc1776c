"""`TimmViT`: any ViT of timm or transformers as an mmseg backbone, with or without registers."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from mmengine.logging import print_log
from mmseg.registry import MODELS
from torch import Tensor, nn

from ttr_backbones.backbones.input_range import check_input_once
from ttr_backbones.backbones.padding import Pad, crop_map, margins, pad_image
from ttr_backbones.backbones.precision import Precision, autocast, settle_precision
from ttr_backbones.backbones.repair_options import add_repair, refuse_registers, resolve_repair
from ttr_backbones.backbones.unsaved_frozen_vit import UnsavedFrozenVit
from ttr_backbones.backbones.vit_options import authors_pos_embed, check_options, require
from ttr_backbones.errors import InputError
from ttr_backbones.vits.create import create_vit
from ttr_backbones.vits.family import Family, family_of
from ttr_backbones.vits.image_transform import inner_grid
from ttr_backbones.vits.pos_embed import PosEmbed, PositionTables
from ttr_backbones.vits.taps import (
    Facet,
    Features,
    Tap,
    block_indices,
    tapped_features,
    tapped_maps,
)

ClsToken = Literal["drop", "concat"]


@MODELS.register_module()
class TimmViT(UnsavedFrozenVit):
    """A timm Vision Transformer that gives maps [B, C, h, w] of its patch tokens.

    Args:
        model: tagged timm name, `hf-hub:owner/name`, `local-dir:path`, or for a model of
            transformers `hf:owner/name` or `hf:path`.
        pretrained: load the weights that the tag names from the hub.
        checkpoint: load a local file instead: timm, DINOv2, OpenAI CLIP, open_clip, safetensors.
        checkpoint_prefix: which backbone of a file with several ("teacher.backbone").
        model_kwargs: more arguments of `timm.create_model`.
        repair: None, or what `repair_options` takes: dict(type="test_time", neurons="auto", ...),
            dict(type="bias", artifact="auto"), or another of `repairs.REPAIRS`.
        out_indices: blocks whose output is returned, in this order; negative ones count back.
        final_norm: apply the model's final LayerNorm to every returned block output.
        cls_token: "concat" appends the CLS token of the same block to every patch (2C channels).
        facet: "token", or the block's query, key or value: the output of the qkv layer, before the
            softmax, heads side by side; the final norm and the CLS token do not apply to it.
        pos_embed: resample the position embedding as "dinov2" (its models without registers), as
            "timm" or as "transformers" does; by default the way the model's authors do it.
        pad: where zeros go if the input is no multiple of the patch: "center" (DINOv2) or "corner";
            None makes such an input an error.
        crop: resample the map of a padded input onto the image's own window. Off in the published
            protocols, which stretch the padded map over the image.
        frozen: no gradient, always in eval mode, in no checkpoint, and changed by none.
        precision: "fp32"; "bf16": autocast inside the backbone, frozen weights stored in bfloat16
            from the first pass on, maps given in float32 all the same; "auto": a frozen backbone
            on a GPU that has bfloat16 uses it, elsewhere nothing is changed.
        compiled: compile the blocks at the first pass (`torch.compile`).
        registers: the former name of `repair`; an error says what to write.

    Raises:
        InputError: see `create_vit` and `repair_options`; an option that does not exist
            or that this model cannot have.
    """

    def __init__(
        self,
        model: str,
        pretrained: bool = False,
        checkpoint: str | Path | None = None,
        checkpoint_prefix: str | None = None,
        model_kwargs: Mapping[str, Any] | None = None,
        repair: Mapping[str, Any] | None = None,
        out_indices: Sequence[int] = (-1,),
        final_norm: bool = True,
        cls_token: ClsToken = "drop",
        facet: Facet = "token",
        pos_embed: PosEmbed | None = None,
        pad: Pad | None = "center",
        crop: bool = False,
        frozen: bool = True,
        precision: Precision = "auto",
        compiled: bool = False,
        registers: None = None,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        if init_cfg is not None:
            raise InputError(
                f"init_cfg={dict(init_cfg)}: TimmViT keeps the weights it is made with. Give a "
                "weight file as checkpoint=FILE"
            )
        super().__init__()
        require("cls_token", cls_token, get_args(ClsToken))
        require("facet", facet, get_args(Facet))
        require("pos_embed", pos_embed, (None, *get_args(PosEmbed)))
        require("pad", pad, (None, *get_args(Pad)))
        require("precision", precision, get_args(Precision))
        # First, because the weights may be gigabytes to fetch and the list may not exist.
        refuse_registers(registers)
        choice = resolve_repair(model, repair, frozen=frozen)
        self.vit = create_vit(
            model,
            pretrained=pretrained,
            checkpoint=checkpoint,
            checkpoint_prefix=checkpoint_prefix,
            model_kwargs=model_kwargs,
        )
        if frozen and not pretrained and checkpoint is None:
            print_log(
                f"{model} is frozen with random weights, as neither pretrained=True nor "
                "checkpoint=FILE is given: its features mean nothing",
                logger="current",
                level=logging.WARNING,
            )
        self.out_indices = block_indices(out_indices, len(self.family.blocks(self.vit)))
        self.final_norm, self.cls_token, self.facet = final_norm, cls_token, facet
        self.pad, self.crop, self.frozen = pad, crop, frozen
        self.precision, self.compiled = precision, compiled
        self.patch_size: tuple[int, int] = self.family.facts(self.vit).patch_size
        self.pos_embed = pos_embed or authors_pos_embed(self.vit, model, checkpoint)
        self._tables = PositionTables(self.pos_embed)
        check_options(self, model)
        if choice is not None:
            add_repair(self.vit, choice)
        if frozen:
            self.vit.requires_grad_(requires_grad=False)

    @property
    def family(self) -> Family:
        """What knows the inside of the ViT."""
        return family_of(self.vit)

    @property
    def channels(self) -> int:
        """Channels C of every returned map."""
        if self.facet != "token":
            widths = self.family.qkv_widths(self.family.blocks(self.vit)[self.out_indices[0]])
            return widths[("query", "key", "value").index(self.facet)]
        width = self.family.facts(self.vit).channels
        return 2 * width if self.cls_token == "concat" else width

    @property
    def mean(self) -> list[float]:
        """Mean of the training images per RGB channel, on the scale 0..255."""
        return [255 * value for value in self.family.facts(self.vit).mean]

    @property
    def std(self) -> list[float]:
        """Standard deviation of the training images per RGB channel, on the scale 0..255."""
        return [255 * value for value in self.family.facts(self.vit).std]

    def init_weights(self) -> None:
        """Keep the weights: mmengine's Runner would have timm's ViT draw new random ones."""

    def train(self, mode: bool = True) -> TimmViT:
        """Switch the mode; a frozen ViT stays in eval mode (no dropout, no drop path)."""
        super().train(mode)
        if self.frozen:
            self.vit.eval()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images [B, 3, H, W] -> one map [B, C, h, w] per entry of `out_indices`."""
        taps = self._taps()
        maps = self.tapped(x, taps)
        return tuple(maps[tap] for tap in taps)

    def features(self, x: Tensor) -> Features:
        """Take the maps of `forward` and what the model says of the whole image from one pass.

        All blocks run.

        Args:
            x: images [B, 3, H, W]; what they are padded with counts as part of the image.

        Raises:
            InputError: no images, or a size that cannot be padded.
        """
        return self._computed(x, self._taps(), tapped_features)

    def _taps(self) -> list[Tap]:
        norm = self.final_norm and self.facet == "token"
        return [Tap(index, self.facet, norm) for index in self.out_indices]

    def facets(
        self, x: Tensor, blocks: Sequence[int], facets: Sequence[Facet]
    ) -> dict[tuple[int, Facet], Tensor]:
        """Take maps of several facets of several blocks from one pass.

        Args:
            x: images [B, 3, H, W].
            blocks: block indices; negative ones count back.
            facets: what to take of each of them.

        Returns:
            {(block counted from 0, facet): map [B, C, h, w]}.

        Raises:
            InputError: no such block or facet.
        """
        for facet in facets:
            require("facet", facet, get_args(Facet))
        taps = [
            Tap(block, facet, self.final_norm and facet == "token")
            for block in self.block_indices(blocks)
            for facet in facets
        ]
        return {
            (tap.block, tap.facet): feature_map for tap, feature_map in self.tapped(x, taps).items()
        }

    def block_indices(self, blocks: Sequence[int], name: str = "blocks") -> tuple[int, ...]:
        """Count blocks from 0.

        Args:
            blocks: indices; negative ones count back.
            name: how to name them in a message.

        Raises:
            InputError: no list, or no such block.
        """
        return block_indices(blocks, len(self.family.blocks(self.vit)), name)

    def tapped(self, x: Tensor, taps: Sequence[Tap]) -> dict[Tap, Tensor]:
        """Take any maps from one pass; blocks behind the last one needed do not run.

        Args:
            x: images [B, 3, H, W].
            taps: what to take.

        Returns:
            {tap: map [B, C, h, w]}, float32 whatever the precision.

        Raises:
            InputError: no images, or a size that cannot be padded.
        """
        wanted = list(dict.fromkeys(taps))
        return dict(zip(wanted, self._computed(x, wanted, tapped_maps).maps, strict=True))

    def _computed(self, x: Tensor, taps: Sequence[Tap], function: Callable[..., Any]) -> Features:
        if x.ndim != 4:
            raise InputError(f"TimmViT expected images [B, 3, H, W], got {tuple(x.shape)}")
        check_input_once(self, x)
        around = margins((x.shape[2], x.shape[3]), self.patch_size, self.pad)
        bf16 = settle_precision(self, x.device)
        # Whoever looks inside, with hooks, sees an eager pass.
        run = _compiled(function) if self.compiled and not has_hooks(self) else function
        # Inference mode keeps no books for autograd at all, but no compiler follows it.
        inference = self.frozen and not torch.compiler.is_compiling()
        # Made before: to a compiler tensors of inference mode are another kind.
        images = pad_image(x, around)
        grid = (images.shape[2] // self.patch_size[0], images.shape[3] // self.patch_size[1])
        positions = self._tables(self.vit, inner_grid(self.vit, grid))
        with self._without_gradient(inference), autocast(self.precision, x.device, bf16=bf16):
            found = run(self.vit, images, positions, taps, with_cls=self.cls_token == "concat")
            maps, *of_image = found if isinstance(found, Features) else (found, None, None)
            if self.crop:
                maps = [crop_map(tensor, around, self.patch_size) for tensor in maps]
            if bf16:
                maps = [tensor.float() for tensor in maps]
                of_image = [None if tensor is None else tensor.float() for tensor in of_image]
        if inference:  # what leaves must be ordinary tensors: a head's gradient needs them
            maps = [_ordinary(tensor) for tensor in maps]
            of_image = [None if tensor is None else tensor.clone() for tensor in of_image]
        return Features(tuple(maps), *of_image)

    def _without_gradient(self, inference: bool) -> contextlib.AbstractContextManager[Any]:
        if inference:
            return torch.inference_mode()
        return torch.no_grad() if self.frozen else contextlib.nullcontext()


def has_hooks(module: nn.Module) -> bool:
    """Whether hooks look at what `module` does on the way: then it has to do it, eagerly."""
    hooks = ("_forward_hooks", "_forward_pre_hooks")
    return any(getattr(part, name) for part in module.modules() for name in hooks)


def _ordinary(tensor: Tensor) -> Tensor:
    """[B, C, h, w] -> the same in memory of its own, channels last also where B is 1."""
    return (
        tensor.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format).permute(0, 3, 1, 2)
    )


@functools.cache
def _compiled(function: Callable[..., Any]) -> Any:
    """One function for all backbones: the compiler keeps them apart by the module it is given."""
    return torch.compile(function)
