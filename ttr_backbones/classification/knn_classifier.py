"""`KnnClassifier`: the classes of the nearest training images, without any training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmseg.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from ttr_backbones.backbones.preprocessor import build_preprocessor
from ttr_backbones.backbones.published_head import with_published_head
from ttr_backbones.backbones.token_features import token_features
from ttr_backbones.classification.classifier import best_of
from ttr_backbones.classification.finite import check_finite_images
from ttr_backbones.classification.knn import AT_ONCE, nearest, votes_by_k
from ttr_backbones.errors import InputError
from ttr_backbones.vits.taps import Tap


@MODELS.register_module()
class KnnClassifier(BaseModel):
    """Normalised features of a block, compared with those of labelled images.

    There is nothing to train, and its state dict is empty with a frozen backbone. `KnnTestLoop`
    fills the bank of labelled images before a test.

    Args:
        backbone: config of a `TimmViT` that gives one block; its projection is made too for the
            token "pooled".
        k: how many neighbours vote; for each of them there is an answer, and for the first also
            the shares of the votes.
        temperature: of the softmax over the similarities.
        token: which token is the feature, see `vits.image_tokens`.
        bank_dtype: "float32", or "float16" in half the memory: 2.6 GB for ImageNet and 1,024
            channels.
        at_once: similarities that are held at the same time.
        data_preprocessor: by default mmengine's `ImgDataPreprocessor` with the backbone's mean and
            std, for BGR images.
        init_cfg: as for mmengine's `BaseModel`.

    Attributes:
        class_names: of the labelled images; () until they are given.

    Raises:
        InputError: no k above 0, another bank_dtype, or a backbone of several blocks.
    """

    def __init__(
        self,
        backbone: Mapping[str, Any],
        k: Sequence[int] = (10, 20, 100, 200),
        temperature: float = 0.07,
        token: str = "cls",
        bank_dtype: str = "float32",
        at_once: int = AT_ONCE,
        data_preprocessor: Mapping[str, Any] | None = None,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(k, int) or not k or min(k) < 1:
            raise InputError(f"k={k!r}: expected a list of numbers above 0, as (10, 20, 100, 200)")
        if bank_dtype not in ("float32", "float16"):
            raise InputError(f"bank_dtype={bank_dtype!r}: expected 'float32' or 'float16'")
        if token == "pooled":
            backbone = with_published_head(backbone)
        vit: Any = MODELS.build(backbone)
        if len(vit.out_indices) != 1:
            raise InputError(f"backbone.out_indices={vit.out_indices}: kNN takes one block")
        super().__init__(build_preprocessor(vit, data_preprocessor), init_cfg)
        self.backbone = vit
        self.k, self.temperature, self.token = tuple(k), temperature, token
        self.bank_dtype: torch.dtype = getattr(torch, bank_dtype)
        self.at_once = at_once
        self.class_names: tuple[str, ...] = ()
        self._bank: tuple[Tensor, Tensor, int] | None = None

    @torch.no_grad()
    def embed(self, inputs: Tensor) -> Tensor:
        """Images [B, 3, H, W] -> features of norm 1, float32 [B, C]."""
        tap = Tap(self.backbone.out_indices[0], "token", self.backbone.final_norm)
        names: Any = [self.token]
        feature = token_features(self.backbone, inputs, [tap], names)[tap][self.token]
        return F.normalize(feature, dim=1)

    def set_bank(
        self, features: Tensor, labels: Tensor, num_classes: int, names: Sequence[str] = ()
    ) -> None:
        """Take the labelled images.

        Args:
            features: of `embed`, [N, C].
            labels: their classes [N].
            num_classes: K.
            names: of the classes.

        Raises:
            InputError: features that are NaN or infinite.
        """
        finite = features.sum(dim=1).isfinite()  # no second array of the bank's size
        if not finite.all():
            raise InputError(
                f"{int((~finite).sum())} of {len(features)} labelled images have NaN or infinite "
                f"features, first number {int((~finite).nonzero()[0])}: expected finite ones"
            )
        self.class_names = tuple(names)
        self._bank = (features.to(self.bank_dtype), labels, num_classes)

    @property
    def has_bank(self) -> bool:
        """Whether there are labelled images."""
        return self._bank is not None

    @torch.no_grad()
    def forward(
        self, inputs: Tensor, data_samples: Sequence[Any] | None = None, mode: str = "predict"
    ) -> list[Any]:
        """Classify images.

        Args:
            inputs: [B, 3, H, W].
            data_samples: one `ClassSample` per image.
            mode: "predict".

        Returns:
            The samples, each with `pred_by_k`: {k: number of the class}, and of the first k
            `pred_classes`, the numbers of the best classes, and `pred_scores`, their shares of the
            votes.

        Raises:
            InputError: another mode, no samples, no bank, or features that are NaN or infinite.
        """
        if mode != "predict" or data_samples is None:
            raise InputError(
                f"KnnClassifier has mode='predict' with samples only, got {mode!r}: there is "
                "nothing to train. Use `ttrb test CONFIG`, without a checkpoint"
            )
        if self._bank is None:
            raise InputError(
                "KnnClassifier compares images with labelled ones and has none yet: `ttrb test`, "
                "`ttrb predict` and Inferencer read those of test_cfg.bank; in Python give them "
                "with set_bank(features, labels, num_classes)"
            )
        bank, labels, num_classes = self._bank
        features = self.embed(inputs)
        check_finite_images(features, data_samples, "features")
        similarity, indices = nearest(features, bank, max(self.k), at_once=self.at_once)
        votes = votes_by_k(similarity, labels[indices], num_classes, self.k, self.temperature)
        found = torch.stack([votes[k].argmax(dim=1) for k in self.k], dim=1).tolist()
        first = votes[self.k[0]]
        best = best_of(first / first.sum(dim=1, keepdim=True))
        for sample, classes, shares in zip(data_samples, found, best, strict=True):
            by_k = dict(zip(self.k, classes, strict=True))
            sample.set_data({"pred_by_k": by_k, **shares})
        return list(data_samples)
