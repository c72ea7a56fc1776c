import pytest
import torch
from tiny_clips import OPENAI, SMALL, make_clip, save_as_openai

from ttr_backbones.cli import main
from ttr_backbones.errors import InputError
from ttr_backbones.text_vectors import TextVectors
from ttr_backbones.text_vectors.rows_file import read_rows
from ttr_backbones.vits.create import create_vit
from ttr_backbones.vits.family import family_of

pytest.importorskip("open_clip")
AUGREG = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A config whose backbone is a small CLIP from one file."""
    folder = tmp_path_factory.mktemp("clip")
    save_as_openai(make_clip(quick_gelu=True), folder / "clip.pt")
    backbone = {"type": "TimmViT", "model": OPENAI, "model_kwargs": SMALL}
    backbone["checkpoint"] = str(folder / "clip.pt")
    (folder / "config.py").write_text(f"model = dict(backbone={backbone})")
    return folder / "config.py"


def test_text__writes_what_is_read_without_a_text_tower(config, tmp_path, capsys):
    classes, out = tmp_path / "classes.txt", tmp_path / "new" / "vectors.safetensors"
    classes.write_text("cat, kitten\ndog\n")
    command = ["text", str(config), "--classes", str(classes), "--out", str(out)]
    assert main([*command, "--templates", "one"]) == 0
    assert "2 classes, 3 vectors of 24 numbers from 1 templates" in capsys.readouterr().out
    found = TextVectors.load(out)
    assert found.classes == (("cat", "kitten"), ("dog",))
    assert found.templates == ("a photo of a {}.",)
    assert found.model == OPENAI

    assert main([*command, "--source", "classifier", "--templates", "one"]) == 2
    assert "--templates: only for texts" in capsys.readouterr().err
    assert main([*command[:-1], "vectors.pt"]) == 2


def test_rows_of_a_classifier__say_what_the_model_says(tiny_weights, photos, tmp_path):
    """On real weights and photographs: zero-shot is the model's own top-1."""
    out = tmp_path / "rows.safetensors"
    command = ["text", AUGREG, "--checkpoint", str(tiny_weights), "--source", "classifier"]
    assert main([*command, "--classes", "imagenet", "--out", str(out)]) == 0
    vectors = TextVectors.load(out)
    assert len(vectors.classes) == 1000
    assert vectors.classes[0] == ("n01440764[0]",)

    vit = create_vit(AUGREG, checkpoint=tiny_weights, model_kwargs={"num_classes": 1000})
    vectors.check_weights(vit)
    with torch.no_grad():
        tokens = vit.forward_features(photos(224))
        pooled = family_of(vit).pool(vit, tokens)
        scores = pooled @ vectors.vectors.T + vectors.bias
        torch.testing.assert_close(scores, vit.forward_head(tokens), rtol=0, atol=1e-4)

    rows = tmp_path / "rows.txt"
    rows.write_text("dog: 151-268\ncat: 281-285, 287\n")
    assert main([*command, "--classes", str(rows), "--out", str(out)]) == 0
    found = TextVectors.load(out)
    assert [len(names) for names in found.classes] == [118, 6]
    assert torch.equal(found.vectors[-1], vectors.vectors[287])


def test_rows_file__names_the_line_that_is_wrong(tmp_path):
    file = tmp_path / "rows.txt"
    wrong = {
        "dog": "line 1 is 'dog'",
        "dog: 3\ndog: 4": "line 2 names 'dog' again",
        "dog: 3\ncat: five": "line 2 has the rows 'five'",
        "dog: 9-3": "line 1 has the rows '9-3'",
        "dog: 1-99999999999": "line 1 has the rows '1-99999999999'",
        "": "is empty",
    }
    for text, message in wrong.items():
        file.write_text(text)
        with pytest.raises(InputError, match=message):
            read_rows(file)
