import pytest

from ttr_backbones.datasets import VOCBoxes
from ttr_backbones.errors import InputError, MissingFileError

OBJECT = """
<object><name>dog</name>{marks}
  <bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>
  <part><name>head</name>
    <bndbox><xmin>3</xmin><ymin>3</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></part>
</object>"""
SIZE = "<size><width>40</width><height>30</height><depth>3</depth></size>"
HARD = "<truncated>{}</truncated><difficult>{}</difficult>"


def dog(*box, marks=""):
    return OBJECT.format(*box, marks=marks)


@pytest.fixture
def voc(tmp_path):
    """Write {name: content of <annotation>} in VOC's layout and read it."""
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "ImageSets/Main").mkdir(parents=True)

    def read(annotations, **kwargs):
        for name, content in annotations.items():
            file = tmp_path / "Annotations" / f"{name}.xml"
            file.write_text(f"<annotation>{content}</annotation>")
        names = "\n".join(annotations) + "\n\n"
        (tmp_path / "ImageSets/Main/trainval.txt").write_text(names)
        return VOCBoxes(data_root=str(tmp_path), **kwargs)

    read.root = tmp_path
    return read


def test_boxes__count_from_zero_and_exclude_their_ends(voc):
    data = voc({"000005": SIZE + dog(1, 1, 40, 30) + dog("45.7", 2, "46.2", 2)})
    assert len(data) == 1
    info = data.get_data_info(0)
    assert info["boxes"] == [[0, 0, 40, 30], [44.7, 1, 46.2, 2]]  # nothing of the <part>s
    assert info["size"] == (40, 30)
    assert info["img_path"] == str(voc.root / "JPEGImages" / "000005.jpg")


def test_hard__false_leaves_out_marked_objects_and_empty_images(voc, monkeypatch):
    content = {
        "a": SIZE + dog(1, 1, 5, 5, marks=HARD.format(1, 0)) + dog(2, 2, 6, 6),
        "b": SIZE + dog(1, 1, 5, 5, marks=HARD.format(0, 1)),
        "c": SIZE + dog(1, 1, 5, 5, marks=HARD.format(0, 0)),
    }
    assert [len(voc(content).get_data_info(i)["boxes"]) for i in range(3)] == [2, 1, 1]
    told = []
    monkeypatch.setattr(
        "ttr_backbones.datasets.voc_boxes.print_log", lambda text, **_: told.append(text)
    )
    data = voc(content, hard=False)
    assert "leaves out 2 difficult or truncated objects and 1 of 3 images" in told[0]
    boxes = [data.get_data_info(i)["boxes"] for i in range(len(data))]
    assert boxes == [[[1, 1, 6, 6]], [[0, 0, 5, 5]]]
    with pytest.raises(InputError, match="hard=False leaves no image"):
        voc({"b": content["b"]}, hard=False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (SIZE, "holds no object, so no box could be found there. Take a out of"),
        (SIZE + dog(9, 1, 8, 5), "inverted box xmin=9 ymin=1 xmax=8 ymax=5"),
        (SIZE + dog("nan", 1, 8, 5), r"{'xmin': 'nan', .*expected a number for each"),
        (SIZE + dog("", 1, 8, 5), r"<bndbox> of <object> gives {'xmin': '', .*expected a number"),
        (dog(1, 1, 5, 5), r"<size> of <annotation> gives {'width': None"),
        (SIZE + "<object>", "a.xml is no XML"),
    ],
    ids=["no object", "inverted", "nan", "no number", "no size", "no XML"],
)
def test_wrong_xml__is_named_with_what_is_wrong(voc, content, message):
    with pytest.raises(InputError, match=message) as error:
        voc({"a": content})
    assert str(voc.root / "Annotations" / "a.xml") in str(error.value)


def test_several_wrong_annotations__are_all_named(voc):
    content = {"a": SIZE, "good": SIZE + dog(1, 1, 5, 5), "b": SIZE + dog(9, 1, 5, 5)}
    with pytest.raises(InputError) as caught:
        voc(content)
    told = str(caught.value).splitlines()
    assert told[0].startswith("2 annotations of")
    assert "a.xml holds no object" in told[1]
    assert "b.xml holds the inverted box" in told[2]
    assert len(told) == 3


def test_missing_xml_and_another_format(voc):
    (voc.root / "Annotations" / "b.xml").write_text("<svg/>")
    (voc.root / "list.txt").write_text("b")
    with pytest.raises(InputError, match="begins with <svg>: expected a VOC <annotation>"):
        VOCBoxes(data_root=str(voc.root), ann_file="list.txt")
    (voc.root / "list.txt").write_text("no")
    with pytest.raises(MissingFileError, match=r"no\.xml does not exist, though the list names it"):
        VOCBoxes(data_root=str(voc.root), ann_file="list.txt")


@pytest.mark.parametrize(("year", "images", "boxes"), [("2007", 5, None), ("2012", 20, None)])
def test_real_voc(shared, year, images, boxes):
    data = VOCBoxes(data_root=str(shared / "data/VOCdevkit" / f"VOC{year}"))
    assert len(data) == images
    if year == "2007":  # against the list of all boxes of VOC 2007
        lines = (shared / "data/lost/voc07_trainval_boxes.txt").read_text().splitlines()
        true = {line.split()[0]: [int(v) for v in line.split()[1:]] for line in lines}
        for index in range(images):
            info = data.get_data_info(index)
            flat = true[info["img_path"].rpartition("/")[2]]
            rows = [flat[i : i + 4] for i in range(0, len(flat), 5)]
            assert info["boxes"] == [[x1 - 1, y1 - 1, x2, y2] for x1, y1, x2, y2 in rows]


def test_xml__in_any_encoding(voc):
    data = voc({name: SIZE + dog(1, 1, 4, 4) for name in "abcdefg"})
    text = f"<annotation><folder>写真</folder>{SIZE}{dog(1, 1, 5, 5)}</annotation>"
    declared = '<?xml version="1.0" encoding="{}"?>'
    for name, encoding in zip("abcd", ("gb2312", "GBK", "Shift_JIS", "utf-16"), strict=True):
        content = (declared.format(encoding) + text.replace("写", "")).encode(encoding)
        (voc.root / f"Annotations/{name}.xml").write_bytes(content)
    (voc.root / "Annotations/e.xml").write_bytes(text.encode("utf-8-sig"))
    (voc.root / "Annotations/f.xml").write_bytes(text.encode("shift_jis"))  # undeclared
    (voc.root / "Annotations/g.xml").write_bytes((declared.format("klingon") + text).encode())
    with pytest.raises(InputError, match=r"g\.xml declares an unknown encoding") as error:
        VOCBoxes(data_root=str(voc.root))
    assert len(data) == 7
    assert [info["boxes"] for info in error.value.data_list] == [[[0, 0, 5, 5]]] * 6
