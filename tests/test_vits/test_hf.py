"""Test-time registers in models of transformers, in place."""

import copy
import pickle

import pytest
import torch
from hf_options import BASE, MLP, RATIO, TOWERS, random_weights

from ttr_backbones.errors import InputError
from ttr_backbones.registers import (
    add_test_time_registers,
    has_test_time_registers,
    register_tokens,
    remove_test_time_registers,
)
from ttr_backbones.vits.class_swap import is_swapped
from ttr_backbones.vits.family import family_of

transformers = pytest.importorskip("transformers")

TEXT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 99,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
LAYERS = {0: [3, 5], 2: [1]}
ON_REQUEST = ("vit", "clip", "siglip")  # the others resample positions always
# `output_hidden_states` of transformers 4 fails in this model by itself
RECORDS = [k for k in TOWERS if k != "internvl" or transformers.__version__ >= "5"]


def make(kind):
    name, config, options, _ = TOWERS[kind]
    return random_weights(getattr(transformers, name)(getattr(transformers, config)(**options)))


@pytest.fixture(scope="module")
def towers():
    made = {kind: make(kind) for kind in TOWERS}
    return lambda kind: copy.deepcopy(made[kind])


@pytest.fixture(scope="module")
def images():
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def second_linears(model):
    ends = (".fc2", ".down_proj", ".weights_out", ".output.dense")
    return [
        module
        for name, module in model.named_modules()
        if name.endswith(ends) and ".attention." not in name and "head." not in name
    ]


def by_hand(model, prefix, images, num, **kwargs):
    """The last block's tokens by hooks: zeros behind the prefix, then the paper's Algorithm 2."""

    def insert(_, __, output):
        tokens = output[0] if isinstance(output, tuple) else output
        zeros = torch.zeros(len(tokens), num, tokens.shape[2])
        tokens = torch.cat([tokens[:, :prefix], zeros, tokens[:, prefix:]], dim=1)
        return (tokens, *output[1:]) if isinstance(output, tuple) else tokens

    def edit(units):
        def hook(_, args):
            hidden = args[0].clone()
            for image in hidden:
                for unit in units:
                    column = image[:, unit].clone()
                    image[:, unit] = 0
                    image[prefix : prefix + num, unit] = column[column.abs().argmax()]
            return (hidden,)

        return hook

    seen = []
    embeddings = next(m for n, m in model.named_modules() if n.rpartition(".")[2] == "embeddings")
    handles = [embeddings.register_forward_hook(insert)]
    linears = second_linears(model)
    handles += [
        linears[block].register_forward_pre_hook(edit(units)) for block, units in LAYERS.items()
    ]
    blocks = next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == 3)
    handles.append(
        blocks[2].register_forward_hook(
            lambda _, __, out: seen.append(out[0] if isinstance(out, tuple) else out)
        )
    )
    model(images, **kwargs)
    for handle in handles:
        handle.remove()
    tokens = seen[0]
    return torch.cat([tokens[:, :prefix], tokens[:, prefix + num :]], dim=1), tokens[
        :, prefix : prefix + num
    ]


@pytest.mark.parametrize("kind", TOWERS)
@torch.no_grad()
def test_equals_the_method_by_hand__at_two_sizes_and_off_is_bit_for_bit(towers, images, kind):
    model, prefix = towers(kind), TOWERS[kind][3]
    wide = torch.randn(2, 3, 16, 48, generator=torch.Generator().manual_seed(2))
    keys = list(model.state_dict())
    for batch, num in ((images, 2), (wide, 1)):
        kwargs = {"interpolate_pos_encoding": True} if kind in ON_REQUEST else {}
        records = {"output_hidden_states": True} if kind in RECORDS else {}
        plain = model(batch, **kwargs, **records)
        expected, registers = by_hand(model, prefix, batch, num, **kwargs)
        add_test_time_registers(model, LAYERS, num=num)
        family = family_of(model)
        output = model(batch, **kwargs, **records)
        own_loop = family.run(model, batch, [-1], intermediates_only=True)[1][0]
        torch.testing.assert_close(
            torch.cat([own_loop.prefix, own_loop.patches], dim=1), expected, rtol=1e-5, atol=1e-5
        )
        torch.testing.assert_close(own_loop.registers, registers, rtol=1e-5, atol=1e-5)
        assert not torch.allclose(output.last_hidden_state, plain.last_hidden_state, atol=1e-3)
        assert type(output) is type(plain)
        assert list(output) == list(plain)
        assert output.last_hidden_state.shape == plain.last_hidden_state.shape
        if records:
            torch.testing.assert_close(output.hidden_states[-1], expected, rtol=1e-5, atol=1e-5)
            shapes = [one.shape for one in plain.hidden_states]
            assert [one.shape for one in output.hidden_states] == shapes
        tuples = model(batch, **kwargs, **records, return_dict=False)
        assert torch.equal(tuples[0], output.last_hidden_state)
        assert list(model.state_dict()) == keys
        remove_test_time_registers(model)
        for value, again in zip(
            plain.to_tuple(), model(batch, **kwargs, **records).to_tuple(), strict=True
        ):
            for one, other in zip(
                *(v if isinstance(v, tuple) else (v,) for v in (value, again)), strict=True
            ):
                assert torch.equal(one, other)
    assert not is_swapped(model)
    assert type(model) is getattr(transformers, TOWERS[kind][0])


