"""`ttr`, the name of its file and of recipes, is `test_time` in every list of repairs."""

from mmengine.config import ConfigDict

from ttr_backbones.cli import benchmark, show, sweep

REPAIR = {"type": "test_time", "neurons": "mine.json", "keep_cls": True}


def test_ttr__is_test_time_with_the_options_of_the_config():
    named = ["none", "ttr"]
    assert show._repairs(named, REPAIR) == {"test_time": REPAIR}
    assert named == ["none", "test_time"]
    backbone = ConfigDict(model="vit_tiny_patch16_224", repair=REPAIR)
    assert sweep._repairs("none,ttr", backbone) == [None, REPAIR]
    assert benchmark._kinds("ttr,test_time") == ["none", "test_time"]
