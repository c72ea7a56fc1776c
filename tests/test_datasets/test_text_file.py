import pytest

from ttr_backbones.datasets.text_file import read_text
from ttr_backbones.errors import InputError

TEXT = "a.jpg\nphotos/é中.jpg\n"


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"],
)
def test_unicode__is_read_with_and_without_a_mark(tmp_path, encoding):
    (tmp_path / "list.txt").write_bytes(TEXT.encode(encoding))
    assert read_text(tmp_path / "list.txt") == TEXT


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("cp1252", "é.jpg"), ("gbk", "中.jpg"), ("gb2312", "中.jpg"), ("shift_jis", "写真.jpg")],
)
def test_other_encodings__are_named_with_the_line_and_what_it_would_read(tmp_path, encoding, name):
    (tmp_path / "list.txt").write_bytes(f"a.jpg\n{name}\n".encode(encoding))
    with pytest.raises(InputError, match=r"list\.txt, line 2: .* encoding UTF-8 .*iconv") as error:
        read_text(tmp_path / "list.txt")
    assert repr(name) in str(error.value)
