"""Where the vectors come from, and the names of the eight data sets."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from mmseg.registry import DATASETS

import ttr_backbones.datasets  # noqa: F401 -- registers
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.open_vocabulary import OpenVocabularySegmentor, classes_file, find_text
from ttr_backbones.open_vocabulary.text import _row_numbers
from ttr_backbones.recipes import data_files, recipe
from ttr_backbones.repairs import fit_repair
from ttr_backbones.text_vectors import TextVectors, read_classes
from ttr_backbones.vits.create import create_vit
from ttr_backbones.vits.weights_hash import weights_hash

SINDER = {"rule": "std", "threshold": 1.5, "border": True, "minimum": 1, "steps": 1}


def test_names__are_as_many_as_labels_and_those_of_the_released_codes(shared):
    released = {"cityscapes": "city_scapes"}
    for data in sorted({*data_files()} - {"classifier_voc20"}):
        config = recipe(f"sclip_{data}")
        names = read_classes(classes_file(config.model.text.classes))
        labels = DATASETS.get(config.test_dataloader.dataset.type).METAINFO["classes"]
        assert len(names) == len(labels), data
        path = shared / "data/class_names" / f"cls_{released.get(data, data)}.txt"
        assert names == read_classes(path), data
    # ClearCLIP's: one name a class, the background too.
    for data in ("voc21", "voc20", "coco_object"):
        config = recipe(f"clearclip_{data}")
        names = read_classes(classes_file(config.model.text.classes))
        assert all(len(of_class) == 1 for of_class in names)
        assert names[0] == ("aeroplane" if data == "voc20" else "background",)


def test_a_file__has_to_be_there_and_of_these_classes(tmp_path, backbone, vectors):
    (tmp_path / "mine.txt").write_text("sky, wall\ncat\ndog, puppy, hound\n")
    text = {"folder": str(tmp_path), "classes": str(tmp_path / "mine.txt")}
    name = f"{backbone['model']}_mine.safetensors"
    with pytest.raises(MissingFileError, match=r"make them with `ttrb text vit_base.* --classes "):
        find_text(text, {**backbone, "checkpoint": None})
    with pytest.raises(MissingFileError, match=r"_224.openai --checkpoint clip.pt --classes "):
        find_text(text, {**backbone, "checkpoint": "clip.pt"})
    vectors.save(tmp_path / name)
    found = find_text(text, backbone)
    assert torch.equal(found.vectors, vectors.vectors)
    (tmp_path / "mine.txt").write_text("sky, wall\ncat\ndog\n")
    with pytest.raises(InputError, match="class 2 has the names dog, puppy, hound, and wanted"):
        find_text(text, backbone)
    with pytest.raises(InputError, match="option of text 'path'"):
        find_text({"path": "x"}, backbone)
    with pytest.raises(MissingFileError, match=r"file of classes 'voc22'.*voc21"):
        classes_file("voc22")


def test_vectors_of_other_weights_are_refused(backbone, vectors):
    other = dataclasses.replace(vectors, sha256="0" * 64)
    with pytest.raises(InputError, match="made for other weights"):
        OpenVocabularySegmentor(backbone, other)
    wide = dataclasses.replace(vectors, vectors=torch.eye(6, 9))
    with pytest.raises(InputError, match="vectors have 9 channels, embeddings of images have 8"):
        OpenVocabularySegmentor(backbone, wide)
    # A register changes no weight.
    repair = {"type": "test_time", "neurons": {1: [3]}}
    with pytest.raises(InputError, match="made for other weights"):
        OpenVocabularySegmentor({**backbone, "repair": repair}, other)
    OpenVocabularySegmentor({**backbone, "repair": repair}, vectors)


def test_weights_are_compared_before_a_repair_that_changes_them(backbone, vectors, tmp_path):
    options = {key: backbone[key] for key in ("checkpoint", "model_kwargs")}
    vit = create_vit(backbone["model"], **options)
    images = torch.randn(2, 3, 64, 64, generator=torch.manual_seed(5))
    fit_repair("sinder", vit, images, **SINDER).save(tmp_path / "sinder.safetensors")
    repair = {"type": "sinder", "artifact": str(tmp_path / "sinder.safetensors")}
    repaired = OpenVocabularySegmentor({**backbone, "repair": repair}, vectors).backbone.vit
    assert weights_hash(repaired, with_head=True) != vectors.sha256
    other = dataclasses.replace(vectors, sha256="0" * 64)
    with pytest.raises(InputError, match="made for other weights"):
        OpenVocabularySegmentor({**backbone, "repair": repair}, other)


def test_rows__are_numbers_and_ranges():
    assert _row_numbers({"dog": [(3, 5), 9], "cat": [1]}) == {"dog": [3, 4, 5, 9], "cat": [1]}
    for wrong in ((1, 2, 3), (5, 3)):
        with pytest.raises(InputError, match=f"text.rows of 'dog': {re.escape(str(wrong))}"):
            _row_numbers({"dog": [wrong]})


def test_real_vectors_of_clip__find_their_names(shared, tmp_path, backbone):
    """Of the data set's 20 names, and the classes that are found by them among 171."""
    folder = shared / "data/clip_text"
    voc = torch.from_numpy(np.load(folder / "voc12_single.npy")).float()
    names = read_classes(classes_file("voc20_single"))
    TextVectors(names, voc, None, ("a photo of a {}.",), "", "").save(tmp_path / "voc.safetensors")
    loaded = TextVectors.load(tmp_path / "voc.safetensors")
    stuff = torch.from_numpy(np.load(folder / "coco_single.npy")).float()
    of_stuff = read_classes(classes_file("coco_stuff"))
    near = (loaded.vectors @ stuff.T).argmax(dim=1)
    found = {names[i][0]: of_stuff[n][0] for i, n in enumerate(near.tolist())}
    assert {name: found[name] for name in ("cat", "dog", "sheep", "bus", "person")} == {
        name: name for name in ("cat", "dog", "sheep", "bus", "person")
    }
