"""`ZeroShotClassifier`: the embedding of an image compared with the vectors of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModel
from mmseg.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from ttr_backbones.backbones.preprocessor import build_preprocessor
from ttr_backbones.classification.classifier import best_classes
from ttr_backbones.classification.finite import check_finite_images
from ttr_backbones.errors import InputError
from ttr_backbones.text_vectors import TextVectors
from ttr_backbones.text_vectors.in_space import backbone_in_space, vectors_of
from ttr_backbones.vits.image_patches import image_patches, patches_in_boxes, patches_receive


@MODELS.register_module()
class ZeroShotClassifier(BaseModel):
    """Classifies an image by the similarity of its embedding to the vectors of the classes.

    There is nothing to train, and its state dict is empty with a frozen backbone. A class with
    several names has the score of the best of them. In a backbone whose repair has
    `positions="per_image"` the register neurons move onto the patches of each image's
    `text_boxes`.

    Args:
        backbone: config of a `TimmViT`; its projection, or its classifier, is made too.
        text: file of `ttrb text`, see `vectors_of`, or `TextVectors`.
        logit_scale: factor on the cosines; None is 100, as OpenAI's CLIP ends its training with.
            Rows of a classifier, which give scores of their own, take none.
        data_preprocessor: by default mmengine's `ImgDataPreprocessor` with the backbone's mean and
            std, for BGR images.
        init_cfg: as for mmengine's `BaseModel`.

    Raises:
        MissingFileError: no such file of vectors.
        InputError: vectors of another model, or a scale for rows of a classifier.
    """

    queries: Tensor
    bias: Tensor | None
    class_of_query: Tensor

    def __init__(
        self,
        backbone: Mapping[str, Any],
        text: TextVectors | str | Path,
        logit_scale: float | None = None,
        data_preprocessor: Mapping[str, Any] | None = None,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        # First, because making the backbone may take minutes.
        vectors = vectors_of(text, backbone)
        vit = backbone_in_space(backbone, vectors)
        super().__init__(build_preprocessor(vit, data_preprocessor), init_cfg)
        self.backbone = vit
        self.is_text = vectors.is_text
        if not self.is_text and logit_scale not in (None, 1):
            raise InputError(
                f"logit_scale={logit_scale} is for cosines, and rows of a classifier give scores "
                "of their own: leave it out"
            )
        default = 100.0 if self.is_text else 1.0
        self.logit_scale = default if logit_scale is None else float(logit_scale)
        self.class_names = tuple(names[0] for names in vectors.classes)
        self.all_names = vectors.classes
        self.register_buffer("queries", vectors.vectors, persistent=False)
        self.register_buffer("bias", vectors.bias, persistent=False)
        self.register_buffer("class_of_query", vectors.class_of_query, persistent=False)

    def forward(
        self, inputs: Tensor, data_samples: Sequence[Any] | None = None, mode: str = "tensor"
    ) -> Any:
        """Classify images.

        Args:
            inputs: normalised images [B, 3, H, W].
            data_samples: one `ClassSample` per image; not for "tensor" without patches to name.
            mode: "predict" or "tensor".

        Returns:
            The samples, each with `pred_classes`, the numbers of the best classes, best first, and
            `pred_scores`, their probabilities; or scores [B, K].

        Raises:
            InputError: another mode, no samples, or scores that are NaN or infinite.
        """
        if mode not in ("predict", "tensor") or (mode == "predict" and data_samples is None):
            raise InputError(
                f"ZeroShotClassifier has mode='predict' with samples, and 'tensor', got {mode!r}: "
                "there is nothing to train. Use `ttrb test CONFIG`, without a checkpoint"
            )
        scores = self.scores(inputs, data_samples)
        if mode == "tensor":
            return scores
        samples = list(data_samples or ())
        check_finite_images(scores, samples, "scores")
        for sample, found in zip(samples, best_classes(scores), strict=True):
            sample.set_data(found)
        return samples

    @torch.no_grad()
    def scores(self, inputs: Tensor, data_samples: Sequence[Any] | None = None) -> Tensor:
        """Images [B, 3, H, W] -> scores of the classes [B, K], before any softmax."""
        embeddings = self._embeddings(inputs, data_samples).float()
        if self.is_text:
            embeddings = F.normalize(embeddings, dim=1)
        found = self.logit_scale * F.linear(embeddings, self.queries, self.bias)
        scores = found.new_full((len(found), len(self.class_names)), -torch.inf)
        return scores.scatter_reduce(1, self.class_of_query.expand_as(found), found, "amax")

    def _embeddings(self, inputs: Tensor, data_samples: Sequence[Any] | None) -> Tensor:
        if image_patches(self.backbone.vit) is None:
            return self._pooled(inputs)
        if data_samples is None or any("text_boxes" not in sample for sample in data_samples):
            raise InputError(
                "the repair has positions='per_image', and images come without `text_boxes`: give "
                "a data set that has them (typographic_rta100 with boxes=FILE), or another repair"
            )
        boxes = [sample.text_boxes for sample in data_samples]
        size = (inputs.shape[2], inputs.shape[3])
        mask = patches_in_boxes(boxes, size, self.backbone.patch_size)
        with patches_receive(self.backbone.vit, mask):
            return self._pooled(inputs)

    def _pooled(self, inputs: Tensor) -> Tensor:
        pooled = self.backbone.features(inputs).pooled
        assert pooled is not None, "as vectors were found to fit its embeddings"
        return pooled
