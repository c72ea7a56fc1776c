"""`LogArtifacts`: during training, how clean the features are that the head is fed."""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from numpy.typing import NDArray
from torch import Tensor

from ttr_backbones.backbones import TimmViT
from ttr_backbones.engine.unwrap import unwrapped
from ttr_backbones.errors import InputError
from ttr_backbones.registers import (
    RegisterNeurons,
    add_test_time_registers,
)
from ttr_backbones.repairs import remove_repair, repair_of
from ttr_backbones.report.block_statistics import BlockRecorder
from ttr_backbones.report.norm_picture import draw_norm_maps
from ttr_backbones.vits.class_swap import sharing_copy
from ttr_backbones.vits.neurons import model_name


@HOOKS.register_module()
class LogArtifacts(Hook):
    """Logs outlier fraction, largest patch norm and entropy of CLS attention, and one picture.

    Measured are the raw outputs of the blocks that the backbone gives to the head, in the passes
    that training and validation make anyway. The numbers go where the losses go (terminal, JSON,
    TensorBoard, W&B): `artifacts/outlier_fraction`, `artifacts/largest_norm` and
    `artifacts/attention_entropy` of a training batch, `artifacts/val_...` over a whole validation.
    The picture shows norm maps of validation images without and with the registers, once, after
    the first validation; a model without registers is shown with the list that ships for it, if
    there is one. What is trained is not changed by a bit. With several processes it looks at the
    share of the first one. In a config:

        custom_hooks += [dict(type="LogArtifacts", interval=50)]

    Args:
        interval: measure every so many training iterations; None measures in validation only.
        threshold: norm above which a patch is an outlier; by default that of the model's
            register-neuron list, of the list that ships for the model, or else mean + 3 std of
            each image.
        num_images: images in the picture; 0 draws none.

    Raises:
        InputError: an option out of range, or a model whose backbone is no `TimmViT` with tokens.
    """

    def __init__(
        self, interval: int | None = None, threshold: float | None = None, num_images: int = 4
    ) -> None:
        if interval is not None and interval < 1:
            raise InputError(f"LogArtifacts: interval={interval}, expected None or above 0")
        if threshold is not None and not 0 < threshold < math.inf:
            raise InputError(f"LogArtifacts: threshold={threshold}, expected None or above 0")
        if num_images < 0:
            raise InputError(f"LogArtifacts: num_images={num_images}, expected 0 or more")
        self.interval, self.threshold, self.num_images = interval, threshold, num_images
        self._shown: list[Tensor] = []
        self._recorder: BlockRecorder | None = None

    def before_run(self, runner: Any) -> None:
        """Find the backbone and the threshold."""
        self._model: Any = unwrapped(runner.model)
        self._backbone = _backbone(self._model)
        self._blocks = _fed_blocks(self._model, self._backbone)
        threshold, source = self._threshold()
        if is_main_process():
            self._recorder = BlockRecorder(self._backbone, self._blocks, threshold)
            what = "mean + 3 std of its image" if threshold is None else f"{threshold:.4g}"
            runner.logger.info(f"LogArtifacts: an outlier patch has a norm above {what} ({source})")

    def after_run(self, runner: Any) -> None:  # noqa: ARG002
        """Leave no hook behind."""
        if self._recorder is not None:
            self._recorder.stop()

    def before_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Start to measure if it is time."""
        if self._recorder and self.interval and self.every_n_train_iters(runner, self.interval):
            self._recorder.start()

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Log this batch."""
        if self._recorder and self._recorder.running:
            self._recorder.stop()
            _log(runner, "train/artifacts/", self._recorder)

    def before_val_epoch(self, runner: Any) -> None:  # noqa: ARG002
        """Start to measure."""
        if self._recorder:
            self._recorder.start()

    def after_val_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Keep the first images (of windows the first one) for the picture."""
        if self._recorder and self._recorder.first_input is not None:
            if len(self._shown) < self.num_images:
                self._shown.append(self._recorder.first_input[:1].clone())
            self._recorder.first_input = None

    def after_val_epoch(self, runner: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Log the validation; after the first one draw the picture."""
        if not (self._recorder and self._recorder.running):
            return
        self._recorder.stop()
        _log(runner, "val/artifacts/val_", self._recorder)
        if self._shown:
            runner.visualizer.add_image("artifacts", self._picture(), step=runner.iter)
            self._shown, self.num_images = [], 0

    def _threshold(self) -> tuple[float | None, str]:
        """The threshold, and where it comes from."""
        if self.threshold is not None:
            return self.threshold, "given"
        listed = getattr(self._backbone.vit, "register_neurons", None)
        for neurons, source in (
            (listed, "the model's list"),
            (self._bundled(), "the list that ships"),
        ):
            found = {} if neurons is None else neurons.provenance
            if isinstance(found.get("threshold"), int | float):
                return float(found["threshold"]), f"from {source}"
        return None, "no list tells a threshold"

    def _bundled(self) -> RegisterNeurons | None:
        try:
            return RegisterNeurons.bundled(model_name(self._backbone.vit))
        except InputError:
            return None

    @torch.no_grad()
    def _picture(self) -> NDArray[np.uint8]:
        """Norm maps of the images kept, after the last block that the head is fed with."""
        block = max(self._blocks)
        columns = {
            heading: [_norms(backbone, image, block) for image in self._shown]
            for heading, backbone in self._without_and_with().items()
        }
        return draw_norm_maps(
            [_as_shown(image, self._model) for image in self._shown],
            columns,
            label=f"L2 norm of the patches after block {block} (log scale)",
        )

    def _without_and_with(self) -> dict[str, TimmViT]:
        """Backbones by heading; copies share the weights, and training's own is not touched."""
        backbone, other = self._backbone, sharing_copy(self._backbone)
        repair = repair_of(backbone.vit)
        if repair is not None:
            remove_repair(other.vit)
            return {"without a repair": other, f"with the repair: {repair.label}": backbone}
        bundled = self._bundled()
        if bundled is None:
            return {"as it is": backbone}
        add_test_time_registers(other.vit, bundled, **bundled.recorded_options)
        return {"as it is, without registers": backbone, "with a test-time register": other}


