"""What is exported: a model that takes raw images, with nothing left to decide in Python."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from mmseg.models.decode_heads.dpt_head import FeatureFusionBlock
from mmseg.models.utils import resize
from torch import Tensor, nn
from torch.nn import functional as F

from ttr_backbones.backbones import TimmViT
from ttr_backbones.backbones.padding import Margins, crop_map, margins
from ttr_backbones.export.exportable import Exportable
from ttr_backbones.export.resampling import resampled_table, resampled_window
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.image_tokens import TokenName, tapped_tokens
from ttr_backbones.vits.image_transform import inner_grid
from ttr_backbones.vits.pos_embed import Positions, positions_of
from ttr_backbones.vits.taps import Tap, tapped_maps

Size = tuple[int, int]


class ModelGraph(nn.Module):
    """Images [B, 3, H, W], RGB on the scale 0..255 -> the outputs of a `Exportable` by name.

    Args:
        exportable: what to export; it is left as it is, and its backbone's weights are shared.
        size: (H, W) of all images; None for any.

    Raises:
        InputError: the backbone cannot pad this size, or not any size.
    """

    def __init__(self, exportable: Exportable, size: Size | None) -> None:
        super().__init__()
        self.output = None if exportable.output is None else exportable.output.name
        self.prepare = exportable.images
        if size is not None:
            size = exportable.images.padded(size)
        self.is_dense = exportable.is_dense
        names = () if self.is_dense else exportable.model.decode_head.tokens
        backbone = GraphBackbone(exportable.backbone, size, names)
        # The memo puts the new backbone where the copy would have another one of the old.
        self.model: Any = copy.deepcopy(exportable.model, {id(exportable.backbone): backbone})
        for module in self.model.modules():
            if size is None and type(module) is FeatureFusionBlock:
                module.__class__ = _AlwaysResizing
        self.eval()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Run the model."""
        x = self.prepare(image)
        if self.output is None:
            return {f"map_{index}": feature_map for index, feature_map in enumerate(self.model(x))}
        if not self.is_dense:
            return {self.output: self.model.decode_head(self.model.backbone.tokens(x))}
        shape = (x.shape[2], x.shape[3])
        out = self.model.encode_decode(x, [{"img_shape": shape, "pad_shape": shape}])
        if self.prepare.divisor != 1:
            out = out[:, :, : image.shape[2], : image.shape[3]]
        return {self.output: out}


class GraphBackbone(nn.Module):
    """`TimmViT.forward` in float32, for one size or with every decision on the size in the graph.

    Args:
        backbone: its weights are shared.
        size: (H, W) of its images, whose positions become constants; None for any.
        names: of the tokens that `tokens` gives, see `vits.image_tokens`.
    """

    table: Tensor | None
    rotation: Tensor | None

    def __init__(
        self, backbone: TimmViT, size: Size | None, names: Sequence[TokenName] = ()
    ) -> None:
        super().__init__()
        self.names, self.take = tuple(names), tapped_tokens(names)
        norm = backbone.final_norm and backbone.facet == "token"
        self.taps = [Tap(index, backbone.facet, norm) for index in backbone.out_indices]
        self.pad, self.crop = backbone.pad, backbone.crop
        self.patch_size, self.pos_embed = backbone.patch_size, backbone.pos_embed
        self.with_cls = backbone.cls_token == "concat"
        self.vit = vit = backbone.vit
        facts = family_of(vit).facts(vit)
        self.any_size, self.own_grid = size is None, facts.grid
        self.num_prefix = family_of(vit).num_prefix(vit) if facts.prefix_has_positions else 0
        grid = self.own_grid
        if size is not None:
            grid = self._grid(size, margins(size, self.patch_size, self.pad))
        for name, positions in positions_of(vit, grid, self.pos_embed)._asdict().items():
            self.register_buffer(name, None if positions is None else positions.detach().clone())

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images [B, 3, H, W] -> one map [B, C, h, w] per block taken."""
        images, positions, around = self._inputs(x)
        maps = tapped_maps(self.vit, images, positions, self.taps, with_cls=self.with_cls)
        if self.crop:
            window = resampled_window if self.any_size else crop_map
            maps = [window(feature_map, around, self.patch_size) for feature_map in maps]
        return tuple(maps)

    def tokens(self, x: Tensor) -> list[dict[str, Tensor]]:
        """Images [B, 3, H, W] -> single tokens [B, C] by name, per block taken."""
        images, positions, _ = self._inputs(x)
        found = self.take(self.vit, images, positions, self.taps, with_cls=False)
        count = len(self.names)
        return [
            {name: found[index * count + place].flatten(1) for place, name in enumerate(self.names)}
            for index in range(len(self.taps))
        ]

    def _inputs(self, x: Tensor) -> tuple[Tensor, Positions, Margins]:
        size = (x.shape[2], x.shape[3])
        around = margins(size, self.patch_size, self.pad)
        positions = Positions(self.table, self.rotation)
        if self.any_size:
            positions = self._positions(self._grid(size, around))
        return F.pad(x, around), positions, around

    def _positions(self, grid: Size) -> Positions:
        """The positions of a grid of symbolic sizes."""
        table, num = self.table, self.num_prefix
        if table is not None:
            table = resampled_table(table, num, self.own_grid, grid, self.pos_embed)
        return Positions(table, family_of(self.vit).rotation(self.vit, grid))

    def _grid(self, size: Size, around: Margins) -> Size:
        left, right, top, bottom = around
        height, width = size[0] + top + bottom, size[1] + left + right
        grid = (height // self.patch_size[0], width // self.patch_size[1])
        return inner_grid(self.vit, grid)


class _AlwaysResizing(FeatureFusionBlock):
    """Resizes to the size that is there already, which changes nothing, instead of asking."""

    def forward(self, *inputs: Tensor) -> Tensor:
        x, *others = inputs
        size = (x.shape[2], x.shape[3])
        others = [
            resize(feature_map, size, mode="bilinear", align_corners=False)
            for feature_map in others
        ]
        return super().forward(x, *others)
