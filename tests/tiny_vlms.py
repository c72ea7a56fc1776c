"""Tiny random LLaVA, LLaVA-NeXT and InternVL with their real processors, 4 x 4 patches a tile."""

from __future__ import annotations

import torch
from tiny_llava import CHAT, SPECIAL, text_config, tokenizer
from torch import nn

from ttr_backbones.vlm import VLM

TOWER = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 32,
    "patch_size": 8,
}
SQUARE = {"height": 32, "width": 32}
PINPOINTS = [[32, 64], [64, 32], [64, 64], [96, 32], [32, 96]]
IMAGE = SPECIAL.index("<image>")


def llava(layer=-2, strategy="default", tower=None, extra=1):
    """LLaVA with CLIP's tower or another, which has `extra` tokens before its patches."""
    import transformers as t

    config = t.LlavaConfig(
        vision_config=tower or t.CLIPVisionConfig(**TOWER),
        text_config=text_config(),
        image_token_index=IMAGE,
        vision_feature_layer=layer,
        vision_feature_select_strategy=strategy,
    )
    images = t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=SQUARE)
    processor = t.LlavaProcessor(
        images,
        tokenizer(),
        patch_size=8,
        vision_feature_select_strategy=strategy,
        num_additional_image_tokens=extra,
        chat_template=CHAT,
    )
    return _vlm(t.LlavaForConditionalGeneration(config), processor)


def llava_next():
    import transformers as t

    config = t.LlavaNextConfig(
        vision_config=t.CLIPVisionConfig(**TOWER),
        text_config=text_config(),
        image_token_index=IMAGE,
        image_grid_pinpoints=PINPOINTS,
    )
    images = t.LlavaNextImageProcessor(
        size={"shortest_edge": 32}, crop_size=SQUARE, image_grid_pinpoints=PINPOINTS
    )
    processor = t.LlavaNextProcessor(
        images,
        tokenizer(),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    )
    return _vlm(t.LlavaNextForConditionalGeneration(config), processor)


def internvl():
    import transformers as t

    sides = {"image_size": [32, 32], "patch_size": [8, 8]}
    config = t.InternVLConfig(
        vision_config=t.InternVLVisionConfig(**{**TOWER, **sides}, layer_scale_init_value=1.0),
        text_config=text_config(),
        image_token_id=IMAGE,
    )
    words = tokenizer()
    for name, token in (
        ("start_image_token", "<s>"),
        ("end_image_token", "</s>"),
        ("context_image_token", "<image>"),
        ("video_token", "<unk>"),
    ):
        setattr(words, name, token)
        setattr(words, f"{name}_id", words.convert_tokens_to_ids(token))
    fast = t.__version__ < "5"  # where tiles are the fast processor's alone
    kind = t.GotOcr2ImageProcessorFast if fast else t.GotOcr2ImageProcessor
    processor = t.InternVLProcessor(
        kind(size=SQUARE, max_patches=6),
        words,
        t.InternVLVideoProcessor(),
        image_seq_length=4,
        chat_template=CHAT,
    )
    return _vlm(t.InternVLForConditionalGeneration(config), processor)


KINDS = {"llava": llava, "llava_next": llava_next, "internvl": internvl}


def _vlm(model, processor):
    """Weights large enough that every token of the image changes the answer."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 or name.endswith(("class_embedding", "image_newline")):
            nn.init.normal_(parameter, std=0.2, generator=generator)
    model.generation_config.pad_token_id = 0
    model.generation_config.eos_token_id = 2
    model.generation_config.suppress_tokens = [IMAGE]  # which a trained model does not say
    return VLM(model.eval(), processor)