@pytest.mark.parametrize("kind", ["vit", "dinov3", "siglip"])
@torch.no_grad()
def test_eager_equals_sdpa_and_a_batch_its_images(towers, images, kind):
    model = add_test_time_registers(towers(kind), LAYERS)
    batch = model(images).last_hidden_state
    singles = torch.cat([model(one[None]).last_hidden_state for one in images])
    torch.testing.assert_close(batch, singles, rtol=1e-5, atol=1e-5)
    model.set_attn_implementation("eager")
    output = model(images, output_attentions=True)
    torch.testing.assert_close(output.last_hidden_state, batch, rtol=1e-5, atol=1e-5)
    inside = TOWERS[kind][3] + 1 + 16
    assert [one.shape for one in output.attentions] == [(3, 2, inside, inside)] * 3


@torch.no_grad()
def test_copies_pickles_and_saved_models(towers, images, tmp_path):
    model = add_test_time_registers(towers("dinov2"), LAYERS)
    expected = model(images).last_hidden_state
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(images).last_hidden_state, expected)
        remove_test_time_registers(other)
    model.save_pretrained(tmp_path)
    again = transformers.AutoModel.from_pretrained(tmp_path)
    assert type(again) is transformers.Dinov2Model
    assert not torch.equal(again(images).last_hidden_state, expected)
    restored = add_test_time_registers(again.eval(), LAYERS)(images)
    assert torch.equal(restored.last_hidden_state, expected)


@pytest.mark.nightly
@torch.no_grad()
def test_compiled_equals_eager(towers, images):
    model = add_test_time_registers(towers("dinov2"), LAYERS)
    compiled = torch.compile(model)
    torch.testing.assert_close(
        compiled(images).last_hidden_state, model(images).last_hidden_state, rtol=1e-4, atol=1e-5
    )


@torch.no_grad()
def test_pooling_head_of_siglip_sees_no_register(towers, images):
    model = add_test_time_registers(towers("siglip"), LAYERS)
    output = model(images)
    remove_test_time_registers(model)
    head = next(m for n, m in model.named_modules() if n.rpartition(".")[2] == "head")
    assert torch.equal(head(output.last_hidden_state), output.pooler_output)


def _clip(cls, config):
    made = getattr(transformers, config)(
        vision_config=BASE | MLP, text_config=TEXT, projection_dim=8
    )
    return random_weights(getattr(transformers, cls)(made))


@pytest.mark.parametrize("kind", ["CLIP", "Siglip"])
@torch.no_grad()
def test_a_model_with_one_tower_inside__scores_images_by_the_towers_output(images, kind):
    model = _clip(f"{kind}Model", f"{kind}Config")
    plain = model(input_ids=torch.tensor([[1, 5, 2]]), pixel_values=images)
    add_test_time_registers(model, LAYERS)
    assert has_test_time_registers(model)
    output = model(input_ids=torch.tensor([[1, 5, 2]]), pixel_values=images)
    vision = output.vision_model_output
    assert vision.last_hidden_state.shape == plain.vision_model_output.last_hidden_state.shape
    assert output.logits_per_image.shape == (3, 1)
    assert not torch.equal(output.logits_per_image, plain.logits_per_image)
    assert torch.equal(output.text_embeds, plain.text_embeds)
    family = family_of(model)
    pooled = family.pool(model, family.final_tokens(model, images))
    torch.testing.assert_close(
        torch.nn.functional.normalize(pooled, dim=1), output.image_embeds, rtol=1e-5, atol=1e-5
    )
    assert register_tokens(model, images).shape == (3, 1, 16)
    remove_test_time_registers(model)
    again = model(input_ids=torch.tensor([[1, 5, 2]]), pixel_values=images)
    assert torch.equal(again.logits_per_image, plain.logits_per_image)


