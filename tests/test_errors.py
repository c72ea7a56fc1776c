from ttr_backbones.errors import unknown_name


def test_unknown_name__lists_what_helps():
    few = unknown_name("repair", "sindr", ["sinder", "none"])
    assert few == "unknown repair 'sindr'. Did you mean 'sinder'? Known: none, sinder."
    many = [f"vit_{n:04d}" for n in range(2000)]
    near = unknown_name("model", "vit_00123", many)
    assert "Did you mean 'vit_0123'" in near
    assert near.endswith("? (2,000 are known.)")
    assert unknown_name("model", "zebra", many).endswith("vit_0019, ... (2000 in all).")
