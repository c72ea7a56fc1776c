"""Against open_clip and transformers themselves, on files of their layouts with random weights."""

import json
import sys

import open_clip
import pytest
import torch
from hf_options import BASE
from safetensors.torch import save_file
from tiny_clips import CHANNELS, LAION, OPENAI, SMALL, make_clip, save_as_open_clip, save_as_openai
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch.nn.functional import normalize

from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.text_vectors.encode import encode_names
from ttr_backbones.text_vectors.open_clip_tower import tower_from_folder
from ttr_backbones.text_vectors.templates import PHOTO_TEMPLATE, imagenet_templates, templates_named
from ttr_backbones.text_vectors.text_of_model import image_tower, text_vectors
from ttr_backbones.vits.family import family_of

transformers = pytest.importorskip("transformers")

CLASSES = (("cat", "kitten"), ("tennis ball",), ("cat",))
TEMPLATES = (*imagenet_templates()[:2], *PHOTO_TEMPLATE)
CLOSE = {"rtol": 0, "atol": 1e-6}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    found = {}
    for name, save in ((OPENAI, save_as_openai), (LAION, save_as_open_clip)):
        model = make_clip(quick_gelu=name == OPENAI)
        save(model, folder / f"{name}.pt")
        found[name] = model, folder / f"{name}.pt"
    return found


@pytest.mark.parametrize("name", [OPENAI, LAION])
def test_one_file__gives_images_and_texts_of_open_clip(clips, name):
    model, file = clips[name]
    seen = []
    vectors = text_vectors(
        name,
        CLASSES,
        TEMPLATES,
        checkpoint=file,
        model_kwargs=SMALL,
        batch_size=5,
        progress=lambda done, of: seen.append((done, of)),
    )
    names = [n for names in CLASSES for n in names]
    expected = open_clip.build_zero_shot_classifier(
        model, open_clip.SimpleTokenizer(), names, TEMPLATES
    ).T
    torch.testing.assert_close(vectors.vectors, expected, **CLOSE)
    assert seen == [(5, 9), (9, 9)]  # "cat" once, for both of its classes
    assert (vectors.classes, vectors.templates, vectors.model) == (CLASSES, TEMPLATES, name)

    vit = image_tower(name, file, SMALL)
    vectors.check_weights(vit)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        embedded = family_of(vit).pool(vit, vit.forward_features(images))
        torch.testing.assert_close(embedded, model.encode_image(images), rtol=0, atol=1e-5)


def test_one_file__that_does_not_hold_both_says_what_to_give(clips, tmp_path):
    model, _ = clips[LAION]
    state = model.state_dict()

    def vectors(changed, names=CLASSES):
        torch.save(changed, tmp_path / "file.pt")
        return text_vectors(
            LAION, names, PHOTO_TEMPLATE, checkpoint=tmp_path / "file.pt", model_kwargs=SMALL
        )

    image_alone = {key: value for key, value in state.items() if key.startswith("visual.")}
    other_space = {**state, "text_projection": state["text_projection"][:, :8]}
    siglip = {key: value for key, value in state.items() if key != "text_projection"}
    siglip["text_projection.weight"] = state["text_projection"]
    not_finite = {**state, "ln_final.bias": state["ln_final.bias"] * float("nan")}
    wrong = {
        "holds 0 text towers.*--text-tower": image_alone,
        "24 numbers, texts of .* in 8": other_space,
        "no text_projection of one matrix.*local-dir": siglip,
        "ln_final.bias": not_finite,
    }
    for message, changed in wrong.items():
        with pytest.raises(InputError, match=message):
            vectors(changed)
    with pytest.raises(InputError, match="more than the 77 tokens"):
        vectors(state, [["word " * 80]])
    with pytest.raises(InputError, match="would run code"):
        vectors({**state, "code": sys.exit})