@torch.no_grad()
def test_llava_gets_as_many_image_tokens_as_before(images):
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**BASE, **MLP),
        text_config=transformers.LlamaConfig(**{**TEXT, "num_key_value_heads": 2}),
        image_token_index=98,
        vision_feature_layer=-2,
    )
    model = random_weights(transformers.LlavaForConditionalGeneration(config))
    text = torch.tensor([[1, *[98] * 16, 5, 6]])
    plain = model(input_ids=text, pixel_values=images[:1]).logits
    add_test_time_registers(model, {0: [3, 5]})
    logits = model(input_ids=text, pixel_values=images[:1]).logits
    assert logits.shape == plain.shape
    assert not torch.equal(logits[:, 1:], plain[:, 1:])
    family = family_of(model)
    seen = family.run(model, images[:1], [1], intermediates_only=True)[1][0].patches
    projected = model.model.multi_modal_projector(seen)
    words = model.get_input_embeddings()(text)
    words[:, 1:17] = projected
    by_parts = model.lm_head(model.model.language_model(inputs_embeds=words).last_hidden_state)
    torch.testing.assert_close(logits, by_parts, rtol=1e-4, atol=1e-5)
    remove_test_time_registers(model)
    assert torch.equal(model(input_ids=text, pixel_values=images[:1]).logits, plain)


BACKBONES = [("Dinov2", "dinov2"), ("Dinov2WithRegisters", "dinov2_reg"), ("DINOv3ViT", "dinov3")]


@pytest.mark.parametrize(("name", "kind"), BACKBONES)
@torch.no_grad()
def test_backbones_of_transformers_give_the_towers_patches(towers, images, name, kind):
    cls = getattr(transformers, f"{name}Backbone", None)
    if cls is None:
        pytest.skip("this release has no such backbone")
    _, config, options, _ = TOWERS[kind]
    made = getattr(transformers, config)(**options, out_features=["stage1", "stage3"])
    backbone, tower = cls(made).eval(), towers(kind)
    backbone.load_state_dict(tower.state_dict())
    add_test_time_registers(backbone, LAYERS)
    add_test_time_registers(tower, LAYERS)
    maps = backbone(images).feature_maps
    _, taken = family_of(tower).run(tower, images, [0, 2], norm=True)
    for found, tokens in zip(maps, taken, strict=True):
        expected = tokens.patches.transpose(1, 2).unflatten(2, (4, 4))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "config", "options"),
    [
        ("ViTForImageClassification", "ViTConfig", BASE | MLP),
        ("Dinov2ForImageClassification", "Dinov2Config", BASE | RATIO),
        ("Dinov2WithRegistersForImageClassification", "Dinov2WithRegistersConfig", BASE | RATIO),
        ("SiglipForImageClassification", "SiglipConfig", {"vision_config": BASE | MLP}),
        ("CLIPForImageClassification", "CLIPConfig", {"vision_config": BASE | MLP}),
    ],
)
@torch.no_grad()
def test_classifiers_are_given_no_register(images, name, config, options):
    made = getattr(transformers, config)(**options, num_labels=5)
    model = random_weights(getattr(transformers, name)(made))
    plain = model(pixel_values=images, output_hidden_states=True)
    add_test_time_registers(model, LAYERS)
    output = model(pixel_values=images, output_hidden_states=True)
    shapes = [one.shape for one in plain.hidden_states or ()]
    assert [one.shape for one in output.hidden_states or ()] == shapes
    family = family_of(model)
    final = family.final_tokens(model, images)
    if family.has_classifier(model):
        scores = family.classes(model, final)
    else:  # these two take the mean, CLIP's of tokens without the norm
        last = family.run(model, images, [-1], norm=name.startswith("Siglip"))[1][0].patches
        scores = model.classifier(last.mean(dim=1))
    torch.testing.assert_close(output.logits, scores, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(output.logits, plain.logits, atol=1e-4)


def test_what_cannot_be_done_is_refused_by_name(towers, images):
    naflex = transformers.Siglip2VisionModel(
        transformers.Siglip2VisionConfig(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24
        )
    )
    masked = transformers.ViTMAEModel(transformers.ViTMAEConfig(**BASE, **MLP))
    text = transformers.CLIPTextModel(transformers.CLIPTextConfig(**TEXT))
    faults = {
        "Siglip2VisionEmbeddings: it takes patches with a mask of padding": naflex,
        "ViTMAEEmbeddings: it drops patches at random: load the checkpoint as a ViTModel": masked,
        "CLIPTextModel has no vision tower that is known here: expected one of ViTModel": text,
    }
    for message, model in faults.items():
        with pytest.raises(InputError, match=message):
            add_test_time_registers(model, {0: [1]})
    with pytest.raises(InputError, match=r"block 3 does not exist.*blocks 0\.\.2"):
        add_test_time_registers(towers("vit"), {3: [1]})
    with pytest.raises(InputError, match=r"unit 24 of block 0 does not exist"):
        add_test_time_registers(towers("vit"), {0: [24]})
    on = add_test_time_registers(towers("dinov2"), LAYERS)
    with pytest.raises(InputError, match="attention_mask: no mask goes with test-time registers"):
        on(images, attention_mask=torch.ones(3, 17))
    with pytest.raises(InputError, match="already has test-time registers"):
        add_test_time_registers(on, LAYERS)
