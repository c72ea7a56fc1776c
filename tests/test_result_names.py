from ttr_backbones.result_names import relative_paths, result_paths, result_stems


def names(function, *files):
    return [str(name) for name in function(files).values()]


def test_paths__drop_what_no_file_needs():
    assert names(result_paths, "/x/a.jpg", "/x/b.png") == ["a", "b"]
    assert names(result_paths, "/x/1/a.jpg", "/x/2/a.jpg") == ["1/a", "2/a"]
    # Nothing else differs in two of them: then all keep their suffix.
    assert names(result_paths, "/x/a.jpg", "/x/a.png", "/x/b.png") == ["a.jpg", "a.png", "b.png"]
    assert names(result_paths, "/x/a.jpg", "/x/A.png") == ["a.jpg", "A.png"]
    assert names(result_paths, "/x/a.jpg", "/x/A.jpg", "/x/1/a.jpg") == [
        "a.jpg",
        "A.jpg_2",
        "1/a.jpg",
    ]


def test_stems__carry_folders_only_where_needed():
    files = ["/x/1/a.jpg", "/x/2/a.jpg", "/x/2/b.jpg", "/x/2/A.png", "/x/1_a.jpg"]
    stems = names(result_stems, *files)
    assert stems == ["1_a.jpg", "2_a.jpg", "b", "2_A.png", "1_a"]
    assert len({stem.lower() for stem in stems}) == len(files)


def test_relative_paths__resolve_dots(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert names(relative_paths, "x/../y/a.jpg", "z/a.jpg") == ["y/a.jpg", "z/a.jpg"]
    assert names(relative_paths, "x/a.jpg") == ["a.jpg"]
    assert relative_paths([]) == {}
