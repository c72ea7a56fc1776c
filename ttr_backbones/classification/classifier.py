"""`ImageClassifier`: a backbone's tokens and a head that scores classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmseg.registry import MODELS
from torch import Tensor

from ttr_backbones.backbones.token_features import TokensOfTap, token_features, token_width
from ttr_backbones.classification.preprocessor import images_of_one_size
from ttr_backbones.classification.zero_shot import check_zero_shot, zero_shot_weights
from ttr_backbones.errors import InputError
from ttr_backbones.vits.taps import Tap

MOST = 5  # classes that are kept of every image, best first: what top-5 needs


@MODELS.register_module()
class ImageClassifier(BaseModel):
    """Tokens of a `TimmViT`'s blocks, and a head such as `LinearClassHead`.

    Args:
        backbone: config of a `TimmViT`; its `out_indices` and `final_norm` say what of the blocks.
        decode_head: config of the head; without `in_channels` these are the backbone's.
        zero_shot: start from text vectors, as wise-ft: dict(vectors=FILE of `ttrb text`, scale=100,
            the factor on a cosine); the head's first weights are scale x vectors, its bias 0. It
            goes with `normalize=True` and `token="pooled"`.
        data_preprocessor: by default mmengine's `ImgDataPreprocessor` with the backbone's mean and
            std, for BGR images.
        train_cfg: handed to the head.
        test_cfg: likewise.
        init_cfg: as for mmengine's `BaseModel`.
    """

    def __init__(
        self,
        backbone: Mapping[str, Any],
        decode_head: Mapping[str, Any],
        data_preprocessor: Mapping[str, Any] | None = None,
        zero_shot: Mapping[str, Any] | None = None,
        train_cfg: Any = None,
        test_cfg: Any = None,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        vit: Any = MODELS.build(backbone)
        super().__init__(images_of_one_size(vit, data_preprocessor), init_cfg)
        self.backbone = vit
        head = dict(decode_head)
        if head.get("in_channels", 0) is None:
            width = token_width(vit, head.get("token", "cls"))
            head["in_channels"] = [width] * len(vit.out_indices)
        self.decode_head: Any = MODELS.build(head)
        self.train_cfg, self.test_cfg = train_cfg, test_cfg
        repaired = backbone.get("repair") is not None
        self._first: Tensor | None = None
        if zero_shot is not None:
            self._first = zero_shot_weights(vit, **zero_shot, repaired=repaired)
            check_zero_shot(self._first, self.decode_head)

    def init_weights(self) -> None:
        """Draw the head's weights, or take those of the text vectors."""
        super().init_weights()
        if self._first is not None:
            with torch.no_grad():
                self.decode_head.linear.weight.copy_(self._first)
                self.decode_head.linear.bias.zero_()

    def extract_feat(self, inputs: Tensor) -> Sequence[TokensOfTap]:
        """Images [B, 3, H, W] -> the head's tokens of every block that the backbone gives."""
        norm = self.backbone.final_norm
        taps = [Tap(block, "token", norm) for block in self.backbone.out_indices]
        found = token_features(self.backbone, inputs, taps, self.decode_head.tokens)
        return [found[tap] for tap in taps]

    def forward(
        self, inputs: Tensor, data_samples: Sequence[Any] | None = None, mode: str = "tensor"
    ) -> Any:
        """Score images.

        Args:
            inputs: [B, 3, H, W].
            data_samples: one `ClassSample` per image; not for "tensor".
            mode: "loss", "predict" or "tensor".

        Returns:
            Losses; the samples, each with `pred_classes`, the numbers of the best classes, best
            first, and `pred_scores`, their probabilities; or scores [B, K].

        Raises:
            InputError: another mode, or no samples.
        """
        if mode == "tensor":
            return self.decode_head(self.extract_feat(inputs))
        if mode not in ("loss", "predict") or data_samples is None:
            raise InputError(
                f"ImageClassifier has mode='loss' and 'predict' with samples, and 'tensor', got "
                f"{mode!r}{' without samples' if data_samples is None else ''}"
            )
        features = self.extract_feat(inputs)
        if mode == "loss":
            return self.decode_head.loss(features, data_samples, self.train_cfg)
        scores = self.decode_head.predict(features, [s.metainfo for s in data_samples])
        for sample, found in zip(data_samples, best_classes(scores), strict=True):
            sample.set_data(found)
        return list(data_samples)


def best_classes(scores: Tensor) -> list[dict[str, Tensor]]:
    """Scores [B, K] -> `pred_classes` and `pred_scores` of each image, on the CPU."""
    probabilities = scores.float().softmax(dim=1)
    found = torch.topk(probabilities, min(MOST, scores.shape[1]), dim=1)
    return [
        {"pred_classes": classes, "pred_scores": best}
        for classes, best in zip(found.indices.cpu(), found.values.cpu(), strict=True)
    ]
