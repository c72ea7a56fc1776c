"""Which boxes go with which question."""

import json
from pathlib import Path

import pytest
from PIL import Image

from ttr_backbones.attribution_page.questions import boxes_by_file, questions
from ttr_backbones.errors import InputError

FILES = [Path("a.jpg"), Path("b.jpg"), Path("c.jpg")]
BOXES = {
    "a.jpg": {"dog": [[0, 0, 5, 5]], "hot dog": [[5, 5, 9, 10], [0, 0, 1, 1]]},
    "b.jpg": {"cat": [[1, 1, 2, 2]]},
}


def ask(prompt, boxes=BOXES):
    images = {file: Image.new("RGB", (10, 20)) for file in FILES}
    return questions(images, {file: file.name for file in FILES}, prompt, boxes)


def test_category__asks_for_each_of_each_image():
    asked = [(q.name, q.prompt, q.noun, len(q.boxes)) for q in ask("where is the {category}?")]
    assert asked == [
        ("a.jpg", "where is the dog?", "dog", 1),
        ("a.jpg", "where is the hot dog?", "hot dog", 2),
        ("b.jpg", "where is the cat?", "cat", 1),
    ]


def test_noun__is_the_longest_that_the_prompt_names_in_one_or_many():
    first, second, third = ask("Where are the hot dogs?")
    assert first.noun == "hot dog"
    assert first.relative_boxes[0] == [0.5, 0.25, 0.9, 0.5]
    assert [len(one.boxes) for one in (second, third)] == [0, 0]
    assert not any(q.noun for q in ask("what is it?", None))


def test_what_does_not_go_together__is_said(shared, tmp_path):
    for prompt, boxes, message in (
        ("where is the {category}?", None, "there are no boxes"),
        ("catalogue?", BOXES, "names no category"),
        ("a cat", {"z.jpg": {"cat": [[0, 0, 1, 1]]}}, "of none of the images"),
    ):
        with pytest.raises(InputError, match=message):
            ask(prompt, boxes)
    content = {
        "images": [
            {"id": i, "file_name": f"{folder}/a.jpg", "width": 9, "height": 9}
            for i, folder in enumerate("xy")
        ],
        "annotations": [{"id": 0, "image_id": 0, "category_id": 1, "bbox": [0, 0, 5, 5]}],
        "categories": [{"id": 1, "name": "dog"}],
    }
    (tmp_path / "two.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"2 images named a\.jpg"):
        boxes_by_file(tmp_path / "two.json")
    path = shared / "data" / "coco" / "annotations" / "instances_val2017.json"
    found = boxes_by_file(path)["000000015497.jpg"]
    assert [[round(v) for v in box] for box in found["cat"]] == [[32, 20, 484, 454]]