def _backbone(model: Any) -> TimmViT:
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, TimmViT) or backbone.facet != "token":
        facet = f" with facet={backbone.facet!r}" if isinstance(backbone, TimmViT) else ""
        raise InputError(
            f"LogArtifacts measures the tokens that a TimmViT gives to a head; this model's "
            f"backbone is {type(backbone).__name__}{facet}: take the hook out of custom_hooks"
        )
    return backbone


def _fed_blocks(model: Any, backbone: TimmViT) -> list[int]:
    """Those blocks of `out_indices` that the head picks by its `in_index`; without one, all."""
    picked = getattr(getattr(model, "decode_head", None), "in_index", None)
    if picked is None:
        return list(backbone.out_indices)
    picked = [picked] if isinstance(picked, int) else picked
    return [backbone.out_indices[index] for index in picked]


def _norms(backbone: TimmViT, image: Tensor, block: int) -> Tensor:
    """Patch norms [h, w] of one image [1, 3, H, W] after a block."""
    recorder = BlockRecorder(backbone, [block], threshold=None)
    recorder.start()
    was_training = backbone.training
    try:
        backbone.eval()(image)
    finally:
        recorder.stop()
        backbone.train(was_training)
    return recorder.norms[block][0]


def _as_shown(image: Tensor, model: Any) -> NDArray[np.uint8]:
    """Normalised image [1, 3, H, W] -> RGB uint8 [H, W, 3]."""
    normalised_by = (
        model.data_preprocessor if hasattr(model.data_preprocessor, "mean") else model.backbone
    )
    mean, std = (
        torch.as_tensor(value).flatten().cpu() for value in (normalised_by.mean, normalised_by.std)
    )
    pixels = image[0].float().cpu().permute(1, 2, 0) * std + mean
    return pixels.round().clamp(0, 255).byte().numpy()


def _log(runner: Any, prefix: str, recorder: BlockRecorder) -> None:
    for name, value in recorder.results().items():
        runner.message_hub.update_scalar(f"{prefix}{name}", value)
