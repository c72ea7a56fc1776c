"""A small random CLIP of open_clip, whose layout is OpenAI's, and what timm's half of it is."""

import open_clip
import torch

OPENAI = "vit_base_patch16_clip_quickgelu_224.openai"
LAION = "vit_base_patch16_clip_224.laion2b"
CHANNELS = 24  # of the space that images and texts share
SMALL = {"embed_dim": 64, "depth": 2, "num_heads": 1, "img_size": 32, "num_classes": CHANNELS}


def make_clip(*, quick_gelu):
    torch.manual_seed(0)
    vision = {"layers": 2, "width": 64, "patch_size": 16, "image_size": 32}
    text = {"layers": 2, "width": 64, "heads": 1}
    return open_clip.CLIP(CHANNELS, vision, text, quick_gelu=quick_gelu).eval()


def save_as_openai(model, file):
    """The state dict of OpenAI's archives: three numbers beside the tensors."""
    scalars = {"input_resolution": 32, "context_length": 77, "vocab_size": 49408}
    numbers = {key: torch.tensor(value) for key, value in scalars.items()}
    torch.save({**model.state_dict(), **numbers}, file)


def save_as_open_clip(model, file):
    """A checkpoint of open_clip's training."""
    state = {f"module.{key}": value for key, value in model.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, file)
