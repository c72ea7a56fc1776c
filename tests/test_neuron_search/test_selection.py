"""The choice of a set, on made-up models: which neurons it takes is known from the start."""

import pytest

from ttr_backbones.neuron_search.selection import Trial, Trials, choose_neurons, choose_registers

RANKING = [(unit % 4, unit) for unit in range(64)]


def made_up(needed, cosine=lambda neurons, num: 1.0 - 0.001 * len(neurons)):
    """Trials of a model whose outliers shrink with every needed neuron that is moved."""

    def attempt(neurons, num, step):
        left = len(set(needed) - set(neurons)) / max(len(needed), 1)
        return Trial(neurons, num, 0.02, 0.02 * left, cosine(neurons, num), step)

    return Trials(attempt)


@pytest.mark.parametrize("ranks", [[0], [0, 1], [2], [0, 1, 2, 3, 4], [3, 17, 40], [63]])
def test_choose_neurons__finds_exactly_the_needed_ones(ranks):
    needed = [RANKING[rank] for rank in ranks]
    best = choose_neurons(RANKING, made_up(needed))
    assert list(best.neurons) == needed
    assert best.solved


def test_choose_neurons__takes_one_that_pays_in_cosine_only():
    helpful = RANKING[1]
    trials = made_up(RANKING[:1], lambda neurons, _: 0.98 if helpful in neurons else 0.95)
    assert choose_neurons(RANKING, trials).neurons == (RANKING[0], helpful)


def test_choose_neurons__gives_the_best_there_is_where_nothing_solves_it():
    best = choose_neurons(RANKING, made_up([*RANKING[:3], (9, 9)]))
    assert not best.solved
    assert best.after == pytest.approx(0.02 / 4)
    assert best.neurons == tuple(RANKING[:4])  # doubling tried 1, 2, 4, ...


def test_choose_neurons__needs_few_trials_for_a_long_list():
    trials = made_up(RANKING[:45])
    choose_neurons(RANKING, trials)
    assert len([trial for trial in trials if trial.step == "ranking"]) <= 7 + 5 + 4
    assert len(list(trials)) <= 7 + 5 + 4 + 45


def test_choose_registers__keeps_one_unless_more_is_clearly_better():
    for gain, num in ((0.0, 1), (0.015, 1), (0.03, 2)):
        trials = made_up(RANKING[:1], lambda _, n, gain=gain: 0.95 + gain * (n > 1))
        best = choose_registers(choose_neurons(RANKING, trials), trials)
        assert best.num == num
        assert {trial.num for trial in trials} == {1, 2, 3, 4}


def test_choose_registers__takes_more_where_one_does_not_solve_it():
    def attempt(neurons, num, step):
        return Trial(neurons, num, 0.02, 0.01 if num < 3 else 0.0, 0.5 if num < 3 else 0.4, step)

    trials = Trials(attempt)
    assert choose_registers(choose_neurons(RANKING[:4], trials), trials).num == 3


def test_trials__try_a_set_once_whatever_its_order():
    made = []
    trials = Trials(lambda n, num, step: made.append(n) or Trial(n, num, 1.0, 0.0, 1.0, step))
    assert trials([(0, 1), (1, 2)], 1, "ranking") is trials([(1, 2), (0, 1)], 1, "pruning")
    assert trials([(0, 1), (1, 2)], 2, "registers").num == 2
    assert len(made) == 2


def test_trial__solved_is_less_than_one_percent_left():
    assert not Trial(((0, 1),), 1, 0.02, 0.0002, 1.0, "ranking").solved
    assert Trial(((0, 1),), 1, 0.02, 0.00019, 1.0, "ranking").solved
