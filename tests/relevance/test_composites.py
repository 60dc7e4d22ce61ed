"""Rules and composites are data: what no rule can be made of is refused when it is written down."""

import numpy as np
import pytest

from attrkit.errors import InputError
from attrkit.relevance import AlphaBeta, Composite, Epsilon, Gamma, ZBox

WRONG = {
    "epsilon below 0": (lambda: Epsilon(-1.0), "epsilon=-1.0 is not accepted; give a number of at least 0"),
    "epsilon as text": (lambda: Epsilon("x"), "epsilon='x' is not accepted"),
    "gamma without end": (lambda: Gamma(float("inf")), "gamma=inf is not accepted"),
    "alpha as an array": (lambda: AlphaBeta(np.ones(2)), "alpha=array"),
    "alpha less beta": (lambda: AlphaBeta(2, 2), "alpha=2 and beta=2 came; accepted are two whose difference is 1"),
    "bias": (lambda: AlphaBeta(bias="zennit"), "bias='zennit' is not known; accepted are 'split', 'innvestigate'"),
    "low": (lambda: ZBox(None, 1), "low=None is not accepted; give a finite number"),
    "high": (lambda: ZBox(1.0, 0.0), "high=0.0 is not accepted; give a number of at least 1"),
    "kernel": (lambda: Composite("epsilon"), "kernel='epsilon' is no rule; accepted are Epsilon, AlphaBeta"),
    "first": (lambda: Composite(first=np.ones(2)), "first=array.* is no rule"),
    "epsilon": (lambda: Composite(epsilon=float("nan")), "epsilon=nan is not accepted"),
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
