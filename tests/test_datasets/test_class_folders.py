import cv2
import numpy as np
import pytest
from scipy.io import savemat

from ttr_backbones.cli import main
from ttr_backbones.datasets import ClassFolders, LoadImage, PackClassInputs
from ttr_backbones.datasets.annotations_error import AnnotationsError
from ttr_backbones.errors import InputError, MissingFileError


@pytest.fixture
def root(tmp_path):
    """Classes b and a in train/ and val/, and the images of val/ once more in flat/."""
    for name in ("train/b/2.JPEG", "train/a/deep/1.png", "val/a/3.jpg", "val/b/4.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.full((6, 8, 3), 7, np.uint8))
    (tmp_path / "flat").mkdir()
    for name in ("v_1.JPEG", "v_2.JPEG", "v_3.JPEG"):
        (tmp_path / "flat" / name).write_bytes((tmp_path / "val/a/3.jpg").read_bytes())
    return tmp_path


def read(root, folder, **kwargs):
    data = ClassFolders(data_root=str(root), data_prefix={"img_path": folder}, **kwargs)
    infos = [data.get_data_info(index) for index in range(len(data))]
    names = [info["img_path"].removeprefix(f"{root}/{folder}/") for info in infos]
    return data.metainfo["classes"], dict(zip(names, (i["gt_label"] for i in infos), strict=True))


def flat(root, text, **kwargs):
    (root / "labels.txt").write_text(text)
    return read(root, "flat", ann_file="labels.txt", **kwargs)


def test_folders__are_classes_in_order_of_name(root):
    assert read(root, "train") == (("a", "b"), {"a/deep/1.png": 0, "b/2.JPEG": 1})
    assert read(root, "val", classes_of="train")[0] == ("a", "b")
    data = ClassFolders(
        data_root=str(root / "val"), pipeline=[LoadImage(), PackClassInputs()], test_mode=True
    )
    sample = data[1]
    assert sample["inputs"].shape == (3, 6, 8)
    assert sample["data_samples"].gt_label == 1
    assert sample["data_samples"].img_path.endswith("val/b/4.jpg")


def test_list__names_classes_or_numbers_them(root):
    by_number = "v_3.JPEG 1\nv_1.JPEG 0\n"
    labels = {"v_3.JPEG": 1, "v_1.JPEG": 0}
    assert flat(root, by_number, classes_of="train") == (("a", "b"), labels)
    assert flat(root, "v_3.JPEG b\nv_1.JPEG a") == (("a", "b"), labels)
    # A number that is itself the name of a folder is that folder.
    (root / "numbers" / "1").mkdir(parents=True)
    (root / "numbers" / "0").mkdir()
    assert flat(root, by_number, classes_of="numbers") == (("0", "1"), labels)


def test_list__of_the_official_devkit(root):
    kind = [("ILSVRC2012_ID", float), ("WNID", object), ("num_children", float)]
    synsets = np.array([(1, "b", 0), (2, "a", 0), (3, "all", 2)], dtype=kind)
    with pytest.raises(MissingFileError, match=r"meta\.mat does not exist"):
        flat(root, "1\n2\n1\n")
    savemat(root / "meta.mat", {"synsets": synsets})
    expected = (("a", "b"), {"v_1.JPEG": 1, "v_2.JPEG": 0, "v_3.JPEG": 1})
    assert flat(root, "1\n2\n1\n") == expected
    assert flat(root, "1\n2\n1\n", classes_of="train") == expected
    with pytest.raises(InputError, match=r"2 lines and .*flat 3 images"):
        flat(root, "1\n2\n")
    with pytest.raises(InputError, match=r"the class 3 \(not in meta\.mat\)"):
        flat(root, "1\n2\n3\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n", "is empty: expected lines"),
        ("v_1.JPEG\n", "has the line 'v_1.JPEG': expected lines"),
        ("v_1.JPEG 2\n", "gives the class '2': expected a number from 0 to 1"),
        ("v_1.JPEG cat\n", "gives the class 'cat': expected one of the 2 class folders"),
        ("v_1.JPEG 0\nv_1.JPEG 1\n", "v_1.JPEG 2 times"),
        ("v_9.JPEG 0\n", "1 of 1 images of the list .* for example v_9.JPEG"),
    ],
)
def test_list__with_mistakes(root, text, message):
    with pytest.raises((InputError, MissingFileError), match=message):
        flat(root, text, classes_of="train")


def test_list__of_numbers_without_classes(root):
    with pytest.raises(InputError, match="set classes_of to a folder"):
        flat(root, "v_1.JPEG 0\n")


def test_folders__with_mistakes(root):
    with pytest.raises(MissingFileError, match="no such folder"):
        read(root, "val", classes_of="no")
    with pytest.raises(InputError, match="holds no folder"):
        read(root, "flat")
    (root / "val/c").mkdir()
    with pytest.raises(InputError, match=r"has other classes than .*train.*1 only in .*val: c\."):
        read(root, "val", classes_of="train")
    with pytest.raises(AnnotationsError, match=r"val/c holds no image.*Remove the folder") as error:
        read(root, "val")
    assert len(error.value.data_list) == 2


def test_check_data__opens_every_image(root, capsys):
    """Damaged images and images beside the class folders are faults of the data."""
    (root / "val/a/3.jpg").write_bytes((root / "val/a/3.jpg").read_bytes()[:200])
    (root / "val/lonely.jpg").write_bytes((root / "val/b/4.jpg").read_bytes())
    config = root / "config.py"
    config.write_text(
        f"""
custom_imports = dict(imports=["ttr_backbones.datasets"])
test_dataloader = dict(dataset=dict(type="ClassFolders", data_root={str(root)!r},
    data_prefix=dict(img_path="val"), classes_of="train",
    pipeline=[dict(type="LoadImage"), dict(type="PackClassInputs")]))
"""
    )
    assert main(["check-data", str(config)]) == 1
    out = capsys.readouterr().out
    assert "ClassFolders: 2 samples, 2 problem(s)" in out
    assert "lonely.jpg" in out
    assert "val/a/3.jpg" in out
