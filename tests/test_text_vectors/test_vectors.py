import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.text_vectors import TextVectors, classifier_vectors, read_classes
from ttr_backbones.vits.weights_hash import weights_hash


@pytest.fixture
def vectors():
    unit = torch.nn.functional.normalize(torch.arange(1.0, 13).view(3, 4), dim=1)
    return TextVectors((("cat", "kitten"), ("dog",)), unit, None, ("a {}.",), "", "0" * 64)


def test_vectors__come_back_from_their_file_as_they_were(vectors, tmp_path):
    with_bias = dataclasses.replace(vectors, bias=torch.tensor([0.5, -1, 2]), templates=())
    for saved in (vectors, with_bias):
        saved.save(tmp_path / "v.safetensors")
        loaded = TextVectors.load(tmp_path / "v.safetensors")
        for field in dataclasses.fields(TextVectors):
            before, after = getattr(saved, field.name), getattr(loaded, field.name)
            same = torch.equal if isinstance(before, torch.Tensor) else lambda a, b: a == b
            assert same(before, after), field.name
    assert loaded.class_of_query.tolist() == [0, 0, 1]


def test_vectors__that_are_none_are_refused_with_the_reason(vectors, tmp_path):
    wrong = {
        "expected \\[3, C\\]": {"vectors": torch.ones(2, 4)},
        "unit length": {"vectors": 2 * vectors.vectors},
        "NaN": {"vectors": vectors.vectors * float("nan")},
        "each with a name": {"classes": (("cat", "kitten", "dog"), ())},
        "bias": {"bias": torch.ones(4)},
    }
    for message, change in wrong.items():
        with pytest.raises(InputError, match=message):
            dataclasses.replace(vectors, **change)

    file = tmp_path / "v.safetensors"
    with pytest.raises(MissingFileError, match="ttrb text"):
        TextVectors.load(file)
    file.write_bytes(b"no tensors")
    with pytest.raises(InputError, match="no safetensors file"):
        TextVectors.load(file)
    entry = "ttr_backbones.text_vectors"
    for metadata in ({}, {entry: "{"}, {entry: '{"classes": [[1]], "templates": []}'}):
        save_file({"vectors": vectors.vectors}, file, metadata=metadata)
        with pytest.raises(InputError, match=r"`ttrb text` or `TextVectors.save` wrote"):
            TextVectors.load(file)


def test_classifier_rows__score_as_the_classifier_does(make_vit):
    vit = make_vit()
    vectors = classifier_vectors(vit, {"cat": [3, 1], "dog": [0]})
    vectors.check_weights(vit)
    assert vectors.classes == (("cat[3]", "cat[1]"), ("dog[0]",))
    pooled = torch.randn(2, 32)
    with torch.no_grad():
        expected = vit.head(pooled)[:, [3, 1, 0]]
    assert torch.allclose(pooled @ vectors.vectors.T + vectors.bias, expected, atol=1e-6)

    for rows, got in (
        ({"cat": []}, r"no row: .*0\.\.4"),
        ({"cat": range(1000)}, r"row 5: .*0\.\.4"),  # and not the thousand
        ({"cat": [1, 1]}, r"row 1 twice: .*0\.\.4"),
        ({}, "no classes"),
    ):
        with pytest.raises(InputError, match=got):
            classifier_vectors(vit, rows)
    with pytest.raises(InputError, match="no classifier"):
        classifier_vectors(make_vit(num_classes=0), {"cat": [1]})


def test_vectors__of_other_weights_are_refused(make_vit, vectors):
    vit = make_vit()
    of_vit = dataclasses.replace(vectors, sha256=weights_hash(vit, with_head=True))
    of_vit.check_weights(vit)
    rows = classifier_vectors(vit, {"cat": [1]})
    torch.nn.init.ones_(vit.head.weight)  # texts live behind it, rows of a classifier before it
    rows.check_weights(vit)
    with pytest.raises(InputError, match="other weights"):
        of_vit.check_weights(vit)
    with pytest.raises(InputError, match=r"other weights.*`"):
        vectors.check_weights(vit)
    vit.pretrained_cfg = {"architecture": "vit_tiny_patch16_224", "tag": "x"}
    other = dataclasses.replace(vectors, model="vit_base_patch16_clip_224.openai")
    with pytest.raises(InputError, match=r"space of 'vit_base.*model is 'vit_tiny"):
        other.check_weights(vit)


def test_classes__each_line_is_one_with_its_names(tmp_path):
    file = tmp_path / "classes.txt"
    file.write_text("sky, wall,tree\naeroplane\nbird \n\n")
    assert read_classes(file) == (("sky", "wall", "tree"), ("aeroplane",), ("bird",))
    wrong = {
        "a\n\nb": "line 2 is empty",
        "a\nb, , c": "line 2 has an empty name",
        "a, b, a": "line 1 names a twice",
        "": "is empty",
    }
    for text, message in wrong.items():
        file.write_text(text)
        with pytest.raises(InputError, match=message):
            read_classes(file)
    with pytest.raises(MissingFileError, match="one class per line"):
        read_classes(tmp_path / "none.txt")


def test_classes__of_the_released_files_are_read(shared):
    counts = {
        file.stem: len(read_classes(file))
        for file in (shared / "data" / "class_names").glob("cls_*.txt")
    }
    assert (counts["cls_voc21"], counts["cls_ade20k"], counts["cls_coco_stuff"]) == (21, 150, 171)
