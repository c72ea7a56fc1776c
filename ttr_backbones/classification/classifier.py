"""`ImageClassifier`: a backbone's tokens and a head that scores classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from mmseg.registry import MODELS
from torch import Tensor

from ttr_backbones.backbones.preprocessor import build_preprocessor
from ttr_backbones.backbones.published_head import with_published_head
from ttr_backbones.backbones.token_features import TokensOfTap, token_features, token_width
from ttr_backbones.classification.finite import check_finite_images
from ttr_backbones.classification.zero_shot_start import zero_shot_weights
from ttr_backbones.errors import InputError
from ttr_backbones.text_vectors import TextVectors
from ttr_backbones.text_vectors.in_space import backbone_in_space, vectors_of
from ttr_backbones.vits.taps import Tap

MOST = 5  # classes that are kept of every image, best first: what top-5 needs


@MODELS.register_module()
class ImageClassifier(BaseModel):
    """Tokens of a `TimmViT`'s blocks, and a head such as `LinearClassHead`.

    Args:
        backbone: config of a `TimmViT`; its `out_indices` and `final_norm` say what of the blocks.
            Its projection is made too where the head takes the token "pooled".
        decode_head: config of the head; without `in_channels` these are the backbone's.
        zero_shot: start from text vectors, as wise-ft: dict(vectors=FILE of `ttrb text`, see
            `vectors_of`, scale=100, the factor on a cosine); the head's first weights are scale x
            vectors, its bias 0. It goes with `normalize=True` and `token="pooled"`.
        data_preprocessor: by default mmengine's `ImgDataPreprocessor` with the backbone's mean and
            std, for BGR images.
        train_cfg: of the head.
        test_cfg: of the head.
        init_cfg: as for mmengine's `BaseModel`.

    Raises:
        MissingFileError: no such file of vectors.
        InputError: vectors of another model or for another head.
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
        head, start = dict(decode_head), dict(zero_shot or {})
        vectors = None
        if zero_shot is not None:
            option = "model.zero_shot.vectors"
            vectors = vectors_of(start.pop("vectors", ""), backbone, option=option)
        vit = _backbone(backbone, head, vectors)
        super().__init__(build_preprocessor(vit, data_preprocessor), init_cfg)
        self.backbone: Any = vit
        self.decode_head: Any = MODELS.build(_with_channels(head, vit))
        self.train_cfg, self.test_cfg = train_cfg, test_cfg
        self._first: Tensor | None = None
        if vectors is not None:
            for single in self._heads():
                self._first = zero_shot_weights(vectors, single, **start)

    def init_weights(self) -> None:
        """Draw the head's weights, or take those of the text vectors."""
        super().init_weights()
        if self._first is not None:
            for head in self._heads():
                with torch.no_grad():
                    head.linear.weight.copy_(self._first)
                    head.linear.bias.zero_()

    def _heads(self) -> list[Any]:
        """The head, or those of a `ProbeHeads`."""
        return list(getattr(self.decode_head, "heads", [self.decode_head]))

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
            InputError: another mode, no samples, or scores that are NaN or infinite.
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
        check_finite_images(scores, data_samples, "scores")
        for sample, found in zip(data_samples, best_classes(scores), strict=True):
            sample.set_data(found)
        return list(data_samples)


def _with_channels(head: Mapping[str, Any], vit: Any) -> dict[str, Any]:
    """Fill the `in_channels` that a head, or each of a `ProbeHeads`, leaves to the backbone."""
    filled = dict(head)
    if "heads" in filled:
        filled["heads"] = [_with_channels(single, vit) for single in filled["heads"]]
    elif filled.get("in_channels", 0) is None:
        width = token_width(vit, filled.get("token", "cls"))
        chosen = filled.get("in_index")
        number = 1 if isinstance(chosen, int) else len(chosen or vit.out_indices)
        filled["in_channels"] = [width] * number
    return filled


def _backbone(
    backbone: Mapping[str, Any], head: Mapping[str, Any], vectors: TextVectors | None
) -> Any:
    if vectors is not None:
        return backbone_in_space(backbone, vectors)
    pools = any(single.get("token") == "pooled" for single in head.get("heads", [head]))
    return MODELS.build(with_published_head(backbone) if pools else backbone)


def best_classes(scores: Tensor) -> list[dict[str, Tensor]]:
    """Scores [B, K] -> `pred_classes` and `pred_scores` of each image, on the CPU."""
    return best_of(scores.float().softmax(dim=1))


def best_of(shares: Tensor) -> list[dict[str, Tensor]]:
    """Probabilities, or shares of votes, [B, K] -> the same."""
    found = torch.topk(shares, min(MOST, shares.shape[1]), dim=1)
    return [
        {"pred_classes": classes, "pred_scores": best}
        for classes, best in zip(found.indices.cpu(), found.values.cpu(), strict=True)
    ]
