import pytest

from ttr_backbones.datasets import ImageFolder
from ttr_backbones.errors import InputError, MissingFileError


def test_folder__lists_images_of_all_folders_in_order_of_name(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("b.JPG", "a/2.png", "a/1.webp", "notes.txt"):
        (tmp_path / name).touch()
    data = ImageFolder(data_root=str(tmp_path))
    paths = [data.get_data_info(index)["img_path"] for index in range(len(data))]
    assert paths == [str(tmp_path / name) for name in ("a/1.webp", "a/2.png", "b.JPG")]
    assert "boxes" not in data.get_data_info(0)


def test_folder__absent_or_without_images(tmp_path):
    with pytest.raises(MissingFileError, match="no such folder"):
        ImageFolder(data_root=str(tmp_path / "no"))
    with pytest.raises(InputError, match="holds no image"):
        ImageFolder(data_root=str(tmp_path))
