"""Order, bounds and errors of reading in threads."""

import threading
import time

import pytest

from ttr_backbones.errors import InputError
from ttr_backbones.inference.read_ahead import batched, read_ahead


def test_order_stays_though_reading_takes_its_time():
    def read(number):
        time.sleep(0.001 * (7 - number % 7))
        return number, threading.current_thread() is threading.main_thread()

    assert list(read_ahead(read, range(30), threads=4)) == [(n, False) for n in range(30)]


def test_at_most_two_per_thread_wait():
    started = []
    stream = read_ahead(lambda n: started.append(n) or n, iter(range(1000)), threads=3)
    assert [next(stream) for _ in range(5)] == [0, 1, 2, 3, 4]
    time.sleep(0.05)
    assert max(started) <= 5 + 2 * 3
    stream.close()


def test_error__comes_at_its_place_and_ends_the_rest():
    def read(number):
        if number == 3:
            raise InputError("image 3 is broken")
        return number

    stream = read_ahead(read, range(100), threads=2)
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match="image 3 is broken"):
        next(stream)
    assert list(stream) == []


def test_batched():
    assert list(batched(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batched([], 2)) == []
