"""Attribution: equal to the model's own maps, batches, methods, and registers in the tower."""

import copy

import pytest
import torch
from tiny_vlms import KINDS, llava

from ttr_backbones.errors import InputError
from ttr_backbones.registers import add_test_time_registers, remove_test_time_registers
from ttr_backbones.vlm import VLM, attribute
from ttr_backbones.vlm.inputs import prompt_batch
from ttr_backbones.vlm.replay import METHODS

PROMPTS = ["what is in this photo ?", "where is the cat ?", "a"]


def own_maps(vlm, picture, prompt):
    """Ids and attention [T, layers, heads, L] by `generate` itself, all layers eager."""
    eager = copy.deepcopy(vlm.model)
    eager.set_attn_implementation("eager")
    batch = prompt_batch(vlm, [picture], [prompt])
    given = eager.generate(
        **batch.kwargs,
        max_new_tokens=4,
        do_sample=False,
        output_attentions=True,
        return_dict_in_generate=True,
    )
    length = batch.kwargs["input_ids"].shape[1]
    maps = [torch.stack([layer[0, :, -1, :length] for layer in step]) for step in given.attentions]
    return given.sequences[0, length:].tolist(), torch.stack(maps), batch.images[0].positions


@pytest.mark.parametrize("kind", KINDS)
def test_weights__are_those_of_generate_and_of_batches(vlms, pictures, kind):
    vlm = vlms[kind]
    before = vlm.model.model.language_model.config._attn_implementation
    single = attribute(vlm, pictures, PROMPTS, max_new_tokens=4, per_head=True)
    batched = attribute(vlm, pictures, PROMPTS, max_new_tokens=4, per_head=True, batch_size=3)
    assert vlm.model.model.language_model.config._attn_implementation == before == "sdpa"
    for one, other in zip(single, batched, strict=True):
        assert one.token_ids == other.token_ids
        torch.testing.assert_close(one.weights, other.weights, rtol=1e-3, atol=1e-5)
    ids, maps, positions = own_maps(vlm, pictures[0], PROMPTS[0])
    assert ids[: len(single[0].token_ids)] == single[0].token_ids
    expected = maps[: len(single[0].token_ids)][..., positions]
    torch.testing.assert_close(single[0].weights, expected, rtol=1e-3, atol=1e-5)
    mean = attribute(vlm, pictures[:1], PROMPTS[0], max_new_tokens=4)[0].reduced()
    torch.testing.assert_close(mean, expected.mean(dim=(1, 2)), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(
        single[0].reduced(layer=1, head=0), expected[:, 1, 0], rtol=1e-3, atol=1e-5
    )


def test_rollout_and_gradient__are_what_they_are_by_hand(vlms, pictures):
    vlm = vlms["llava"]
    model = vlm.model
    batch = prompt_batch(vlm, pictures[:1], ["cat"])
    answer = vlm.processor.tokenizer.encode("dog bear", add_special_tokens=False)
    ids = torch.cat([batch.kwargs["input_ids"], torch.tensor([answer])], dim=1)
    eager = copy.deepcopy(model)
    eager.set_attn_implementation("eager")
    out = eager(input_ids=ids, pixel_values=batch.kwargs["pixel_values"], output_attentions=True)
    length, at = ids.shape[1], batch.images[0].positions
    rolled = torch.eye(length)
    for layer in out.attentions:
        rolled = (0.5 * layer[0].mean(dim=0) + 0.5 * torch.eye(length)) @ rolled
    options = {"prompt": "cat", "answers": ["dog bear"]}
    (found,) = attribute(vlm, pictures[:1], method="rollout", **options)
    torch.testing.assert_close(found.weights, rolled[-3:-1, at], rtol=1e-4, atol=1e-6)

    (found,) = attribute(vlm, pictures[:1], method="gradient", per_head=True, **options)
    for token, row in enumerate((-3, -2)):
        logit = out.logits[0, row, answer[token]]
        gradients = torch.autograd.grad(logit, out.attentions, retain_graph=True)
        for layer, (weights, gradient) in enumerate(zip(out.attentions, gradients, strict=True)):
            product = (weights[0, :, row] * gradient[0, :, row]).clamp(min=0)[:, at]
            torch.testing.assert_close(found.weights[token, layer], product, rtol=1e-3, atol=1e-7)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_registers__leave_tokens_and_generation_as_they_were(vlms, pictures, kind, dtype):
    vlm = VLM(copy.deepcopy(vlms[kind].model).to(dtype), vlms[kind].processor)
    batch = prompt_batch(vlm, pictures, PROMPTS)
    images = {k: v for k, v in batch.kwargs.items() if k in ("pixel_values", "image_sizes")}

    def features():
        found = vlm.model.get_image_features(**images)
        found = getattr(found, "pooler_output", found)  # transformers 4 gives them alone
        return torch.cat([part.flatten(0, -2) for part in found])

    options = {"max_new_tokens": 4, "do_sample": False}
    with torch.no_grad():
        before, answers = features(), vlm.model.generate(**batch.kwargs, **options)
        add_test_time_registers(vlm.model, {1: [3, 7]})
        after = features()
        assert after.shape == before.shape
        assert not torch.equal(after, before)
        cached = vlm.model.generate(**batch.kwargs, **options)
        if dtype == torch.float32:  # in bfloat16 two roundings may choose two words
            assert torch.equal(
                cached, vlm.model.generate(**batch.kwargs, **options, use_cache=False)
            )
        read = attribute(vlm, pictures, PROMPTS, max_new_tokens=4, batch_size=3)
        start = batch.kwargs["input_ids"].shape[1]
        for row, one in zip(cached[:, start:].tolist(), read, strict=True):
            assert row[: len(one.token_ids)] == one.token_ids
        remove_test_time_registers(vlm.model)
        assert torch.equal(features(), before)
        assert torch.equal(vlm.model.generate(**batch.kwargs, **options), answers)


def test_prompt__begins_once(vlms, pictures):
    """Chat templates and tokenizers both write the beginning-of-sequence token."""
    vlm = vlms["llava"]
    prompts = ["USER : <image> a", "<s> USER : <image> a"]
    ids = [prompt_batch(vlm, pictures[:1], [each]).kwargs["input_ids"].tolist() for each in prompts]
    assert ids[0] == ids[1]
    assert ids[0][0].count(1) == 1


def test_attention_in_both_directions__is_refused(vlms, pictures):
    vlm = VLM(copy.deepcopy(vlms["llava"].model), copy.deepcopy(vlms["llava"].processor))
    for layer in vlm.model.model.language_model.layers:
        layer.self_attn.register_forward_pre_hook(
            lambda _, args, kwargs: (args, {**kwargs, "attention_mask": None}), with_kwargs=True
        )
    for method in METHODS:
        with pytest.raises(InputError, match="looks at later tokens"):
            attribute(vlm, pictures[:1], "a", answers=["dog"], method=method)
    vlm.processor.tokenizer.model_input_names.append("token_type_ids")
    with pytest.raises(InputError, match="by token_type_ids"):
        attribute(vlm, pictures[:1], "a", answers=["dog"])


def test_wrong_input__is_named(vlms, pictures):
    vlm = vlms["llava"]
    for options, message in (
        ({"prompt": ["a", "b"]}, "expected 1 prompts"),
        ({"prompt": "a", "answers": [""]}, "at least one token"),
        ({"prompt": "a", "answers": ["<image>"]}, "no second image"),
        ({"prompt": "a", "method": "gradients"}, "Did you mean 'gradient'"),
        ({"prompt": "<image> <image>"}, "several times"),
        ({"prompt": "a", "max_new_tokens": 0}, "at least 1"),
    ):
        with pytest.raises(InputError, match=message):
            attribute(vlm, pictures[:1], **options)
    with pytest.raises(InputError, match="per_head=True"):
        attribute(vlm, pictures[:1], "a", max_new_tokens=1)[0].reduced(layer=0)
    plain = copy.copy(vlm.processor)
    plain.chat_template = None
    with pytest.raises(InputError, match="no chat template"):
        attribute(VLM(vlm.model, plain), pictures[:1], "a")
    other = llava(strategy="full")
    with pytest.raises(InputError, match="do not belong together"):
        attribute(VLM(vlm.model, other.processor), pictures[:1], "a")
    with pytest.raises(InputError, match="expected layers"):
        attribute(llava(layer=0), pictures[:1], "a")
