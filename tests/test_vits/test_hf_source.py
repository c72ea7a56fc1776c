"""`hf:NAME`: a checkpoint of transformers as the source of a ViT."""

import copy
import json
import sys
from functools import partial

import pytest
import torch
from hf_options import BASE, MLP, RATIO
from safetensors.torch import load_file, save_file
from timm.models.eva import Eva

from ttr_backbones.backbones import TimmViT, create_vit
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.registers import RegisterNeurons, add_test_time_registers, find_register_neurons
from ttr_backbones.vits.attention import cls_attention
from ttr_backbones.vits.constant_tokens import check_attention
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.neurons import model_name
from ttr_backbones.vits.reader import Site, reading

transformers = pytest.importorskip("transformers")

PREPROCESSING = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "do_resize": True}


def saved(folder, model, preprocessing=PREPROCESSING):
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    model.eval().save_pretrained(folder)
    if preprocessing is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return f"hf:{folder}", model


@pytest.fixture(scope="module")
def dinov3(tmp_path_factory):
    config = transformers.DINOv3ViTConfig(
        **BASE, **MLP, num_register_tokens=2, layerscale_value=1.0
    )
    size = {"size": {"height": 48, "width": 32}}
    folder = tmp_path_factory.mktemp("dinov3")
    return saved(folder, transformers.DINOv3ViTModel(config), PREPROCESSING | size)


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory):
    config = transformers.Dinov2WithRegistersConfig(**BASE, **RATIO, num_register_tokens=2)
    cropped = {"do_center_crop": True, "crop_size": {"height": 24, "width": 24}}
    folder, model = tmp_path_factory.mktemp("dinov2"), transformers.Dinov2WithRegistersModel(config)
    return saved(folder, model, PREPROCESSING | cropped)


@pytest.fixture
def wide():
    return torch.randn(2, 3, 24, 40, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("kind", "size"), [("dinov3", (48, 32)), ("dinov2", (24, 24))])
