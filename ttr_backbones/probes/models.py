"""`ProbeSegmentor` and its kin: many heads, one pass of the backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from torch import Tensor

from ttr_backbones.backbones.token_features import TokensOfTap, token_features
from ttr_backbones.classification.classifier import ImageClassifier, best_classes
from ttr_backbones.errors import InputError
from ttr_backbones.segmentors import FlipDepthEstimator
from ttr_backbones.vits.taps import Tap

FIELD = "probes"
_NEEDLESS = "seg_logits"  # metrics take the prediction; the logits of all heads fill gigabytes


class _ManyHeads:
    """Mixed into a segmentor whose decode head is `ProbeHeads`."""

    backbone: Any
    decode_head: Any
    train_cfg: Any
    test_cfg: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.decode_head.connect(self.backbone)
        self._windows: list[dict[Tap, Tensor]] = []
        self._head, self._window = 0, 0

    def extract_feat(self, inputs: Tensor) -> dict[Tap, Tensor]:
        """Images [B, 3, H, W] -> the maps that the heads take."""
        maps: dict[Tap, Tensor] = self.backbone.tapped(inputs, self.decode_head.taps)
        return maps

    def loss(self, inputs: Tensor, data_samples: Sequence[Any]) -> dict[str, Tensor]:
        """Images and samples -> losses, see `ProbeHeads.loss`."""
        losses: dict[str, Tensor] = self.decode_head.loss(
            self.extract_feat(inputs), data_samples, self.train_cfg
        )
        return losses

    def predict(self, inputs: Tensor, data_samples: Any = None) -> list[Any]:
        """Predict with every head.

        Returns:
            The samples as the first head fills them, each with `probes`: the samples as all heads
            fill them, in the order of the heads, without logits.
        """
        if data_samples is None:
            raise InputError(f"{type(self).__name__} predicts on samples with their metainfo only")
        self._windows = []
        of_heads = []
        try:
            for index in range(len(self.decode_head.heads)):
                self._head, self._window = index, 0
                predicted = [sample.new() for sample in data_samples]
                predicted = super().predict(inputs, predicted)  # type: ignore[misc]
                for sample in predicted:
                    sample.pop(_NEEDLESS, None)
                of_heads.append(predicted)
        finally:
            self._windows = []
        for sample, *probes in zip(of_heads[0], *of_heads, strict=True):
            sample.set_data({FIELD: [probe.to_dict() for probe in probes]})
        return of_heads[0]

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict[str, Any]]) -> Tensor:
        """Decode with the head whose turn it is.

        Each head goes over the same windows in the same order, so the maps that the first one had
        made serve all of them.
        """
        if self._window == len(self._windows):
            self._windows.append(self.extract_feat(inputs))
        maps = self._windows[self._window]
        self._window += 1
        prediction: Tensor = self.decode_head.predict(
            self._head, maps, batch_img_metas, self.test_cfg
        )
        return prediction


@MODELS.register_module()
class ProbeSegmentor(_ManyHeads, EncoderDecoder):
    """mmseg's EncoderDecoder with `ProbeHeads` on a frozen `TimmViT`."""


@MODELS.register_module()
class ProbeDepthEstimator(_ManyHeads, FlipDepthEstimator):
    """`FlipDepthEstimator` with `ProbeHeads` on a frozen `TimmViT`."""


@MODELS.register_module()
class ProbeClassifier(ImageClassifier):
    """`ImageClassifier` with `ProbeHeads` on a frozen `TimmViT`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.decode_head.connect(self.backbone)

    def tokens_by_tap(self, inputs: Tensor) -> dict[Tap, TokensOfTap]:
        """Images [B, 3, H, W] -> all tokens that some head takes, [B, C] each."""
        names = dict.fromkeys(name for head in self.decode_head.heads for name in head.tokens)
        return token_features(self.backbone, inputs, self.decode_head.taps, list(names))

    def forward(
        self, inputs: Tensor, data_samples: Sequence[Any] | None = None, mode: str = "tensor"
    ) -> Any:
        """Train or ask every head, see `ImageClassifier.forward`.

        With "predict" each sample has `probes`: what every head says of it, in their order.
        """
        if mode not in ("loss", "predict") or data_samples is None:
            raise InputError(f"{type(self).__name__} trains and predicts on samples, got {mode!r}")
        tokens = self.tokens_by_tap(inputs)
        if mode == "loss":
            return self.decode_head.loss(tokens, data_samples, self.train_cfg)
        answers = [
            best_classes(self.decode_head.predict(index, tokens, [], self.test_cfg))
            for index in range(len(self.decode_head.heads))
        ]
        for sample, *of_heads in zip(data_samples, *answers, strict=True):
            known = sample.to_dict()
            sample.set_data({FIELD: [{**known, **of_head} for of_head in of_heads]})
        return list(data_samples)