def test_without_the_extra__the_message_says_how_to_install_it(clips, monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(InputError, match=r'pip install -e "\.\[clip\]"'):
        templates_named("imagenet")
    with pytest.raises(InputError, match=r'pip install -e "\.\[clip\]"'):
        text_vectors(LAION, CLASSES, PHOTO_TEMPLATE, checkpoint=clips[LAION][1], model_kwargs=SMALL)


def test_templates__have_the_name_in_one_place(tmp_path):
    assert len(templates_named("imagenet")) == 80
    assert templates_named("imagenet")[0] == "a bad photo of a {}."
    file = tmp_path / "mine.txt"
    file.write_text("one {}\n\ntwo {}.\n")
    assert templates_named(str(file)) == ("one {}", "two {}.")
    file.write_text("one\n")
    with pytest.raises(InputError, match=r"has 'one': expected lines with one \{\}"):
        templates_named(str(file))
    with pytest.raises(InputError, match="Did you mean 'imagenet'"):
        templates_named("imagnet")
    with pytest.raises(MissingFileError):
        templates_named("none.txt")


@pytest.fixture
def word_tokenizer():
    """One token per word, as in `save_pretrained`'s files: 0 fills, 1 ends, 2 is unknown."""
    words = {"<pad>": 0, "</s>": 1, "<unk>": 2, "cat": 3, "kitten": 4, "tennis": 5, "ball": 6}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def test_folder_of_open_clip__is_read_with_its_own_tokenizer(tmp_path, word_tokenizer):
    """SigLIP's way: no mask, the last token, a projection with bias."""
    text = {
        "context_length": 12,
        "vocab_size": 7,
        "width": 32,
        "heads": 2,
        "layers": 2,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
        "norm_kwargs": {"eps": 1e-6},
        "act_kwargs": {"approximate": "tanh"},
    }
    tokenizing = {"hf_tokenizer_name": "x/y", "tokenizer_kwargs": {"clean": "canonicalize"}}
    vision = {"layers": 1, "width": 64, "patch_size": 8, "image_size": 8}
    model = open_clip.CustomTextCLIP(CHANNELS, vision, text).eval()
    config = {"embed_dim": CHANNELS, "vision_cfg": vision, "text_cfg": {**text, **tokenizing}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config}))
    save_file(model.state_dict(), tmp_path / "open_clip_model.safetensors")
    word_tokenizer.save_pretrained(tmp_path)

    names = ["cat", "tennis ball"]
    tower = tower_from_folder(f"local-dir:{tmp_path}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{tmp_path}")
    expected = open_clip.build_zero_shot_classifier(model, tokenizer, names, TEMPLATES).T
    torch.testing.assert_close(encode_names(tower, names, TEMPLATES), expected, **CLOSE)


@pytest.mark.parametrize("kind", ["CLIP", "Siglip"])
def test_folder_of_transformers__gives_images_and_texts(tmp_path, word_tokenizer, kind):
    text = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "vocab_size": 7,
        "max_position_embeddings": 10,
        "projection_size": 16,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 1,
    }
    vision = {**BASE, "intermediate_size": 24}
    config = {"text_config": text, "vision_config": vision, "projection_dim": 16}
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}Model")(
        getattr(transformers, f"{kind}Config")(**config)
    ).eval()
    model.save_pretrained(tmp_path)
    word_tokenizer.save_pretrained(tmp_path)

    vectors = text_vectors(f"hf:{tmp_path}", [["cat"], ["kitten"]], ("{}", "ball {} ball"))
    sentences = ["cat", "ball cat ball", "kitten", "ball kitten ball"]
    ids = word_tokenizer(
        sentences, padding="max_length", max_length=10, return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        pixels = torch.zeros(1, 3, 32, 32)
        embedded = normalize(model(input_ids=ids, pixel_values=pixels).text_embeds, dim=1)
    expected = normalize(embedded.view(2, 2, 16).mean(dim=1), dim=1)
    torch.testing.assert_close(vectors.vectors, expected, **CLOSE)
