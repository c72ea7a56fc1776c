"""Files as the authors wrote them, against what transformers and the model itself compute."""

from __future__ import annotations

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from transformers import Dinov2Config, Dinov2Model

from ttr_backbones.errors import InputError
from ttr_backbones.repairs import apply_repair, load_repair, remove_repair
from ttr_backbones.vits.dense_last_block import set_last_block
from ttr_backbones.vits.learned_registers import add_learned_registers


@pytest.fixture
def images():
    return torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(2))


def timm_vit(**options):
    kwargs = {"img_size": 56, "patch_size": 14, "embed_dim": 32, "depth": 3, "num_heads": 2}
    return VisionTransformer(**kwargs, num_classes=0, dynamic_img_size=True, **options).eval()


@pytest.fixture
def dinov2():
    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=56,
        patch_size=14,
        attn_implementation="eager",
    )
    model = Dinov2Model(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model, torch.randn(1, 16, 32) / 32**0.5


def released_dinov2(model, registers):
    """Every tensor twice, as in the authors' checkpoint, by the names of transformers 4.37."""
    state = {"registers": registers}
    for name, tensor in model.state_dict().items():
        for new, old in (
            ("attention.q_proj", "attention.attention.query"),
            ("attention.k_proj", "attention.attention.key"),
            ("attention.v_proj", "attention.attention.value"),
            ("attention.o_proj", "attention.output.dense"),
        ):
            name = name.replace(new, old)
        state[f"model.{name}"] = tensor
        state[name.replace("embeddings.", "embed.", 1)] = tensor
    return state


@torch.no_grad()
def test_dinov2__equals_transformers_with_16_more_tokens(dinov2, images, tmp_path):
    model, registers = dinov2
    torch.save(released_dinov2(model, registers), tmp_path / "weights_30.pth")
    embedded = model.embeddings(images)
    tokens = torch.cat([registers.expand(2, -1, -1), embedded], dim=1)
    encoded = model.encoder(tokens)
    expected = model.layernorm(getattr(encoded, "last_hidden_state", encoded))[:, 16:]
    vit = timm_vit(init_values=1.0)
    state = {name: tensor.clone() for name, tensor in vit.state_dict().items()}
    apply_repair(vit, load_repair(tmp_path / "weights_30.pth"))
    torch.testing.assert_close(vit.forward_features(images), expected, rtol=1e-4, atol=1e-4)
    remove_repair(vit)
    assert all(torch.equal(state[name], tensor) for name, tensor in vit.state_dict().items())


@torch.no_grad()
def test_dinov2__the_trained_part_alone_and_only_what_differs_is_replaced(dinov2, images, tmp_path):
    model, registers = dinov2
    whole = released_dinov2(model, registers)
    torch.save(whole, tmp_path / "whole.pth")
    vit = timm_vit(init_values=1.0)
    full = load_repair(tmp_path / "whole.pth")
    vit.load_state_dict({k: v for k, v in full.tensors.items() if k != "registers"})
    apply_repair(vit, full)
    assert not any("replaced_" in name for name, _ in vit.named_buffers())
    unchanged = vit.forward_features(images)
    remove_repair(vit)
    parts = ("registers", "model.embeddings.position_embeddings", "model.encoder.layer.2.")
    trainable = {k: v + 0.1 for k, v in whole.items() if k.startswith(parts)}
    torch.save(
        {"trainable_state_dict": trainable, "optimizer_state_dict": {}}, tmp_path / "part.pth"
    )
    apply_repair(vit, load_repair(tmp_path / "part.pth"))
    assert not torch.equal(vit.forward_features(images), unchanged)
    names = {
        n.removesuffix(".replaced_weight") for n, _ in vit.named_buffers() if "replaced_w" in n
    }
    assert names == {
        f"blocks.2.{part}"
        for part in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    }


@torch.no_grad()
@pytest.mark.parametrize("prefix", ["vit.", "original_image_encoder."])
def test_clip__old_and_new_names(images, tmp_path, prefix):
    torch.manual_seed(1)
    source = timm_vit(pre_norm=True)
    for parameter in source.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    registers = torch.randn(16, 32)
    theirs = {"register_tokens": registers, f"{prefix}proj": torch.randn(32, 8)}
    for name, tensor in source.state_dict().items():
        for ours, openai in (
            ("patch_embed.proj.", "conv1."),
            ("norm_pre.", "ln_pre."),
            ("norm1.", "ln_1."),
            ("norm2.", "ln_2."),
            ("attn.qkv.", "attn.in_proj_"),
            ("attn.proj.", "attn.out_proj."),
            ("mlp.fc1.", "mlp.c_fc."),
            ("mlp.fc2.", "mlp.c_proj."),
            ("blocks.", "transformer.resblocks."),
        ):
            name = name.replace(ours, openai)
        name = "ln_post." + name.removeprefix("norm.") if name.startswith("norm.") else name
        name = {"cls_token": "class_embedding", "pos_embed": "positional_embedding"}.get(name, name)
        squeezed = name == "class_embedding" or (name.startswith("pos") and prefix == "vit.")
        theirs[prefix + name] = tensor.squeeze() if squeezed else tensor
    torch.save(theirs, tmp_path / "clip.pth")
    vit = timm_vit(pre_norm=True)
    apply_repair(vit, load_repair(tmp_path / "clip.pth"))
    add_learned_registers(source, registers)
    set_last_block(source, "value")
    assert torch.equal(vit.forward_features(images), source.forward_features(images))


def test_other_files_and_other_grids_are_explained(dinov2, tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="is no file of PH-Reg: expected `registers` beside"):
        load_repair(tmp_path / "other.pth")
    odd = {**released_dinov2(*dinov2), "model.head.weight": torch.zeros(1)}
    torch.save(odd, tmp_path / "odd.pth")
    with pytest.raises(InputError, match=r"model\.head\.weight is no tensor of transformers"):
        load_repair(tmp_path / "odd.pth")
    torch.save(released_dinov2(*dinov2), tmp_path / "fine.pth")
    vit = timm_vit(init_values=1.0)
    vit.pos_embed = torch.nn.Parameter(torch.zeros(1, 5, 32))
    with pytest.raises(InputError, match=r"pos_embed are .*made with another model_kwargs"):
        apply_repair(vit, load_repair(tmp_path / "fine.pth"))
