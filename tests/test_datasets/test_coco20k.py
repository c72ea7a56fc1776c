import json

import pytest

from ttr_backbones.datasets import COCO20k
from ttr_backbones.datasets.annotations_error import AnnotationsError
from ttr_backbones.errors import InputError, MissingFileError


def image(number):
    return {"id": number, "file_name": f"COCO_{number}.jpg", "width": 40, "height": 30}


def thing(image_id, box, iscrowd=0):
    return {"id": 7, "image_id": image_id, "bbox": box, "iscrowd": iscrowd}


@pytest.fixture
def coco(tmp_path):
    def read(content, **kwargs):
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / "instances.json").write_text(text)
        return COCO20k(data_root=str(tmp_path), ann_file="instances.json", **kwargs)

    read.root = tmp_path
    return read


CONTENT = {
    "images": [image(1), image(2), image(3)],
    "annotations": [
        thing(3, [1.5, 2.5, 10.2, 9.9]),
        thing(1, [0, 0, 40, 30], iscrowd=1),
        thing(2, [4, 4, 0.2, 3]),
        thing(3, [0.4, 0.6, 2, 2]),
    ],
}


def test_boxes__are_corners_in_whole_pixels_without_crowds(coco, monkeypatch):
    told = []
    monkeypatch.setattr(
        "ttr_backbones.datasets.coco20k.print_log", lambda text, **_: told.append(text)
    )
    data = coco(CONTENT)
    assert "1 of 3 images have no object that is no crowd" in told[0]
    assert len(data) == 2  # image 1 has a crowd only
    boxes = [data.get_data_info(index)["boxes"] for index in range(2)]
    # 1.5 and 2.5 go to the even 2; a box without width stays, for official files hold some.
    assert boxes == [[[4, 4, 4, 7]], [[2, 2, 12, 12], [0, 1, 2, 3]]]
    info = data.get_data_info(1)
    assert info["img_path"] == str(coco.root / "train2014" / "COCO_3.jpg")
    assert info["size"] == (40, 30)


def test_list__chooses_images_and_their_order(coco):
    (coco.root / "list.txt").write_text("train2014/COCO_3.jpg\ntrain2014/COCO_2.jpg\n")
    data = coco(CONTENT, list_file="list.txt", data_prefix={"img_path": "val"})
    paths = [data.get_data_info(index)["img_path"] for index in range(len(data))]
    assert paths == [str(coco.root / "val" / f"COCO_{number}.jpg") for number in (3, 2)]


def test_list__with_images_of_another_file(coco):
    (coco.root / "list.txt").write_text("COCO_3.jpg\nCOCO_4.jpg")
    with pytest.raises(InputError, match=r"1 of 2 images of the list .* for example COCO_4\.jpg"):
        coco(CONTENT, list_file="list.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [', "is no complete JSON"),
        ([], "no COCO instances file: expected 'images'"),
        ({"images": [image(1)]}, "expected 'annotations'"),
        ({"images": [image(1)], "annotations": [{"caption": "a dog"}]}, "with bbox, image_id"),
        ({"images": [image(1)], "annotations": [thing(9, [0, 0, 1, 1])]}, "belongs to image 9"),
        ({"images": [image(1)], "annotations": [thing(1, [5, 5, -1, 1])]}, "of at least 0"),
        ({"images": [image(1)], "annotations": [thing(1, [5, 5, 1])]}, "expected x, y, and width"),
        ({"images": [image(1)], "annotations": [thing(1, [0, 0, 1, 1], 1)]}, "that is no crowd"),
    ],
    ids=[
        "cut",
        "list",
        "no objects",
        "captions",
        "unknown image",
        "inverted",
        "three numbers",
        "crowds only",
    ],
)
def test_wrong_json__is_refused(coco, content, message):
    with pytest.raises(InputError, match=message) as error:
        coco(content)
    assert str(coco.root / "instances.json") in str(error.value)


def test_all_wrong_parts__are_named_and_the_others_kept(coco):
    boxes = [
        None,
        [None] * 4,
        [0, 0, float("nan"), 1],
        ["0", "0", "1", "1"],
        {"x": 0},
        [0, 0, 1e999, 1],
    ]
    content = {
        "images": [image(1), {**image(2), "id": [2]}, {**image(3), "width": None}, image(1), "x"],
        "annotations": [
            thing(1, [1, 2, 3, 4]),
            *({**thing(1, box), "id": 70 + n} for n, box in enumerate(boxes)),
            {**thing([1], [0, 0, 1, 1]), "id": 80},
            {"id": 81, "image_id": 1},
        ],
    }
    with pytest.raises(AnnotationsError) as error:
        coco(content)
    named = [problem.split("instances.json: ")[1][:15] for problem in error.value.problems]
    expected = ["image [2]", "image 3", "image 1", "image number 5"]
    expected += [f"object {number}" for number in (*range(70, 76), 80, 81)]
    assert all(map(str.startswith, named, expected))
    assert len(named) == len(expected)
    assert [info["boxes"] for info in error.value.data_list] == [[[1, 2, 4, 6]]]


def test_list__tells_folders_apart(coco):
    images = [{**image(n), "file_name": f"{folder}/1.jpg"} for n, folder in ((1, "a"), (2, "b"))]
    content = {"images": images, "annotations": [thing(n, [n, 0, 1, 1]) for n in (1, 2)]}
    (coco.root / "list.txt").write_text("coco/b/1.jpg\na/1.jpg\n")
    data = coco(content, list_file="list.txt")
    assert [data.get_data_info(n)["boxes"][0][0] for n in range(2)] == [2, 1]
    (coco.root / "list.txt").write_text("1.jpg\n")
    with pytest.raises(InputError, match=r"can be any of a/1\.jpg, b/1\.jpg .*Write the folder"):
        coco(content, list_file="list.txt")
    (coco.root / "list.txt").write_text("a/1.jpg\nx/a/1.jpg\n")
    with pytest.raises(InputError, match=r"names a/1\.jpg 2 times"):
        coco(content, list_file="list.txt")


def test_missing_json(tmp_path):
    with pytest.raises(MissingFileError, match=r"instances_train2014\.json do not exist"):
        COCO20k(data_root=str(tmp_path))


def test_real_coco(shared):
    kwargs = {
        "ann_file": "annotations/instances_val2017.json",
        "data_prefix": {"img_path": "val2017"},
    }
    data = COCO20k(data_root=str(shared / "data/coco"), **kwargs)
    assert len(data) == 70
    infos = [data.get_data_info(index) for index in range(70)]
    assert sum(len(info["boxes"]) for info in infos) == 548 - 8  # eight crowds


def test_losts_list__belongs_to_train2014(shared):
    listed = shared / "data/lost/coco_20k_filenames.txt"
    with pytest.raises(InputError, match=r"of 19817 images of the list .* list_file=None"):
        COCO20k(
            data_root=str(shared / "data/coco"),
            ann_file="annotations/instances_val2017.json",
            list_file=str(listed),
        )
