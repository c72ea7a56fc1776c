"""A tiny random CLIP of timm, and vectors in the space of its texts."""

import pytest
import torch
from mmengine.registry import init_default_scope

import ttr_backbones.backbones
import ttr_backbones.object_discovery  # noqa: F401 -- registers
from ttr_backbones.text_vectors import TextVectors
from ttr_backbones.vits.create import create_vit
from ttr_backbones.vits.weights_hash import weights_hash

CLIP = "vit_base_patch16_clip_quickgelu_224.openai"
TINY = {"img_size": 64, "depth": 3, "embed_dim": 32, "num_heads": 2, "num_classes": 8}
NAMES = (("sky", "wall"), ("cat",), ("dog", "puppy", "hound"))


@pytest.fixture(scope="session")
def clip_file(tmp_path_factory):
    """The weights of a tiny CLIP with its projection."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vit = create_vit(CLIP, model_kwargs=TINY)
        for name, parameter in vit.named_parameters():
            if name != "head.bias":
                torch.nn.init.normal_(parameter, std=0.3)
    path = tmp_path_factory.mktemp("clip") / "clip.pth"
    torch.save(vit.state_dict(), path)
    return path


@pytest.fixture
def backbone(clip_file):
    init_default_scope("mmseg")
    return {
        "type": "TimmViT",
        "model": CLIP,
        "checkpoint": str(clip_file),
        "model_kwargs": TINY,
        "pos_embed": "dinov2",
    }


@pytest.fixture(scope="session")
def vectors(clip_file):
    """Unit vectors of six names of three classes, of the tiny CLIP."""
    vit = create_vit(CLIP, checkpoint=clip_file, model_kwargs=TINY)
    drawn = torch.randn(6, 8, generator=torch.manual_seed(3))
    unit = torch.nn.functional.normalize(drawn, dim=1)
    return TextVectors(
        NAMES, unit, None, ("a photo of a {}.",), CLIP, weights_hash(vit, with_head=True)
    )
