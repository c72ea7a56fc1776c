"""`ObjectDiscoverer`: one box per image through mmengine's test loop, without any training."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.registry import MODEL_WRAPPERS
from mmengine.structures import BaseDataElement
from mmseg.registry import MODELS
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.object_discovery.detections import Detections
from ttr_backbones.object_discovery.methods import build_method
from ttr_backbones.object_discovery.preprocessor import by_size


@MODELS.register_module()
class ObjectDiscoverer(BaseModel):
    """A backbone's patch features, and a method that finds one object among them.

    There is nothing to train, and its state dict is empty with a frozen backbone. (For distributed
    testing without `ttrb test` set `model_wrapper_cfg = dict(type="NoModelWrapper")`.)

    Args:
        backbone: a `TimmViT` with one map, `pad` "corner" or None, and `crop` False, so that
            the box of a patch is known; usually with `facet` "key" or "value".
        method: `type` "lost" (default) or "tokencut", and its arguments.
        data_preprocessor: by default `EachSizePreProcessor` with the backbone's mean and std, for
            BGR images.

    Attributes:
        num_collapsed: images so far in which the method had nothing to choose by.

    Raises:
        InputError: unknown method or argument, or a backbone whose patches cannot be placed.
    """

    def __init__(
        self,
        backbone: Mapping[str, Any] | nn.Module,
        method: Mapping[str, Any] | None = None,
        data_preprocessor: Mapping[str, Any] | nn.Module | None = None,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        # First, because making the backbone may take minutes.
        find, remedy = build_method(method or {"type": "lost"})
        vit = _built(backbone)
        _require_placeable(vit)
        default = {"type": "EachSizePreProcessor", "mean": vit.mean, "std": vit.std}
        super().__init__(_built(data_preprocessor or default), init_cfg)
        self.backbone: Any = vit
        self.method, self.remedy = find, remedy
        self.num_collapsed = 0

    def forward(
        self,
        inputs: Tensor | Sequence[Tensor],
        data_samples: Sequence[BaseDataElement] | None = None,
        mode: str = "predict",
    ) -> list[BaseDataElement]:
        """Find one object in each image.

        Args:
            inputs: normalised images [3, H, W], of one size or of several.
            data_samples: one per image; `ori_shape` in the metainfo is its size on disk, if the
                pipeline resized it (nothing else moves the box back).
            mode: "predict".

        Returns:
            The samples (new ones if none were given), each with `pred_box`: float32 [4] as x1, y1,
            x2, y2 in pixels of the image on disk; `seed`: index in the flattened grid; `degrees`:
            the method's score of each patch, lowest at the seed, [h, w]; `patch_size`: (height,
            width) of a patch in pixels of the input; `collapsed`: True if the seed means nothing.

        Raises:
            InputError: another mode.
        """
        if mode != "predict":
            raise InputError(
                f"ObjectDiscoverer has mode='predict' only, got {mode!r}: there is nothing to "
                "train. Use `ttrb test CONFIG`, without a checkpoint"
            )
        samples = list(data_samples or [BaseDataElement() for _ in inputs])
        for indices in by_size(inputs):
            found, grid = self._find(torch.stack([inputs[index] for index in indices]))
            shape = inputs[indices[0]].shape
            of_batch = zip(
                on_disk(found.boxes, shape, [samples[index] for index in indices]),
                found.seeds.tolist(),
                found.degrees.cpu().unflatten(1, grid),
                found.collapsed.tolist(),
                strict=True,
            )
            for index, (box, seed, degrees, collapsed) in zip(indices, of_batch, strict=True):
                samples[index].set_data(
                    {
                        "pred_box": box,
                        "seed": seed,
                        "degrees": degrees,
                        "patch_size": self.backbone.patch_size,
                        "collapsed": collapsed,
                    }
                )
        self._log_collapsed(sum(sample.collapsed for sample in samples))
        return samples

    @torch.no_grad()
    def _find(self, images: Tensor) -> tuple[Detections, tuple[int, int]]:
        """Images [B, 3, H, W] of one size -> what was found, and the grid."""
        maps = self.backbone(images)[0]
        grid = (maps.shape[2], maps.shape[3])
        size = (images.shape[2], images.shape[3])
        feats = maps.flatten(2).transpose(1, 2)
        found = self.method(feats, grid=grid, patch=self.backbone.patch_size, image_size=size)
        return found, grid

    def _log_collapsed(self, num: int) -> None:
        if num and not self.num_collapsed:
            text = f"{self.remedy}. (Logged once; `collapsed` in the results marks such images.)"
            print_log(text, logger="current", level=logging.WARNING)
        self.num_collapsed += num


@MODEL_WRAPPERS.register_module()
class NoModelWrapper:
    """Leaves a model as it is where mmengine would wrap it for distributed training.

    torch's DistributedDataParallel refuses a model without anything to train.
    """

    def __new__(cls, module: nn.Module) -> nn.Module:  # type: ignore[misc]
        """Return `module`."""
        return module


def on_disk(boxes: Tensor, shape: Sequence[int], samples: Sequence[BaseDataElement]) -> Tensor:
    """Boxes [B, 4] in images of `shape` [3, H, W] -> float32 on the CPU, in pixels of `ori_shape`.

    That is the size of the image before the pipeline resized it; `shape`, if a sample has none.
    """
    height, width = shape[1:]
    originals = [sample.metainfo.get("ori_shape", (height, width))[:2] for sample in samples]
    stretch = torch.tensor([[w / width, h / height] for h, w in originals])
    return boxes.cpu() * stretch.repeat(1, 2)


def _built(module: Mapping[str, Any] | nn.Module) -> Any:
    return module if isinstance(module, nn.Module) else MODELS.build(module)


def _require_placeable(backbone: Any) -> None:
    wrong = {
        "pad": (getattr(backbone, "pad", None) not in ("corner", None), "'corner'"),
        "crop": (getattr(backbone, "crop", False), "False"),
        "out_indices": (len(getattr(backbone, "out_indices", [-1])) != 1, "one block"),
    }
    for option, (is_wrong, right) in wrong.items():
        if is_wrong:
            raise InputError(
                f"backbone.{option}={getattr(backbone, option)!r}: object discovery has to know "
                f"where each patch lies, which takes {option}={right}"
            )
