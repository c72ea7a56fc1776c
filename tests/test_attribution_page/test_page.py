from ttr_backbones.attribution_page import page


def test_page__says_how_many_of_the_questions_it_shows():
    found = {"model": "m", "questions": [{}] * 26, "neurons": {"1": [2]}}
    shown = "26 questions (the first 24 are shown)"
    assert page._subject(found) == f"m, {shown}, register neurons 1: [2]"
