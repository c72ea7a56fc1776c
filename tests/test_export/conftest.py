"""Small models of every kind, with random weights that hide nothing."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from ttr_backbones.export import load_exportable

HEADS = {
    "linear": {"type": "LinearSegHead", "in_channels": [32], "num_classes": 7},
    "ms": {"type": "LinearSegHead", "in_channels": [32] * 2, "num_classes": 7},
    "lin1": {"type": "LinearDepthHead", "in_channels": [64], "n_bins": 32},
    "lin4": {"type": "LinearDepthHead", "in_channels": [64] * 4, "n_bins": 32},
    "dpt": {"type": "DPTDepthHead", "in_channels": [64] * 4, "channels": 16},
}


def model_config(head, preprocessor=None, test_cfg=None, **backbone):
    """A config of a ViT at 64 x 96 pixels with a head; None finds objects.

    It has as many blocks as the head needs, and at least two, which have register neurons.
    """
    depth = head in ("lin1", "lin4", "dpt")
    maps = len(HEADS[head]["in_channels"]) if head else 1
    blocks = max(maps, 2)
    model = {
        "type": "FlipDepthEstimator" if depth else "EncoderDecoder",
        "data_preprocessor": {
            "type": "SegDataPreProcessor",
            "mean": [120.0, 110.0, 100.0],
            "std": [60.0, 55.0, 50.0],
            "bgr_to_rgb": True,
            "size": (80, 64),
        }
        | (preprocessor or {}),
        "backbone": {
            "type": "TimmViT",
            "model": "vit_tiny_patch16_224",
            "model_kwargs": {
                "img_size": (64, 96),
                "depth": blocks,
                "embed_dim": 32,
                "num_heads": 2,
                "init_values": 1.0,
            },
            "repair": {"type": "test_time", "neurons": {0: [3, 70], 1: [7]}, "num": 1},
            "out_indices": tuple(range(blocks - maps, blocks)),
            "cls_token": "concat" if depth else "drop",
        }
        | backbone,
        "test_cfg": test_cfg or {"mode": "whole"},
    }
    if head is None:
        del model["test_cfg"]
        model |= {"type": "ObjectDiscoverer", "data_preprocessor": preprocessor}
    else:
        model["decode_head"] = HEADS[head]
    return model


@pytest.fixture(scope="module")
def make_exportable(tmp_path_factory):
    """Write a config and a checkpoint of a random head, and load them as the command does."""

    def make(head, preprocessor=None, **options):
        folder = tmp_path_factory.mktemp("model")
        config = folder / "config.py"
        config.write_text(
            Config({"model": model_config(head, preprocessor, **options)}).pretty_text
        )
        checkpoint = None
        if head is not None:
            checkpoint = folder / "head.pth"
            torch.save(random_head(head), checkpoint)
        torch.manual_seed(0)
        exportable = load_exportable(str(config), checkpoint)
        vit = exportable.backbone.vit
        # timm draws them so small that a misplaced row would not show.
        torch.nn.init.normal_(dict(vit.named_parameters())["pos_embed"], std=0.5)
        return exportable

    return make


def random_head(head):
    init_default_scope("mmseg")
    torch.manual_seed(1)
    model = MODELS.build(model_config(head))
    state = model.state_dict()
    for name, tensor in state.items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif "running_mean" in name or "conv_seg" in name or "conv_depth" in name:
            tensor.normal_(std=0.3)
    return state


@pytest.fixture(scope="session")
def random_images():
    """Random RGB images on the scale 0..255, [B, 3, H, W]."""

    def make(batch, height, width, seed=5):
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(0, 256, (batch, 3, height, width), generator=generator).float()

    return make
