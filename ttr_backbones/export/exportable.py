"""From MODEL or CONFIG to what is to be exported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import ImgDataPreprocessor
from mmengine.structures import BaseDataElement
from torch import Tensor

from ttr_backbones.app.backbone import make_backbone
from ttr_backbones.app.model_or_config import is_model_name, read_named_config
from ttr_backbones.backbones import TimmViT
from ttr_backbones.classification import ImageClassifier
from ttr_backbones.errors import InputError
from ttr_backbones.export.image_input import ImageInput
from ttr_backbones.inference.feature_images import input_side
from ttr_backbones.inference.model import build_model, classes_and_palette, test_dataset
from ttr_backbones.inference.pipeline import ImagePipeline
from ttr_backbones.tasks import ExportedOutput, task_of

Outputs = dict[str, Tensor]
Run = Callable[[Tensor], Outputs]


@dataclass(frozen=True)
class Exportable:
    """What is to be exported, as it is and as it runs outside of any graph.

    Args:
        name: what the user called it.
        model: a segmentor, depth estimator or classifier, or a backbone alone.
        backbone: of the model; in float32.
        images: what happens to an image before.
        output: of a model with a head; of maps, None.
        eager: images [B, 3, H, W], RGB on the scale 0..255 -> outputs by name.
        size: (H, W) that suggests itself.
        classes: names of the classes, if there are any.
        checkpoint: file of the head, if there is one.
        besides: what `ttrb test` does around the model, which is not exported.
    """

    name: str
    model: Any
    backbone: TimmViT
    images: ImageInput
    output: ExportedOutput | None
    eager: Run
    size: tuple[int, int]
    classes: tuple[str, ...] = ()
    checkpoint: str | Path | None = None
    besides: str | None = None

    @property
    def is_dense(self) -> bool:
        """Whether the outputs are maps; a classifier of whole images has one vector per image."""
        return not isinstance(self.model, ImageClassifier)

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs."""
        num = len(self.backbone.out_indices)
        return [f"map_{i}" for i in range(num)] if self.output is None else [self.output.name]


def load_exportable(
    name: str,
    checkpoint: str | Path | None = None,
    *,
    repair: str | None = None,
    blocks: Sequence[int] | None = None,
    cfg_options: Sequence[str] | None = None,
) -> Exportable:
    """Load what is to be exported.

    Args:
        name: a timm model, of which the maps are exported, or a config or its packaged name.
        checkpoint: weights of the timm model (by default the hub's), or of the config's head.
        repair: of a timm model, see `parse_repair`; "none" by default.
        blocks: of a timm model; by default the last one.
        cfg_options: changes to the config.

    Raises:
        MissingFileError: no such config, checkpoint or list.
        InputError: see `make_backbone` and `build_model`; an option that goes with the other kind,
            or a model whose inputs or backbone cannot be exported.
    """
    if is_model_name(name):
        made = make_backbone(
            name,
            repair=repair,
            checkpoint=checkpoint,
            blocks=blocks,
            cfg_options=cfg_options,
        )
        images = ImageInput(made.mean, made.std)
        return _of_backbone(name, made.backbone, images, images, checkpoint)
    for option, value in (("--repair", repair), ("--blocks", blocks)):
        if value is not None:
            raise InputError(
                f"{option} is for a timm model, and {name} is a config: change that with "
                "--cfg-options, as in model.backbone.repair=None or "
                "model.backbone.out_indices='[8,11]'"
            )
    cfg = read_named_config(name, cfg_options)
    model: Any = build_model(cfg, checkpoint)
    backbone: Any = getattr(model, "backbone", None)
    if not isinstance(backbone, TimmViT):
        raise InputError(
            f"{name}: model.backbone is a {type(backbone).__name__}, expected type='TimmViT'"
        )
    classifies = isinstance(model, ImageClassifier)
    _check_head(name, model)
    images = ImageInput.of(model.data_preprocessor)
    prepare = _own_preparation(model.data_preprocessor)
    has_output = classifies or hasattr(model, "encode_decode")
    output = task_of(cfg).exported if has_output else None
    if output is None:
        return _of_backbone(name, backbone, images, prepare, checkpoint)
    classes: tuple[str, ...] = ()
    if output.has_classes and cfg.get("test_dataloader") is not None:
        classes, _ = classes_and_palette(test_dataset(cfg), model.decode_head.num_classes)
    if classifies:
        size = _pipeline_size(cfg)
        besides = "what its pipeline does to a photograph"
        if size is not None:
            besides = "resizing and cropping to {} x {} pixels".format(*size)
        return Exportable(
            name,
            model,
            _in_float32(backbone),
            images,
            output,
            _eager_classifier(model, output.name, prepare),
            size or (input_side(backbone.vit, None),) * 2,
            classes,
            checkpoint,
            besides,
        )
    return Exportable(
        name,
        model,
        _in_float32(backbone),
        images,
        output,
        _eager_model(model, output.name, prepare),
        _usual_size(model, backbone),
        classes,
        checkpoint,
        _besides(model),
    )


