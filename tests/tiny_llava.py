"""A tiny LLaVA on disk: a REAL vision tower, the augreg ViT-Ti, before a small Llama.

The tower's outliers are real, and so is all that happens between them and the language model. This
is random, so that its answers mean nothing, or planted (`plant_norm_reader`): it looks where the
tower's features are largest. Writes the folder that `ttrb attribute` takes:

    python tests/tiny_llava.py vit_tiny_patch16_224.safetensors FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
from torch import nn

_WORDS = "a the photo shows is there in where what this image of and on one two no yes"
_THINGS = (
    "cat dog bear bird person horse airplane rocket bottle fruit coffee desk snow trail fish "
    "sky water tree face animal object corner left right red green blue white black"
)
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
VOCABULARY = [*SPECIAL, *_WORDS.split(), *_THINGS.split(), "USER", "ASSISTANT", ":", "?", "."]
CHAT = (
    "{% for message in messages %}{% if message['role'] == 'user' %}USER : {% else %}ASSISTANT : "
    "{% endif %}{% for part in message['content'] %}{% if part['type'] == 'image' %}<image> "
    "{% else %}{{ part['text'] }} {% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT :{% endif %}"
)
DEPTH, WIDTH = 12, 192
ORDINARY = 220.0  # L1 norm of the tower's ordinary patches after the last block but one


def tokenizer():
    """One token per word of a small vocabulary, without a file from the hub."""
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(VOCABULARY)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s+"), "removed")
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", SPECIAL.index("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<image>"],
        padding_side="left",
        model_input_names=["input_ids", "attention_mask"],
    )


def processor(size=224):
    """CLIP's image processor, as LLaVA 1.5 has it, with the mean and std of the tower."""
    from transformers import CLIPImageProcessor, LlavaProcessor

    images = CLIPImageProcessor(
        size={"shortest_edge": size},
        crop_size={"height": size, "width": size},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return LlavaProcessor(
        images,
        tokenizer(),
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT,
    )


def vision_config():
    """The ViT-Ti as transformers has it."""
    from transformers import ViTConfig

    return ViTConfig(
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=3,
        intermediate_size=768,
        layer_norm_eps=1e-6,
    )


def text_config(hidden=32, heads=2, layers=2):
    """A small Llama of the vocabulary's size."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
    )


def tower_weights(weights, names):
    """Rename timm's tensors to the `names` of a ViTModel of the installed transformers."""
    state = {}

    def put(endings, value, inside=None):
        own = [n for n in names if n not in state and (inside is None or inside(n))]
        (name,) = [n for n in own if n.endswith(tuple(endings))]
        state[name] = value

    for ours, theirs in (
        ("cls_token", "cls_token"),
        ("pos_embed", "position_embeddings"),
        ("patch_embed.proj.weight", "projection.weight"),
        ("patch_embed.proj.bias", "projection.bias"),
    ):
        put([theirs], weights[ours])
    for block in range(DEPTH):
        at = f"blocks.{block}"

        def inside(name, block=block):
            return f"layer.{block}." in name or f"layers.{block}." in name

        for kind in ("weight", "bias"):
            query, key, value = weights[f"{at}.attn.qkv.{kind}"].chunk(3)
            put([f"query.{kind}", f"q_proj.{kind}"], query, inside)
            put([f"key.{kind}", f"k_proj.{kind}"], key, inside)
            put([f"value.{kind}", f"v_proj.{kind}"], value, inside)
            out = [f"attention.output.dense.{kind}", f"o_proj.{kind}"]
            put(out, weights[f"{at}.attn.proj.{kind}"], inside)
            put([f"layernorm_before.{kind}"], weights[f"{at}.norm1.{kind}"], inside)
            put([f"layernorm_after.{kind}"], weights[f"{at}.norm2.{kind}"], inside)
            first = [f"intermediate.dense.{kind}", f"fc1.{kind}"]
            put(first, weights[f"{at}.mlp.fc1.{kind}"], inside)
            second = [f"output.dense.{kind}", f"fc2.{kind}"]
            put(second, weights[f"{at}.mlp.fc2.{kind}"], inside)
    for kind in ("weight", "bias"):
        put([f"layernorm.{kind}"], weights[f"norm.{kind}"])
    return state


def tiny_llava(weights, *, layer=-2, strategy="default", seed=0, hidden=32, heads=2):
    """LlavaForConditionalGeneration with the real tower and a random language model.

    Args:
        weights: timm's file of the ViT-Ti; None for a random tower.
        layer: `vision_feature_layer`.
        strategy: "default" drops CLS, "full" keeps it.
    """
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    config = LlavaConfig(
        vision_config=vision_config(),
        text_config=text_config(hidden, heads),
        image_token_index=SPECIAL.index("<image>"),
        image_seq_length=196,
        vision_feature_layer=layer,
        vision_feature_select_strategy=strategy,
        pad_token_id=0,
    )
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(config).eval()
    for parameter in model.model.language_model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.25)
    nn.init.normal_(model.lm_head.weight, std=0.5)
    if weights is not None:
        tower = model.model.vision_tower
        found = tower_weights(load_file(weights), list(tower.state_dict()))
        keys = tower.load_state_dict(found, strict=False)
        assert not keys.unexpected_keys
        assert all("pooler" in key for key in keys.missing_keys), keys.missing_keys
    model.generation_config.pad_token_id = 0
    model.generation_config.bos_token_id = 1
    model.generation_config.eos_token_id = 2
    return model


