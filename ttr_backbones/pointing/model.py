"""`PointingVLM`: a vision-language model in mmengine's test loop, without any training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from mmseg.registry import MODELS
from PIL import Image
from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.registers import RegisterNeurons, add_test_time_registers
from ttr_backbones.vlm import VLM, attribute, load_vlm, pointing, spread
from ttr_backbones.vlm.measures import photograph_map
from ttr_backbones.vlm.replay import Method


@MODELS.register_module()
class PointingVLM(BaseModel):
    """Answers a question about each image, and says where the answer looks.

    Args:
        vlm: OWNER/NAME on the hub, or a folder, as `load_vlm` takes it.
        neurons: list of register neurons, a file, for a test-time register in the tower; None
            leaves the model as it is.
        method: of attribution.
        max_new_tokens: at most so many answer tokens.
        dtype: float32, bfloat16 or float16.

    Raises:
        MissingFileError: no such folder or list.
        InputError: see `load_vlm` and `add_test_time_registers`.
    """

    def __init__(
        self,
        vlm: str,
        neurons: str | None = None,
        method: Method = "attention",
        max_new_tokens: int = 8,
        dtype: str = "float32",
        data_preprocessor: Any = None,
    ) -> None:
        listed = None if neurons is None else RegisterNeurons.load(neurons)
        loaded = load_vlm(vlm, dtype=dtype)
        if listed is not None:
            add_test_time_registers(loaded.model, listed, **listed.recorded_options)
        super().__init__(data_preprocessor)
        self.vlm = loaded.model
        self.processor = loaded.processor
        self.method, self.max_new_tokens = method, max_new_tokens

    def forward(
        self,
        inputs: Sequence[Tensor],
        data_samples: Sequence[BaseDataElement] | None = None,
        mode: str = "predict",
    ) -> list[BaseDataElement]:
        """Answer.

        Args:
            inputs: photographs, uint8 [3, H, W], BGR.
            data_samples: of `PackPointing`.
            mode: "predict".

        Returns:
            The samples with `answer`; `pred_map`, the mean over the answer's tokens laid over the
            photograph, [y, x]; `on_image`, `entropy` and `largest_norm`; and where there are boxes
            `pointing`: None if the model sees nothing of them.

        Raises:
            InputError: another mode, or samples without a question.
        """
        if mode != "predict":
            raise InputError(
                f"PointingVLM has mode='predict' only, got {mode!r}: nothing is trained"
            )
        samples = list(data_samples or [])
        if len(samples) != len(inputs) or any("prompt" not in s.metainfo for s in samples):
            raise InputError(
                "PointingVLM needs a question for each image, as COCOPointing gives it. For images "
                "and a prompt of your own: `ttrb attribute`"
            )
        images = [Image.fromarray(i.permute(1, 2, 0).flip(2).cpu().numpy()) for i in inputs]
        found = attribute(
            VLM(self.vlm, self.processor),
            images,
            [sample.metainfo["prompt"] for sample in samples],
            method=self.method,
            max_new_tokens=self.max_new_tokens,
            batch_size=len(images),
        )
        for sample, image, attribution in zip(samples, images, found, strict=True):
            numbers = spread(attribution)
            facts: dict[str, Any] = {
                "answer": attribution.answer,
                "pred_map": photograph_map(attribution).mean(dim=0),
                "on_image": numbers.on_image,
                "entropy": numbers.entropy,
                "largest_norm": attribution.norms.max().item(),
            }
            if "gt_boxes" in sample:
                size = torch.tensor([*image.size, *image.size])
                facts["pointing"] = pointing(attribution, (sample.gt_boxes.cpu() / size).tolist())
            sample.set_data(facts)
        return samples