def _check_head(name: str, model: Any) -> None:
    """Raise InputError of many heads, and where images are classified without any."""
    if hasattr(getattr(model, "decode_head", None), "heads"):
        raise InputError(
            f"{name}: a {type(model).__name__} has many heads, and a file is of one: export one of "
            "them by the config and the checkpoint that stand below probes/ of its work dir"
        )
    one_size = type(model.data_preprocessor) is ImgDataPreprocessor
    if one_size and not isinstance(model, ImageClassifier):
        raise InputError(
            f"{name}: a {type(model).__name__} has no head to export. Export its backbone by the "
            "timm name"
        )


def _of_backbone(
    name: str,
    backbone: TimmViT,
    images: ImageInput,
    prepare: Callable[[Tensor], Tensor],
    checkpoint: str | Path | None,
) -> Exportable:
    @torch.no_grad()
    def eager(image: Tensor) -> Outputs:
        return {f"map_{i}": feature_map for i, feature_map in enumerate(backbone(prepare(image)))}

    side = input_side(backbone.vit, None)
    backbone = _in_float32(backbone)
    return Exportable(
        name, backbone, backbone, images, None, eager, (side, side), checkpoint=checkpoint
    )


def _in_float32(backbone: TimmViT) -> TimmViT:
    backbone.precision, backbone.compiled = "fp32", False
    return backbone


def _own_preparation(preprocessor: Any) -> Callable[[Tensor], Tensor]:
    """What the data_preprocessor itself makes of images, which it is given in BGR."""

    def prepare(image: Tensor) -> Tensor:
        data = {"inputs": list(image.flip(1)), "data_samples": [BaseDataElement() for _ in image]}
        prepared = preprocessor(data)["inputs"]
        return torch.stack(prepared) if isinstance(prepared, list) else prepared

    return prepare


def _eager_model(model: Any, output: str, prepare: Callable[[Tensor], Tensor]) -> Run:
    """The model as `ttrb test` runs it on whole images, without flips."""

    @torch.no_grad()
    def run(image: Tensor) -> Outputs:
        height, width = image.shape[2:]
        x = prepare(image)
        meta = {"img_shape": tuple(x.shape[2:]), "pad_shape": tuple(x.shape[2:])}
        return {output: model.encode_decode(x, [meta] * len(x))[:, :, :height, :width]}

    return run


def _eager_classifier(model: Any, output: str, prepare: Callable[[Tensor], Tensor]) -> Run:
    @torch.no_grad()
    def run(image: Tensor) -> Outputs:
        return {output: model(prepare(image), mode="tensor")}

    return run


def _pipeline_size(cfg: Config) -> tuple[int, int] | None:
    """(H, W) of the test's images, if it is one size for all: two photographs go through it."""
    if cfg.get("test_dataloader") is None:
        return None
    pipeline = ImagePipeline(test_dataset(cfg)["pipeline"])
    sizes = {
        tuple(pipeline(np.zeros((*sides, 3), np.uint8)).inputs.shape[1:])
        for sides in ((600, 700), (900, 610))
    }
    height, width = next(iter(sizes))
    return (height, width) if len(sizes) == 1 else None


def _usual_size(model: Any, backbone: TimmViT) -> tuple[int, int]:
    """The window of the test, or the crop of the training, or the backbone's own size."""
    window = (model.test_cfg or {}).get("crop_size") or model.data_preprocessor.size
    side = input_side(backbone.vit, None)
    height, width = window or (side, side)
    return int(height), int(width)


def _besides(model: Any) -> str | None:
    options = model.test_cfg or {}
    if options.get("mode") == "slide":
        (height, width), stride = options["crop_size"], options["stride"]
        return (
            f"windows of {height} x {width} pixels every {tuple(stride)}, averaged where they "
            "overlap"
        )
    return "the average with the mirrored image" if options.get("flip") else None