@torch.no_grad()
def plant_norm_reader(model, *, sharpness=3.0):
    """Have the language model look where the tower's features are largest, and say what it saw.

    Channel 0 of an image token is its feature's L1 norm, channel 1 of every token is a constant.
    Queries are the constant, keys the norm, so attention goes to the largest; the norm that is read
    makes the answer, "corner" where it is an outlier's and "object" else.

    Args:
        model: of `tiny_llava` with a hidden size of twice the tower's.
        sharpness: how much more attention a larger norm gets.
    """
    for parameter in (*model.model.language_model.parameters(), *model.lm_head.parameters()):
        if parameter.ndim > 1:
            nn.init.zeros_(parameter)
    projector, llama = model.model.multi_modal_projector, model.model.language_model
    width = projector.linear_1.in_features
    eye = torch.eye(width)
    projector.linear_1.weight.copy_(torch.cat([eye, -eye]))  # GELU of both: the absolute values
    projector.linear_1.bias.zero_()
    projector.linear_2.weight.zero_()
    projector.linear_2.weight[0] = 1 / ORDINARY
    projector.linear_2.bias.zero_()
    projector.linear_2.bias[1] = 2.0
    llama.embed_tokens.weight[:, 1] = 2.0
    words = [VOCABULARY.index("corner"), VOCABULARY.index("object")]
    llama.embed_tokens.weight[words, 3] = 1.0
    head_dim = llama.layers[0].self_attn.head_dim
    slow = head_dim // 2 - 1  # the channel that rotation turns least
    for layer in llama.layers:
        attention = layer.self_attn
        attention.q_proj.weight[slow::head_dim, 1] = sharpness
        attention.k_proj.weight[slow::head_dim, 0] = 1.0
    first = llama.layers[0].self_attn
    first.v_proj.weight[0, 0] = 1.0
    first.o_proj.weight[2, 0] = 0.05
    model.lm_head.weight[:, 1] = -1.0
    model.lm_head.weight[words[0], :4] = torch.tensor([0.0, -7.0, 20.0, 0.0])
    model.lm_head.weight[words[1], 1] = 0.0
    model.lm_head.weight[SPECIAL.index("</s>"), 3] = 100.0
    return model


def write_tiny_llava(weights, folder, *, reads_norms=True, **options):
    """Write model and processor, as `save_pretrained` does; give the folder."""
    folder = Path(folder)
    if reads_norms:
        model = plant_norm_reader(tiny_llava(weights, hidden=2 * WIDTH, **options))
    else:
        model = tiny_llava(weights, **options)
    model.save_pretrained(folder)
    processor().save_pretrained(folder)
    return folder


if __name__ == "__main__":
    source, target = sys.argv[1:]
    sys.stdout.write(f"{write_tiny_llava(source, target)}\n")