@torch.no_grad()
def test_backbone__gives_the_models_patches_with_and_without_a_register(request, wide, kind, size):
    name, model = request.getfixturevalue(kind)
    model = copy.deepcopy(model)
    repair = {"type": "test_time", "neurons": {1: [3]}}
    for options in ({}, {"repair": repair}):
        backbone = TimmViT(model=name, pretrained=True, out_indices=(0, -1), **options)
        if options:
            add_test_time_registers(model, {1: [3]})
        output = model(wide, output_hidden_states=True)
        first = model(wide).last_hidden_state  # a pass that records nothing
        features = backbone.features(wide)
        patches = output.last_hidden_state[:, 3:].transpose(1, 2).unflatten(2, (3, 5))
        torch.testing.assert_close(features.maps[1], patches, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(features.cls, output.last_hidden_state[:, 0])
        torch.testing.assert_close(features.pooled, output.pooler_output)
        torch.testing.assert_close(first, output.last_hidden_state)
        raw = family_of(model).final_norm(model, output.hidden_states[1])[:, 3:]
        torch.testing.assert_close(
            features.maps[0], raw.transpose(1, 2).unflatten(2, (3, 5)), rtol=1e-5, atol=1e-5
        )
    facts = family_of(backbone.vit).facts(backbone.vit)
    assert backbone.patch_size == (8, 8)
    assert facts.image_size == size
    assert (facts.mean, facts.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert backbone.pos_embed == ("transformers" if kind == "dinov3" else "timm")
    assert model_name(backbone.vit) == name
    with pytest.raises(InputError, match=r"block 0 .* whose attention takes no constant keys"):
        check_attention(create_vit(name))


@pytest.mark.parametrize("kind", ["dinov3", "dinov2"])
@torch.no_grad()
def test_facets_and_attention__are_those_of_the_model(request, wide, kind):
    name, model = request.getfixturevalue(kind)
    backbone = TimmViT(model=name, pretrained=True)
    ends = {
        "query": (".q_proj", ".query"),
        "key": (".k_proj", ".key"),
        "value": (".v_proj", ".value"),
    }
    seen, handles = {}, []
    for facet, end in ends.items():
        linear = [m for n, m in model.named_modules() if n.endswith(end)][2]
        handles.append(
            linear.register_forward_hook(lambda _, __, out, at=facet: seen.update({at: out}))
        )
    model.set_attn_implementation("eager")
    output = model(wide, output_attentions=True)
    model.set_attn_implementation("sdpa")
    for handle in handles:
        handle.remove()
    for facet, found in backbone.facets(wide, [2], list(ends)).items():
        expected = seen[facet[1]][:, 3:].transpose(1, 2).unflatten(2, (3, 5))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    read, sites = {}, [Site(None), Site(2, "attention"), Site(2, "mlp"), Site(2, "hidden"), Site(2)]
    with reading(model, {site: lambda x, at=site: read.update({at: x}) for site in sites}):
        model(wide)
    assert [read[site].shape[1:] for site in sites] == [
        (3, 5, 16),
        (18, 16),
        (18, 16),
        (18, 24 if kind == "dinov3" else 32),
        (18, 16),
    ]
    weights = cls_attention(model, 2, read[Site(2, "attention")], (3, 5))
    torch.testing.assert_close(weights, output.attentions[2][:, :, 0, 3:], rtol=1e-5, atol=1e-6)


def test_misfits_are_errors__where_transformers_warns(tmp_path):
    name, _ = saved(tmp_path, transformers.ViTModel(transformers.ViTConfig(**BASE, **MLP)), None)
    create_vit(name, pretrained=True)
    file = tmp_path / "model.safetensors"
    whole = load_file(file)
    bias = next(key for key in whole if key.endswith(("0.output.dense.bias", "0.mlp.fc2.bias")))
    pooler = next(key for key in whole if key.endswith("pooler.dense.bias"))
    changes = {
        r"missing \(1\): .*0\..*bias": {bias: None},
        r"missing \(1\): pooler.dense.bias": {pooler: None},
        r"not part of the tower \(1\): surplus": {"surplus": torch.zeros(3)},
        r"other shape \(1\): .*0\..*bias": {bias: torch.zeros(15)},
        "values that are inf or NaN in 1 of": {bias: torch.full((16,), torch.inf)},
    }
    for message, change in changes.items():
        state = {key: value for key, value in (whole | change).items() if value is not None}
        save_file(state, file, metadata={"format": "pt"})
        with pytest.raises(InputError, match=message):
            create_vit(name, pretrained=True)
    file.rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(MissingFileError, match=r"no model.safetensors in .* but pytorch_model.bin"):
        create_vit(name, pretrained=True)
    with pytest.raises(MissingFileError, match=r"hf:/no/folder: no such folder"):
        create_vit("hf:/no/folder")
    with pytest.raises(InputError, match="is made by its own"):
        create_vit(name, model_kwargs={"depth": 3})
    config = json.loads((tmp_path / "config.json").read_text())
    strange = config | {"model_type": "mine", "auto_map": {"AutoModel": "mine.Mine"}}
    (tmp_path / "config.json").write_text(json.dumps(strange))
    with pytest.raises(InputError, match="unknown model_type 'mine'"):
        create_vit(name)


@torch.no_grad()
def test_a_classifier_or_a_text_model_in_the_file_is_left_aside(tmp_path, caplog):
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2} | MLP
    text |= {"vocab_size": 99, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    vision = BASE | MLP
    clip = transformers.CLIPConfig(vision_config=vision, text_config=text, projection_dim=8)
    siglip = transformers.SiglipConfig(vision_config=vision, text_config=text)
    vit = transformers.ViTConfig(**BASE, **MLP)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for cls, config in (
        ("CLIPModel", clip),
        ("SiglipModel", siglip),
        ("ViTForImageClassification", vit),
    ):
        name, model = saved(tmp_path / cls, getattr(transformers, cls)(config), None)
        tower = create_vit(name, pretrained=True)
        family = family_of(tower)
        final = family.final_tokens(tower, images)
        torch.testing.assert_close(final, family.final_tokens(model, images))
        if cls != "ViTForImageClassification":
            pooled = family.pool(model, final)
            torch.testing.assert_close(family.pool(tower, final), pooled)
            assert pooled.shape == (2, 8 if cls == "CLIPModel" else 16)
    assert "has no pooler: the image's embedding is its CLS token" in caplog.text
    assert (
        "has no preprocessor_config.json: images are taken as mean (0.5, 0.5, 0.5)" in caplog.text
    )


def test_without_transformers_the_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"need transformers: pip install 'ttr_backbones\[hf\]'"):
        create_vit(f"hf:{tmp_path}")


def load_from_timm(model, plain):
    """Copy the weights of a timm ViT into a Dinov2Model or DINOv3ViTModel of either release."""
    renamed = {
        "cls_token": ("embeddings.cls_token",),
        "reg_token": ("embeddings.register_tokens",),
        "pos_embed": ("embeddings.position_embeddings",),
        "patch_embed.proj": ("patch_embeddings.projection", "embeddings.patch_embeddings"),
        "norm": ("layernorm", "norm"),
        "norm1": ("norm1",),
        "norm2": ("norm2",),
        "attn.q": ("q_proj", "query"),
        "attn.k": ("k_proj", "key"),
        "attn.v": ("v_proj", "value"),
        "attn.proj": ("o_proj", "attention.output.dense"),
        "ls1.gamma": ("layer_scale1.lambda1",),
        "ls2.gamma": ("layer_scale2.lambda1",),
        "gamma_1": ("layer_scale1.lambda1",),
        "gamma_2": ("layer_scale2.lambda1",),
        "mlp.fc1": ("mlp.fc1", "mlp.up_proj"),
        "mlp.fc2": ("mlp.fc2", "mlp.down_proj"),
    }
    parts = {}
    for key, value in plain.state_dict().items():
        if ".attn.qkv." in key:
            for name, part in zip("qkv", value.chunk(3), strict=True):
                parts[key.replace("qkv", name)] = part
        else:
            parts[key] = value
    names = dict(model.named_parameters())
    filled = set()
    for key, value in parts.items():
        if key.startswith("head.") or key.endswith("rope.periods"):
            continue
        block, rest = ("", key) if not key.startswith("blocks.") else key.split(".", 2)[1:]
        kind = "" if rest in renamed else f".{rest.rpartition('.')[2]}"
        ends = [f"{end}{kind}" for end in renamed[rest.removesuffix(kind)]]
        found = [
            name
            for name in names
            if any(f".{name}".endswith(f".{end}") for end in ends)
            and (f"layer.{block}." in name if block else "layer." not in name)
        ]
        assert len(found) == 1, (key, found)
        names[found[0]].data.copy_(value)
        filled.add(found[0])
    assert [name for name in names if name not in filled] == ["embeddings.mask_token"]


@torch.no_grad()
def test_search__ranks_as_in_timm_with_the_same_weights(make_vit):
    """Neuron lists carry over: the order of the units is the same."""
    plain = make_vit(embed_dim=16, depth=3, img_size=32, patch_size=8, mlp_ratio=2)
    config = transformers.Dinov2Config(**BASE, **RATIO, layer_norm_eps=1e-6)
    model = transformers.Dinov2Model(config).eval()
    load_from_timm(model, plain)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    rankings = [find_register_neurons(vit, images, threshold=0.5) for vit in (plain, model)]
    assert rankings[0].layers == rankings[1].layers
    neurons = RegisterNeurons("", rankings[0].layers)
    add_test_time_registers(plain, neurons, num=2)
    add_test_time_registers(model, neurons, num=2)
    torch.testing.assert_close(
        model(images).last_hidden_state, plain.forward_features(images), rtol=1e-5, atol=1e-5
    )


@torch.no_grad()
def test_dinov3__is_in_timm_what_it_is_here(tmp_path):
    torch.manual_seed(0)
    plain = Eva(
        img_size=32,
        patch_size=8,
        embed_dim=16,
        depth=3,
        num_heads=2,
        mlp_ratio=1.5,
        num_classes=0,
        num_reg_tokens=2,
        init_values=1.0,
        global_pool="token",
        use_abs_pos_emb=False,
        use_rot_pos_emb=True,
        rope_type="dinov3",
        rope_temperature=100.0,
        rope_rotate_half=True,
        qkv_bias=False,
        dynamic_img_size=True,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-5),
    ).eval()
    for parameter in plain.parameters():
        parameter += 0.1 * torch.randn(parameter.shape)
    config = transformers.DINOv3ViTConfig(
        **BASE,
        **MLP,
        num_register_tokens=2,
        layerscale_value=1.0,
        query_bias=False,
        value_bias=False,
    )
    model = transformers.DINOv3ViTModel(config).eval()
    load_from_timm(model, plain)
    layers = {0: [3, 5], 2: [1]}
    add_test_time_registers(plain, layers)
    add_test_time_registers(model, layers)
    for size in ((32, 32), (24, 48)):
        images = torch.randn(2, 3, *size)
        torch.testing.assert_close(
            model(images).last_hidden_state, plain.forward_features(images), rtol=1e-5, atol=1e-5
        )
