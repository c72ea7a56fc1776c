"""`PhRegDistiller`: teacher and student of PH-Reg as a model of mmengine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.model import BaseModel
from mmseg.registry import MODELS
from torch import Tensor, nn

from ttr_backbones.backbones import TimmViT
from ttr_backbones.errors import InputError
from ttr_backbones.repairs.ph_reg import Distillation
from ttr_backbones.vits.neurons import RegisterNeurons, model_name


@MODELS.register_module()
class PhRegDistiller(BaseModel):
    """A frozen ViT, its averaged views, and the student that learns from them.

    Checkpoints hold what is trained and nothing else. Teacher and student are no modules of this
    one, so that neither its modes nor its state dict reach them; only `trained` is shared.

    Args:
        backbone: of a `TimmViT`, frozen and without a repair.
        data_preprocessor: mmengine's `ImgDataPreprocessor` with the model's mean and std.
        neurons: for `teacher="test_time"`: "auto", a JSON path, {block: [unit, ...]}.
        options: of `Distillation`.

    Raises:
        InputError: a backbone that is trained or repaired; see `Distillation`.
    """

    def __init__(
        self,
        backbone: Mapping[str, Any],
        data_preprocessor: Mapping[str, Any] | None = None,
        neurons: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor)
        if backbone.get("repair") is not None or not backbone.get("frozen", True):
            raise InputError(
                "PhRegDistiller makes its student of a backbone with frozen=True and repair=None, "
                f"got frozen={backbone.get('frozen', True)} and repair={backbone.get('repair')}: "
                "set them so in the config"
            )
        self.backbone: TimmViT = MODELS.build(dict(backbone))
        vit = self.backbone.vit
        listed = None if neurons is None else RegisterNeurons.named(neurons, model_name(vit))
        self.distillation = Distillation(vit, neurons=listed, **options)
        # A parameter's name has no dots here.
        self.trained = nn.ParameterDict(
            {
                name.replace(".", "/"): parameter
                for name, parameter in self.distillation.trained.items()
            }
        )

    def init_weights(self) -> None:
        """Keep the weights."""

    def forward(
        self, inputs: Tensor, data_samples: Any = None, mode: str = "tensor"
    ) -> dict[str, Tensor] | Tensor:
        """Compare student and teacher on normalised images [B, 3, H, W], for mmengine's loop.

        Raises:
            InputError: another mode than "loss".
        """
        del data_samples
        if mode != "loss":
            raise InputError(
                f"mode={mode!r}: PhRegDistiller is trained only. Its artifact, ph_reg.safetensors "
                "in the work dir, is the repair: repair=dict(type='ph_reg', artifact=FILE)"
            )
        loss = self.distillation.loss(inputs)
        return {"loss_cosine": loss.cosine, "loss_mse": loss.mse}

    def _apply(self, *args: Any, **kwargs: Any) -> PhRegDistiller:
        """Move teacher and student along."""
        super()._apply(*args, **kwargs)
        for vit in (self.distillation.teacher.vit, self.distillation.student):
            vit._apply(*args, **kwargs)  # noqa: SLF001 (what Module does with its children)
        return self
