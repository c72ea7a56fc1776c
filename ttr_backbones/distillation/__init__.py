"""Training the student of PH-Reg with mmengine's Runner, for as long as it takes.

`fit_repair("ph_reg", ...)` is for minutes; here are checkpoints, resuming and several GPUs. In a
file FILE.py for `ttrb train FILE.py`:

    _base_ = []  # mmengine's text style, in which a config may call functions
    from ttr_backbones.distillation import ph_reg_config
    globals().update(ph_reg_config("dinov2_vitb14", images="flickr30k"))

What is trained is `ph_reg.safetensors` in the work dir, written with every checkpoint.
"""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from ttr_backbones.distillation.artifact_file import SaveArtifact
from ttr_backbones.distillation.config import ph_reg_config
from ttr_backbones.distillation.model import PhRegDistiller

__all__ = ["PhRegDistiller", "SaveArtifact", "ph_reg_config"]
