import pytest

from ttr_backbones.datasets.name_list import read_names
from ttr_backbones.errors import InputError, MissingFileError


def test_names__without_blank_lines(tmp_path):
    (tmp_path / "list.txt").write_text("000005\r\n\n  a name \n")
    assert read_names(tmp_path / "list.txt", remedy="") == ["000005", "a name"]


def test_names__missing_empty_and_repeated(tmp_path):
    file = tmp_path / "list.txt"
    with pytest.raises(MissingFileError, match=r"list\.txt does not exist .* Get it there"):
        read_names(file, remedy="Get it there.")
    file.write_text("\n")
    with pytest.raises(InputError, match=r"list\.txt is empty"):
        read_names(file, remedy="")
    file.write_text("a\nb\nb\n")
    with pytest.raises(InputError, match="names b more than once"):
        read_names(file, remedy="")
