"""The rules of integration, against polynomials, closed forms and equations of their own; without any framework."""

import numpy as np
import pytest
from numpy.polynomial import legendre

from attrkit.errors import InputError
from attrkit.quadrature import QUADRATURES, fejer, fixed_rule, nested_rules

SIZES = (1, 3, 7, 15, 31, 63, 127, 255)


@pytest.mark.parametrize("n", SIZES)
def test_fejers_weights_solve_the_equations_of_an_interpolatory_rule(n):
    nodes, weights = fejer(n)
    # The only weights by which all polynomials below degree n are integrated; of degree n too, by symmetry.
    moments = legendre.legvander(2 * nodes - 1, n)
    np.testing.assert_allclose(weights @ moments, np.eye(1, n + 1)[0], atol=1e-14)
    solved = np.linalg.solve(moments[:, :n].T, np.eye(1, n)[0])
    np.testing.assert_allclose(weights, solved, rtol=1e-9)
    assert weights.min() > 0
    np.testing.assert_allclose(nodes + nodes[::-1], 1, atol=1e-15)


def test_fejers_rules_are_those_in_print():
    np.testing.assert_allclose(fejer(1), [[0.5], [1]], rtol=1e-15)
    np.testing.assert_allclose(fejer(3)[0], [0.5 - 8**-0.5, 0.5, 0.5 + 8**-0.5], rtol=1e-15)
    np.testing.assert_allclose(fejer(3)[1], [1 / 3, 1 / 3, 1 / 3], rtol=1e-15)
    # Clenshaw and Curtis without their ends: the open rule of four intervals above and of six here.
    np.testing.assert_allclose(2 * fejer(5)[1], [14 / 45, 18 / 45, 26 / 45, 18 / 45, 14 / 45], rtol=1e-15)


@pytest.mark.parametrize("most", [3, 7, 8, 254, 255])
def test_nested_rules_put_together_are_the_rules_themselves(most):
    rules = nested_rules(most)
    nodes, weights = (np.concatenate(parts) for parts in zip(*rules, strict=True))
    assert len(nodes) <= most < 2 * len(nodes) + 1
    assert len(np.unique(nodes)) == len(nodes)
    for rule in range(len(rules)):
        taken = sum(len(new) for new, _ in rules[: rule + 1])
        order = np.argsort(nodes[:taken])
        expected = fejer(taken)
        np.testing.assert_allclose(nodes[:taken][order], expected[0], rtol=1e-14)
        np.testing.assert_allclose(weights[:taken, rule][order], expected[1], rtol=1e-13)
        assert not weights[taken:, rule].any()


def test_smooth_integrals_have_converged_by_31_nodes():
    nodes, weights = fejer(31)
    np.testing.assert_allclose(weights @ np.exp(5 * nodes), (np.exp(5) - 1) / 5, rtol=1e-14)
    share = 1 / (1 + np.exp(-8 * (nodes - 0.3)))
    rise = 1 / (1 + np.exp(-8 * 0.7)) - 1 / (1 + np.exp(8 * 0.3))
    np.testing.assert_allclose(weights @ (8 * share * (1 - share)), rise, rtol=1e-10)
    coarse = fejer(7)
    assert abs(coarse[1] @ np.exp(5 * coarse[0]) - (np.exp(5) - 1) / 5) > 1e-9


@pytest.mark.parametrize(("quadrature", "degree"), list(zip(QUADRATURES, (9, 1, 1, 0), strict=True)))
def test_fixed_rules_are_exact_to_their_degree_and_no_further(quadrature, degree):
    nodes, weights = fixed_rule(quadrature, 5)
    for power in range(degree + 1):
        np.testing.assert_allclose(weights @ nodes**power, 1 / (power + 1), rtol=1e-14)
    assert abs(weights @ nodes ** (degree + 1) - 1 / (degree + 2)) > 1e-6


def test_rules_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match="quadrature='fejer' is not known; accepted are 'gauss_legendre', 'midpoint'"):
        fixed_rule("fejer", 7)
    for quadrature in ([], np.zeros(2), None, object):
        with pytest.raises(InputError, match=r"quadrature=.* is not known; accepted are"):
            fixed_rule(quadrature, 7)
    with pytest.raises(InputError, match="n_steps must be a whole number, 2 or more, got 1"):
        fixed_rule("trapezoid", 1)
