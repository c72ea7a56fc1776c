"""Monocular depth: metres for every pixel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttr_backbones.engine.head_kinds import HeadKind
from ttr_backbones.errors import InputError
from ttr_backbones.evaluation.depth_errors import ERRORS
from ttr_backbones.evaluation.image_parts import DepthError, ImageParts
from ttr_backbones.tasks.drawing.depth import draw_depth
from ttr_backbones.tasks.metric import Metric
from ttr_backbones.tasks.prediction import Labels, Prediction, Saved
from ttr_backbones.tasks.task import ExportedOutput, Task

_LARGEST = 65535  # of a 16-bit PNG
_SCALE = 1000.0  # millimetres, as NYUv2 has them; KITTI's is 256


@dataclass(frozen=True)
class DepthMap(Prediction):
    """Monocular depth of an image.

    Args:
        depth: metres, float32 [H, W].
    """

    depth: NDArray[np.float32]

    def draw(self) -> NDArray[np.uint8]:
        """Draw the image beside its depth, with a colour bar in metres; RGB."""
        return draw_depth(self.image, self.depth, None)

    def saved(self, scale: float | None = None) -> Saved:
        """Return metres as uint16; what is not finite or not positive becomes 0, missing.

        Raises:
            InputError: the largest depth does not fit.
        """
        scale = scale or _SCALE
        depth = np.nan_to_num(self.depth, nan=0.0, posinf=0.0, neginf=0.0)
        units = np.round(depth * scale)
        if units.max() > _LARGEST:
            raise InputError(
                f"{self.path}: {depth.max():g} m do not fit into a 16-bit PNG of "
                f"{scale:g} units per metre: set --cfg-options test_evaluator.output_scale=256"
            )
        return Saved(pngs={"depth": units.clip(0).astype(np.uint16)})

    def facts(self, scale: float | None = None) -> dict[str, Any]:
        """Return the values of the files per metre."""
        return {"depth_units_per_metre": scale or _SCALE}


class Depth(Task[DepthMap]):
    """A head that is trained on the maps, scored by the mean of the images' RMSE."""

    name = "depth"
    models = ("DepthEstimator", "FlipDepthEstimator")
    evaluators = ("NYUDepthMetric",)
    metric = Metric("rmse", "RMSE", "m", "metres", higher_is_better=False, decimals=4)
    image_parts = DepthError("rmse")
    answer = "pred_depth_map"
    visualizer = "DepthVisualizer"
    probes = {"FlipDepthEstimator": "ProbeDepthEstimator"}  # noqa: RUF012 -- a ClassVar in `Task`
    head_kinds = (
        HeadKind(
            kind="linear depth",
            weight="decode_head.conv_depth.weight",
            config="a lin1 or lin4 config of depth, as lin1_nyu_dinov2",
            outputs="the file has {0} depth bins and the config {1}: set "
            "model.decode_head.n_bins={0}, if the file's bins are equally spaced.",
            four="the file is a lin.4 head over four blocks: take the _lin4_ config.",
            one="the file is a lin.1 head over one block: take the _lin1_ config.",
        ),
        HeadKind(
            kind="DPT depth",
            weight="decode_head.reassemble_blocks.readout_projects.0.0.weight",
            config="a dpt config of depth, as dpt_nyu_dinov2",
        ),
    )
    exported = ExportedOutput("depth", "float32 [B, 1, H, W]: metres")

    def image_parts_of(self, key: str) -> ImageParts | None:
        """Return how any of the nine errors is made."""
        return DepthError(key) if key in ERRORS else None

    def prediction(
        self,
        path: Path | None,
        image: NDArray[np.uint8],
        sample: Any,
        labels: Labels,  # noqa: ARG002
        *,
        logits: bool = False,  # noqa: ARG002
    ) -> DepthMap:
        """Take the metres of every pixel."""
        depth = sample.pred_depth_map.data.squeeze(0).float()
        return DepthMap(path, image, depth.cpu().numpy())
