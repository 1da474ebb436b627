import math

import pytest

from paired import lower_bound, ratio_lower_bound


def test_the_bound_is_that_of_students_t():
    assert lower_bound([1, 2, 3]) == pytest.approx(2 - 4.303 / math.sqrt(3))
    assert lower_bound([2.0] * 5) == 2


def test_the_bound_of_ratios_is_that_of_their_logarithms():
    assert ratio_lower_bound([1.5, 2.0, 2.5]) == pytest.approx(math.exp(lower_bound([math.log(r) for r in (1.5, 2.0, 2.5)])))
    assert ratio_lower_bound([1.5, 2.0, 2.5]) < 1.5


def test_one_pair_bounds_nothing():
    assert lower_bound([1.0]) is None
    assert ratio_lower_bound([1.0]) is None
