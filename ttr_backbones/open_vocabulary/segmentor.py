"""`OpenVocabularySegmentor`: patches compared with the vectors of texts, without any training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import torch
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor
from torch.nn import functional as F

from ttr_backbones.backbones.published_head import with_published_head
from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.open_vocabulary.pamr import pamr
from ttr_backbones.open_vocabulary.scores import Decision, FullSize
from ttr_backbones.open_vocabulary.text import find_text, rows_of_classes
from ttr_backbones.open_vocabulary.windows import CutSide, Fit, cut, cut_side, lay_out
from ttr_backbones.text_vectors import TextVectors, classifier_vectors
from ttr_backbones.text_vectors.in_space import backbone_in_space
from ttr_backbones.vits.dense_last_block import change_last_block
from ttr_backbones.vits.text_space import project_patches, text_projection

_PAMR = {"steps": 10, "dilations": (8, 16)}


@MODELS.register_module()
class OpenVocabularySegmentor(BaseModel):
    """Classifies every pixel by the similarity of its patch to the vectors of the class names.

    As SCLIP, NACLIP, ClearCLIP and PH-Reg do it: cosines of patches and queries in every window,
    bilinear to the window, mean where windows overlap, bilinear to the image on disk, softmax over
    the queries, best query of a class, thresholds. There is nothing to train, and its state dict is
    empty with a frozen backbone.

    Args:
        backbone: config of a `TimmViT` with one map of the last block, `final_norm` and neither
            CLS nor a facet; its projection, or its classifier, is made too.
        text: see `find_text`, or `rows_of_classes`.
        last_block: options of `change_last_block`; None leaves the block as it is.
        crop: side of the square windows in pixels; None takes whole images.
        stride: pixels from window to window.
        fit: what becomes of windows that are no multiple of the patch, see `CutSide`.
        logit_scale: factor on the cosines before the softmax; for rows of a classifier, whose
            scores are no cosines, expected to be 1.
        prob_thd: pixels whose best probability is below become background, see `Decision`.
        area_thd: classes with at most this share of the foreground are dropped, see `Decision`.
        pamr: None, or options of `pamr`: dict(steps=10, dilations=(8, 16)).
        windows_at_once: windows that go through the backbone together.
        keep_scores: give the probabilities of all classes at full size too (`seg_logits`).
        data_preprocessor: by default `EachSizePreProcessor` with the backbone's mean and std, for
            BGR images.

    Attributes:
        class_names: first name of each class.
        all_names: all of them.

    Raises:
        MissingFileError: no such file of vectors.
        InputError: vectors of another model; options that do not exist or do not fit each other; a
            model that is no CLIP.
    """

    queries: Tensor
    bias: Tensor | None

    def __init__(
        self,
        backbone: Mapping[str, Any],
        text: TextVectors | Mapping[str, Any] | str,
        last_block: Mapping[str, Any] | None = None,
        crop: int | None = None,
        stride: int | None = None,
        fit: Fit = "stretch",
        logit_scale: float = 1.0,
        prob_thd: float = 0.0,
        area_thd: float = 0.0,
        pamr: Mapping[str, Any] | None = None,
        windows_at_once: int = 32,
        keep_scores: bool = False,
        data_preprocessor: Mapping[str, Any] | None = None,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        _check_options(crop, stride, fit, prob_thd, area_thd, windows_at_once)
        self_pamr = _pamr_options(pamr)
        rows = rows_of_classes(text)
        if rows is None:
            # First, because making the backbone may take minutes.
            vectors = find_text(text, backbone)
            vit = backbone_in_space(backbone, vectors)
        else:
            vit = MODELS.build(with_published_head(backbone))
            vectors = classifier_vectors(vit.vit, rows)
        is_text = vectors.is_text
        _require_last_tokens(vit)
        if is_text:
            text_projection(vit.vit)
        if not is_text and logit_scale != 1:
            raise InputError(
                f"logit_scale={logit_scale} is for cosines, and rows of a classifier give scores "
                "of their own: set it to 1"
            )
        if last_block is not None:
            change_last_block(vit.vit, **_known_options(last_block))
        default = {"type": "EachSizePreProcessor", "mean": vit.mean, "std": vit.std}
        super().__init__(MODELS.build(dict(data_preprocessor or default)), init_cfg)
        self.backbone: Any = vit
        self.crop, self.stride, self.fit, self.pamr = crop, stride, fit, self_pamr
        self.windows_at_once, self.keep_scores, self.is_text = windows_at_once, keep_scores, is_text
        self.class_names = tuple(names[0] for names in vectors.classes)
        self.all_names = vectors.classes
        names = [len(names) for names in vectors.classes]
        self.logit_scale = float(logit_scale)
        self.decide = Decision(names, prob_thd, area_thd)
        self.register_buffer("queries", vectors.vectors, persistent=False)
        self.register_buffer("bias", vectors.bias, persistent=False)

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.class_names)

    def forward(
        self,
        inputs: Tensor | Sequence[Tensor],
        data_samples: Sequence[SegDataSample] | None = None,
        mode: str = "predict",
    ) -> list[SegDataSample]:
        """Segment images.

        Args:
            inputs: normalised images [3, H, W], of one size or of several.
            data_samples: one per image; `ori_shape` in the metainfo is the size of the answer.
            mode: "predict".

        Returns:
            The samples (new ones if none were given), each with `pred_sem_seg`, int64 [1, H, W],
            and with `keep_scores` also `seg_logits`, probabilities [K, H, W].

        Raises:
            InputError: another mode.
        """
        if mode != "predict":
            raise InputError(
                f"OpenVocabularySegmentor has mode='predict' only, got {mode!r}: there is nothing "
                "to train. Use `ttrb test CONFIG`, without a checkpoint"
            )
        samples = list(data_samples or [SegDataSample() for _ in inputs])
        pairs = zip(samples, inputs, strict=True)
        answer_sizes = [self._answer_size(*pair) for pair in pairs]
        for of_shape in _grouped([image.shape for image in inputs]):
            images = torch.stack([inputs[index] for index in of_shape])
            laid = self._laid_scores(images)
            sizes = [answer_sizes[index] for index in of_shape]
            for places in _grouped(sizes):
                # No list as an index: it would be copied to the GPU, which waits for all before.
                same_size, its_scores = (
                    torch.stack([each[place] for place in places]) for each in (images, laid)
                )
                classes, scores = self._decided(same_size, its_scores, sizes[places[0]])
                for at, place in enumerate(places):
                    sample = samples[of_shape[place]]
                    sample.set_data({"pred_sem_seg": PixelData(data=classes[at, None])})
                    if scores is not None:
                        sample.set_data({"seg_logits": PixelData(data=scores[at])})
        return samples

    @staticmethod
    def _answer_size(sample: SegDataSample, image: Tensor) -> tuple[int, int]:
        height, width = sample.metainfo.get("ori_shape", image.shape[1:])[:2]
        return height, width

    @torch.no_grad()
    def segment(
        self, images: Tensor, size: tuple[int, int] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Segment images of one size.

        Args:
            images: normalised, [B, 3, H, W].
            size: of the answer; None is theirs.

        Returns:
            Classes [B, *size] int64, and their probabilities [B, K, *size], None unless
            `keep_scores`.
        """
        size = size or (images.shape[2], images.shape[3])
        return self._decided(images, self._laid_scores(images), size)

    @torch.no_grad()
    def _laid_scores(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] -> scores of all queries in all windows, scaled, [B, Q, h, w]."""
        height, width = self._sides(images)
        windows = cut(images, height, width)
        parts = windows.split(self.windows_at_once)
        scores = torch.cat([self._window_scores(part) for part in parts])
        return lay_out(scores, len(images), height, width) * self.logit_scale

    @torch.no_grad()
    def _decided(
        self, images: Tensor, laid: Tensor, size: tuple[int, int]
    ) -> tuple[Tensor, Tensor | None]:
        """Take scores to the size of the answer, and decide; see `segment`."""
        height, width = self._sides(images)
        full = FullSize(laid, height, width, size)
        if self.pamr is None:
            return self.decide(full, size, keep=self.keep_scores)
        colours = F.interpolate(images, size=size, mode="bilinear", align_corners=False)
        refined = pamr(colours, full(0, size[0]), **self.pamr)
        return self.decide(
            lambda first, last: refined[:, :, first:last], size, keep=self.keep_scores
        )

    def _sides(self, images: Tensor) -> tuple[CutSide, CutSide]:
        lengths, patch = images.shape[2:], self.backbone.patch_size
        height, width = (
            cut_side(length, self.crop, self.stride, patch[index], self.fit)
            for index, length in enumerate(lengths)
        )
        return height, width

    def _window_scores(self, windows: Tensor) -> Tensor:
        """Windows [n, 3, h, w] -> scores of all queries per patch, [n, Q, h', w']."""
        (maps,) = self.backbone(windows)
        patches = maps.permute(0, 2, 3, 1)
        if self.is_text:
            patches = F.normalize(project_patches(self.backbone.vit, patches), dim=-1)
        # Scaled later: all that lies between scores and softmax is linear, PAMR too.
        scores = F.linear(patches.float(), self.queries, self.bias)
        return scores.permute(0, 3, 1, 2)


def _grouped(keys: Sequence[Any]) -> list[list[int]]:
    """Return the places of equal keys, group by group."""
    groups: dict[Any, list[int]] = {}
    for place, key in enumerate(keys):
        groups.setdefault(key, []).append(place)
    return list(groups.values())


def _check_options(
    crop: int | None,
    stride: int | None,
    fit: str,
    prob_thd: float,
    area_thd: float,
    windows_at_once: int,
) -> None:
    if (crop is None) != (stride is None):
        raise InputError(f"crop={crop} and stride={stride}: expected both, or neither")
    if crop is not None and stride is not None and not 0 < stride <= crop:
        raise InputError(
            f"stride={stride}: expected 1..{crop} (the crop), or pixels would be in no window"
        )
    if fit not in get_args(Fit):
        raise InputError(unknown_name("fit", fit, get_args(Fit)))
    for name, value in (("prob_thd", prob_thd), ("area_thd", area_thd)):
        if not 0 <= value < 1:
            raise InputError(f"{name}={value}: expected 0 (off) or more, and below 1")
    if windows_at_once < 1:
        raise InputError(f"windows_at_once={windows_at_once}: expected at least 1")


def _pamr_options(options: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if options is None:
        return None
    for option in options:
        if option not in _PAMR:
            raise InputError(unknown_name("option of pamr", option, _PAMR))
    merged = {**_PAMR, **options}
    if merged["steps"] < 1 or not merged["dilations"] or min(merged["dilations"]) < 1:
        raise InputError(f"pamr={merged}: expected at least one step and one dilation above 0")
    return merged


def _known_options(options: Mapping[str, Any]) -> dict[str, Any]:
    known = ("attention", "residual", "mlp", "register_keys")
    for option in options:
        if option not in known:
            raise InputError(unknown_name("option of last_block", option, known))
    return dict(options)


def _require_last_tokens(backbone: Any) -> None:
    depth = len(backbone.family.blocks(backbone.vit))
    wrong = {
        "out_indices": (tuple(backbone.out_indices) != (depth - 1,), "(-1,)"),
        "facet": (backbone.facet != "token", "'token'"),
        "cls_token": (backbone.cls_token != "drop", "'drop'"),
        "final_norm": (not backbone.final_norm, "True"),
    }
    for option, (is_wrong, right) in wrong.items():
        if is_wrong:
            raise InputError(
                f"backbone.{option}={getattr(backbone, option)!r}: patches are compared with texts "
                f"as the model ends, which takes {option}={right}"
            )
