"""Rules and composites are data: what no rule can be made of is refused when it is written down."""

import numpy as np
import pytest

from attrkit.errors import InputError
from attrkit.relevance import AlphaBeta, Composite, Epsilon, Gamma, ZBox

WRONG = {
    "epsilon below 0": (lambda: Epsilon(-1.0), "epsilon must be a number, 0 or more, got -1.0"),
    "epsilon as text": (lambda: Epsilon("x"), "epsilon must be a number, 0 or more, got 'x'"),
    "gamma without end": (lambda: Gamma(float("inf")), "gamma must be a number, 0 or more, got inf"),
    "alpha as an array": (lambda: AlphaBeta(np.ones(2)), "alpha must be a number, 0 or more, got array"),
    "alpha less beta": (lambda: AlphaBeta(2, 2), "alpha=2 and beta=2 came; their difference must be 1"),
    "bias": (lambda: AlphaBeta(bias="zennit"), "bias='zennit' is not known; accepted are 'split', 'innvestigate'"),
    "low": (lambda: ZBox(None, 1), "low must be a number, got None"),
    "high": (lambda: ZBox(1.0, 0.0), "low=1.0 and high=0.0 came; accepted is a low no larger than high"),
    "kernel": (lambda: Composite("epsilon"), "kernel='epsilon' is no rule; accepted are Epsilon, AlphaBeta"),
    "first": (lambda: Composite(first=np.ones(2)), "first=array.* is no rule"),
    "epsilon": (lambda: Composite(epsilon=float("nan")), "epsilon must be a number, 0 or more, got nan"),
    "attention": (lambda: Composite(attention="kept"), "attention='kept' is not known; accepted are 'held', 'shared'"),
    "layers": (lambda: Composite(layers=[Epsilon()]), "is no mapping from a layer's type or path to a rule"),
    "rule of a layer": (lambda: Composite(layers={"Dense": "gamma"}), "layers={'Dense': 'gamma'} is not accepted"),
    "name of a layer": (lambda: Composite().extended({3: Epsilon()}), "layers={3: Epsilon"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_rule_is_refused(what):
    make, message = WRONG[what]
    with pytest.raises(InputError, match=message):
        make()


def test_whole_numbers_and_those_of_numpy_are_numbers():
    assert Epsilon(np.float32(0.5)) == Epsilon(0.5)
    assert ZBox(np.float64(-1), 1) == ZBox(-1.0, 1.0)
    assert AlphaBeta(1.7, 0.7).alpha == 1.7
