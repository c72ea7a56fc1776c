"""`FlipDepthEstimator`: depth of an image, averaged with that of its mirror image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmseg.models.segmentors import DepthEstimator
from mmseg.registry import MODELS
from torch import Tensor

from ttr_backbones.errors import InputError, unknown_name


@MODELS.register_module()
class FlipDepthEstimator(DepthEstimator):
    """mmseg's DepthEstimator on whole images; in the test also on the mirrored ones.

    The published depth numbers are of the average of both. Windows are not offered: mmseg 1.2.2
    computes its "slide" mode and returns the whole image's depth.

    Args:
        *args: as for `DepthEstimator`.
        test_cfg: `mode`, which must be "whole", and `flip`; by default both are the protocol's,
            "whole" and True.
        **kwargs: as for `DepthEstimator`.

    Raises:
        InputError: `test_cfg` asks for another mode or has an option that does not exist.
    """

    def __init__(
        self, *args: Any, test_cfg: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> None:
        options = {"mode": "whole", "flip": True, **(test_cfg or {})}
        for option in options:
            if option not in {"mode", "flip"}:
                raise InputError(unknown_name("option of test_cfg", option, ("mode", "flip")))
        if options["mode"] != "whole":
            raise InputError(
                f"test_cfg.mode={options['mode']!r}: FlipDepthEstimator takes whole images, set "
                "mode='whole'. An input whose sides are no multiples of the patch is padded by "
                "the backbone."
            )
        super().__init__(*args, test_cfg=options, **kwargs)
        self.flip = bool(options["flip"])

    def inference(self, inputs: Tensor, batch_img_metas: list[dict[str, Any]]) -> Tensor:
        """Images [B, 3, H, W] -> depth [B, 1, H, W] in metres."""
        if not self.flip:
            return self.encode_decode(inputs, batch_img_metas)
        both = torch.cat([inputs, inputs.flip(3)])
        plain, mirrored = self.encode_decode(both, [*batch_img_metas, *batch_img_metas]).chunk(2)
        return (plain + mirrored.flip(3)) / 2
