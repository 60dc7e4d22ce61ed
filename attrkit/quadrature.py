"""Rules of integration on the line from 0 to 1: where gradients are taken, with what weight, and when it is enough."""

import numpy as np

from attrkit.checks import one_of, whole_number

QUADRATURES = ("gauss_legendre", "midpoint", "trapezoid", "left")


SETTLED = 5
"""A sample is done when attributions, too, move by no more than this many tolerances from one rule to the next.

A gap may be small by luck, with attributions that are wrong and cancel. Where the path has kinks, what is left of the
error is half of the last move; where it is smooth, a small part of it.
"""


def fixed_rule(quadrature: str, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of a rule of so many steps.

    Examples
    --------
    >>> fixed_rule("midpoint", 2)
    (array([0.25, 0.75]), array([0.5, 0.5]))
    """
    one_of(quadrature, "quadrature", QUADRATURES)
    n_steps = whole_number(n_steps, "n_steps", least=2 if quadrature == "trapezoid" else 1)
    if quadrature == "gauss_legendre":
        nodes, weights = np.polynomial.legendre.leggauss(n_steps)
        return (nodes + 1) / 2, weights / 2
    if quadrature == "trapezoid":
        weights = np.full(n_steps, 1 / (n_steps - 1))
        weights[[0, -1]] /= 2
        return np.linspace(0, 1, n_steps), weights
    return (np.arange(n_steps) + (0.5 if quadrature == "midpoint" else 0)) / n_steps, np.full(n_steps, 1 / n_steps)


def fejer(n: int) -> tuple[np.ndarray, np.ndarray]:
    r"""Return nodes and weights of Fejér's second rule with an odd number of nodes, none of them an end.

    With :math:`\theta_j = j \pi / (n + 1)` they are, on the line from 0 to 1,

    .. math::

       \alpha_j = \frac{1 - \cos\theta_j}{2}, \qquad
       w_j = \frac{2 \sin\theta_j}{n + 1} \sum_{k=1}^{(n + 1) / 2} \frac{\sin((2k - 1) \theta_j)}{2k - 1}

    (Fejér 1933, doi:10.1007/BF01474575; Waldvogel 2006, doi:10.1007/s10543-006-0045-4, section 2). All weights are
    positive, polynomials of degree `n` are integrated exactly, and the nodes are among those of the rule with
    ``2 * n + 1``.

    Examples
    --------
    >>> nodes, weights = fejer(3)
    >>> bool(np.isclose(weights @ nodes**3, 1 / 4))
    True
    """
    theta, odd = np.pi * np.arange(1, n + 1) / (n + 1), np.arange(1, n + 1, 2)
    # The sine squared of half the angle keeps what the difference of 1 and its cosine would lose near 0.
    return np.sin(theta / 2) ** 2, 2 * np.sin(theta) / (n + 1) * (np.sin(np.outer(theta, odd)) @ (1 / odd))


def nested_rules(most: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the rules of Fejér with 3, 7, 15, ... nodes, up to `most`, each as what it adds to the one before.

    Parameters
    ----------
    most : int
        3 or more.

    Returns
    -------
    list of (nodes, weights)
        The nodes that a rule adds, of shape (step,), and their weights, of shape (step, rule): in each of the rules,
        0 in those before.

    Examples
    --------
    >>> [(len(nodes), weights.shape) for nodes, weights in nested_rules(20)]
    [(3, (3, 3)), (4, (4, 3)), (8, (8, 3))]
    """
    sizes = [2**k - 1 for k in range(2, (most + 1).bit_length())]
    finest = sizes[-1]
    first, weights = np.zeros(finest, int), np.zeros((finest, len(sizes)))
    for rule in reversed(range(len(sizes))):
        every = (finest + 1) // (sizes[rule] + 1)
        weights[every - 1 :: every, rule] = fejer(sizes[rule])[1]
        first[every - 1 :: every] = rule
    nodes = fejer(finest)[0]
    return [(nodes[first == rule], weights[first == rule]) for rule in range(len(sizes))]
