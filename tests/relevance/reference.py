"""Backward rules of layer-wise relevance propagation, written out by definition in float64 numpy.

Every rule computes its layer forward and then passes relevance back by hand: nothing is differentiated. It returns
``(relevance_in, bias_relevance, epsilon_relevance)``; the last two, of shape (sample,), are what biases and the
stabiliser took. Of a conservative rule ``relevance_in``, summed per sample, and these two sum to the relevance of the
output. All are, but ``dense`` with alpha - beta != 1 and ``composite="attnlrp"``, where the softmax keeps some.

- Stabiliser: z + epsilon * sign(z) with sign(0) = +1 (Bach et al. 2015, doi:10.1371/journal.pone.0130140).
- A denominator of exactly 0 gives ratio 0: no input gets that relevance, it is counted with the stabiliser's. (As a
  gradient the rule is the identity there, R = z * G = 0 with any G; G cannot be had back from R.)
- Elementwise activations pass relevance unchanged, so relevance of an activation is relevance of its pre-activation.
- A bias given as None is zero. Kernels, gates and biases are laid out as in Keras.
"""

import numpy as np

# What all rules share


def array(values):
    return np.asarray(values, dtype=np.float64)


def bias_of(bias, shape):
    return np.zeros(shape) if bias is None else array(bias)


def stabilise(z, epsilon):
    return z + epsilon * np.where(z >= 0, 1.0, -1.0)


def per_sample(values):
    return values.reshape(len(values), -1).sum(axis=1)


def share(parts, bias, relevance, epsilon):
    """Split R_j over the terms of z_j = sum_i parts_ij + b_j: R_ij = parts_ij * R_j / (z_j + epsilon sign z_j).

    parts (sample, ..., i, j), bias (j,) or (sample, ..., j), relevance (sample, ..., j). Returns R_ij of the shape of
    parts, and per sample what bias and stabiliser take. Bach et al. 2015; Arras et al. 2017, arXiv:1706.07206.
    """
    z = parts.sum(axis=-2) + bias
    held = stabilise(z, epsilon)
    ratio = np.divide(relevance, held, out=np.zeros(z.shape), where=held != 0)
    absorbed = np.where(held != 0, epsilon * np.where(z >= 0, 1.0, -1.0) * ratio, relevance)
    return parts * ratio[..., None, :], per_sample(bias * ratio), per_sample(absorbed)


def linear(x, kernel, bias, relevance, epsilon):
    """Apply the epsilon rule to x (sample, ..., in) @ kernel (in, out) + bias; relevance (sample, ..., out)."""
    messages, of_bias, absorbed = share(x[..., :, None] * kernel, bias, relevance, epsilon)
    return messages.sum(axis=-1), of_bias, absorbed


def add(terms, relevance, epsilon):
    """Apply the epsilon rule to a sum of arrays, all of the shape of relevance (sample, ..., j)."""
    messages, _, absorbed = share(np.stack(terms, axis=-2), np.zeros(relevance.shape), relevance, epsilon)
    return [messages[..., term, :] for term in range(len(terms))], absorbed


# Dense and convolution


def rule_parts(
    x, kernel, bias, rule, *, alpha=2.0, beta=1.0, bias_mode="split", gamma=0.25, low=None, high=None, inside=None
):
    """Return the shares that make up a rule, as (factor, parts (sample, ..., in, out), bias (sample, ..., out))."""
    column = x[..., :, None]
    bias = np.broadcast_to(bias, (*x.shape[:-1], len(bias)))
    rising, falling = np.maximum(kernel, 0), np.minimum(kernel, 0)
    over, under = np.maximum(column, 0), np.minimum(column, 0)
    here = np.broadcast_to(1.0 if inside is None else inside, x.shape)[..., :, None]
    if rule in ("epsilon", "z"):
        return [(1.0, column * kernel, bias)]
    if rule in ("alpha_beta", "z_plus"):
        alpha, beta = (1.0, 0.0) if rule == "z_plus" else (alpha, beta)
        split = {"split": (np.maximum(bias, 0), np.minimum(bias, 0)), "innvestigate": (bias, bias)}[bias_mode]
        positive, negative = over * rising + under * falling, over * falling + under * rising
        return [(alpha, positive, split[0]), (-beta, negative, split[1])]
    if rule == "gamma":
        up = over * (kernel + gamma * rising) + under * (kernel + gamma * falling)
        down = over * (kernel + gamma * falling) + under * (kernel + gamma * rising)
        is_up = (column * kernel).sum(axis=-2) + bias >= 0
        constant = bias + gamma * np.where(is_up, np.maximum(bias, 0), np.minimum(bias, 0))
        return [(1.0, np.where(is_up[..., None, :], up, down), constant)]
    if rule == "z_box":
        low, high = (np.broadcast_to(array(bound), x.shape)[..., :, None] for bound in (low, high))
        return [(1.0, here * (column * kernel - low * rising - high * falling), 0 * bias)]
    return [(1.0, here * {"flat": np.ones_like(kernel), "w_square": kernel**2}[rule], 0 * bias)]


def dense_forward(x, kernel, bias):
    return array(x) @ array(kernel) + bias_of(bias, np.shape(kernel)[-1])


def dense(x, kernel, bias, relevance, *, rule="epsilon", epsilon=0.0, **options):
    """Pass relevance (sample, ..., out) back to x (sample, ..., in) through kernel (in, out) and bias (out,).

    With w+ = max(w, 0), w- = min(w, 0), and all denominators stabilised with epsilon:

    - ``epsilon``, and ``z`` with epsilon = 0: x_i w_ij R_j / z_j, where z_j = sum_i x_i w_ij + b_j (Bach et al. 2015).
    - ``alpha_beta``: alpha z+_ij / (z+_j + b+_j) - beta z-_ij / (z-_j + b-_j), where z+_ij = x+ w+ + x- w- and
      z-_ij = x+ w- + x- w+ (Bach et al. 2015). With ``bias_mode="innvestigate"`` the whole b_j stands in both
      denominators, as in iNNvestigate. The bias takes what stands for it in the two. An empty side with epsilon > 0
      has d = epsilon: the stabiliser takes all of that side.
    - ``z_plus``: alpha 1, beta 0; x may be negative.
    - ``gamma``: w + gamma w+ for x+ and w + gamma w- for x- if z_j >= 0, the other way round if z_j < 0; the bias is a
      weight of an input 1 (generalised gamma rule, as in Zennit).
    - ``flat``: 1 for every input. ``w_square``: w_ij**2. ``z_box``: x_i w_ij - low_i w+_ij - high_i w-_ij, with low and
      high broadcast to x (Montavon et al. 2017, doi:10.1016/j.patcog.2016.11.008). Biases take nothing in these.

    Options are those of ``rule_parts``. ``inside``, broadcast to x, is False where x is only padding, which gets
    nothing in the last three rules either.
    """
    x, kernel, relevance = array(x), array(kernel), array(relevance)
    epsilon = 0.0 if rule == "z" else epsilon
    found, of_bias, absorbed = np.zeros(x.shape), np.zeros(len(x)), np.zeros(len(x))
    for factor, parts, constant in rule_parts(x, kernel, bias_of(bias, kernel.shape[-1]), rule, **options):
        parts = np.broadcast_to(parts, (*x.shape, kernel.shape[-1]))
        messages, taken, held = share(parts, constant, relevance, epsilon)
        found += factor * messages.sum(axis=-1)
        of_bias += factor * taken
        absorbed += factor * held
    return found, of_bias, absorbed


def windows(steps, width, padding, strides, dilation):
    """Return which timestep every tap of every output reads, (output step, width), and whether there is one."""
    reach = (width - 1) * dilation
    left = reach if padding == "causal" else 0
    count = (steps + left - reach - 1) // strides + 1
    if padding == "same":
        count = -(-steps // strides)
        left = max((count - 1) * strides + reach + 1 - steps, 0) // 2
    index = np.arange(count)[:, None] * strides + np.arange(width) * dilation - left
    inside = (index >= 0) & (index < steps)
    return np.where(inside, index, 0), inside


def unfold(x, index, inside):
    """Return the patches (sample, output step, width * channel) of x (sample, step, channel), zero in the padding."""
    return (x[:, index] * inside[..., None]).reshape(len(x), len(index), -1)


def conv1d_forward(x, kernel, bias, *, padding="valid", strides=1, dilation=1):
    x, kernel = array(x), array(kernel)
    patches = unfold(x, *windows(x.shape[1], len(kernel), padding, strides, dilation))
    return dense_forward(patches, kernel.reshape(-1, kernel.shape[-1]), bias)


def conv1d(x, kernel, bias, relevance, *, padding="valid", strides=1, dilation=1, **options):
    """Pass relevance (sample, output step, out) back to x (sample, step, in) through kernel (width, in, out).

    A convolution is a dense layer on patches, whose relevance is added up where patches overlap. Padding gets nothing:
    x is 0 there, and ``flat``, ``w_square`` and ``z_box`` count only inputs in bounds in their denominators.
    Options are those of ``dense``; low and high broadcast to x. Formulas: see ``dense``.
    """
    x, kernel = array(x), array(kernel)
    index, inside = windows(x.shape[1], len(kernel), padding, strides, dilation)
    for bound in {"low", "high"} & set(options):
        options[bound] = unfold(np.broadcast_to(array(options[bound]), x.shape), index, inside)
    flat_kernel, there = kernel.reshape(-1, kernel.shape[-1]), np.repeat(inside, x.shape[-1], axis=1)
    patches = unfold(x, index, inside)
    messages, of_bias, absorbed = dense(patches, flat_kernel, bias, relevance, inside=there, **options)
    found = np.zeros(x.shape)
    np.add.at(found, (slice(None), index), messages.reshape(len(x), *index.shape, -1) * inside[..., None])
    return found, of_bias, absorbed


# Recurrent layers


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


class SimpleRNNCell:
    """h = activation(x W + h' U + b): epsilon rule, then identity. Arras et al. 2017."""

    def __init__(self, kernel, recurrent_kernel, bias, activation=np.tanh):
        self.kernel = np.concatenate([array(kernel), array(recurrent_kernel)])
        self.bias, self.activation = bias_of(bias, self.kernel.shape[1]), activation
        self.units, self.n_states = np.shape(recurrent_kernel)[0], 1

    def forward(self, x, states):
        return [self.activation(np.concatenate([x, states[0]], axis=1) @ self.kernel + self.bias)]

    def backward(self, x, states, relevance, epsilon):
        both = np.concatenate([x, states[0]], axis=1)
        found, of_bias, absorbed = linear(both, self.kernel, self.bias, relevance[0], epsilon)
        return found[:, : x.shape[1]], [found[:, x.shape[1] :]], of_bias, absorbed


class LSTMCell(SimpleRNNCell):
    """c = f c' + i g and h = o tanh(c), with i, f, o = sigmoid(.) and g = tanh(x W + h' U + b).

    Gates get nothing and a product of gate and signal gives all to the signal; R_c += R_h, then the epsilon rule at
    c and at the pre-activation of g. Arras et al. 2017, arXiv:1706.07206.
    """

    def __init__(self, *weights, activation=np.tanh):
        super().__init__(*weights, activation=activation)
        self.n_states = 2

    def terms(self, x, states):
        z = np.split(np.concatenate([x, states[0]], axis=1) @ self.kernel + self.bias, 4, axis=1)
        return sigmoid(z[1]) * states[1], sigmoid(z[0]) * self.activation(z[2]), sigmoid(z[3])

    def forward(self, x, states):
        kept, written, output_gate = self.terms(x, states)
        return [output_gate * self.activation(kept + written), kept + written]

    def backward(self, x, states, relevance, epsilon):
        kept, written, _ = self.terms(x, states)
        (to_cell, to_signal), at_cell = add([kept, written], relevance[0] + relevance[1], epsilon)
        both, signal = np.concatenate([x, states[0]], axis=1), slice(2 * self.units, 3 * self.units)
        found, of_bias, absorbed = linear(both, self.kernel[:, signal], self.bias[signal], to_signal, epsilon)
        return found[:, : x.shape[1]], [found[:, x.shape[1] :], to_cell], of_bias, absorbed + at_cell


class GRUCell:
    """h = z h' + (1 - z) n with the gates z and r constant, and the epsilon rule at h and at the pre-activation of n.

    n = tanh(x W + b_i + r (h' U + b_r)) with ``reset_after``, else tanh(x W + (r h') U + b); r is a constant factor,
    all relevance of r h' is that of h'. Poerner et al. 2018, doi:10.18653/v1/P18-1032; the first form by
    the same principle. Weights hold z, r, h; bias is (2, 3 * units) with ``reset_after``.
    """

    def __init__(self, kernel, recurrent_kernel, bias, reset_after=True, activation=np.tanh):
        self.kernel, self.recurrent, self.reset_after = array(kernel), array(recurrent_kernel), reset_after
        self.units, self.n_states, self.activation = len(self.recurrent), 1, activation
        given = bias_of(bias, (2, 3 * self.units) if reset_after else 3 * self.units)
        self.bias, self.recurrent_bias = given if reset_after else (given, 0 * given)

    def terms(self, x, states):
        (hidden,), n = states, self.units
        gates = x @ self.kernel[:, : 2 * n] + hidden @ self.recurrent[:, : 2 * n]
        update, reset = np.split(sigmoid(gates + (self.bias + self.recurrent_bias)[: 2 * n]), 2, axis=1)
        kernel, recurrent = self.kernel[:, 2 * n :], self.recurrent[:, 2 * n :]
        factor = reset[:, None, :] if self.reset_after else reset[:, :, None]
        parts = np.concatenate([x[:, :, None] * kernel, hidden[:, :, None] * recurrent * factor], axis=1)
        bias = self.bias[2 * n :] + reset * self.recurrent_bias[2 * n :]
        new = self.activation(parts.sum(axis=1) + bias)
        return update * hidden, (1 - update) * new, parts, bias

    def forward(self, x, states):
        kept, written, _, _ = self.terms(x, states)
        return [kept + written]

    def backward(self, x, states, relevance, epsilon):
        kept, written, parts, bias = self.terms(x, states)
        (to_hidden, to_new), at_hidden = add([kept, written], relevance[0], epsilon)
        messages, of_bias, absorbed = share(parts, bias, to_new, epsilon)
        found = messages.sum(axis=-1)
        return found[:, : x.shape[1]], [to_hidden + found[:, x.shape[1] :]], of_bias, absorbed + at_hidden


def unrolled(cell, x, mask):
    """Return the states before every timestep, and after the last: a masked timestep keeps the previous ones."""
    states = [[np.zeros((len(x), cell.units))] * cell.n_states]
    for step in range(x.shape[1]):
        seen, before = mask[:, step, None], states[-1]
        pairs = zip(cell.forward(x[:, step], before), before, strict=True)
        states.append([np.where(seen, new, old) for new, old in pairs])
    return states


def in_order(x, reverse, mask):
    x = array(x)
    mask = np.ones(x.shape[:2], bool) if mask is None else np.asarray(mask, bool)
    return (x[:, ::-1], mask[:, ::-1]) if reverse else (x, mask)


def recurrent_forward(cell, x, *, return_sequences=False, reverse=False, mask=None):
    """Return the output of a cell over time: (sample, step, units) in the order of steps walked, or (sample, units)."""
    hidden = [states[0] for states in unrolled(cell, *in_order(x, reverse, mask))[1:]]
    return np.stack(hidden, axis=1) if return_sequences else hidden[-1]


def recurrent_backward(cell, x, relevance, epsilon, *, return_sequences=False, reverse=False, mask=None):
    """Walk back over the timesteps; relevance (sample, step, units) or (sample, units), x (sample, step, channel).

    mask (sample, step) is False where a timestep is left out: its relevance goes to the states before it, its input
    gets 0. Initial states are zero: relevance given to outputs that are still zero is counted with the stabiliser's.
    ``reverse`` walks from the last timestep to the first, and relevance is in the order of the steps walked, as
    ``go_backwards`` of Keras gives its outputs; the relevance returned is in the order of x.
    """
    x, mask = in_order(x, reverse, mask)
    states, relevance = unrolled(cell, x, mask), array(relevance)
    carried = [np.zeros((len(x), cell.units)) for _ in range(cell.n_states)]
    found, of_bias, absorbed = np.zeros(x.shape), np.zeros(len(x)), np.zeros(len(x))
    for step in reversed(range(x.shape[1])):
        if return_sequences or step == x.shape[1] - 1:
            carried[0] = carried[0] + (relevance[:, step] if return_sequences else relevance)
        seen = mask[:, step]
        to_x, to_states, taken, held = cell.backward(x[:, step], states[step], carried, epsilon)
        found[:, step] = np.where(seen[:, None], to_x, 0)
        carried = [np.where(seen[:, None], new, old) for new, old in zip(to_states, carried, strict=True)]
        of_bias += np.where(seen, taken, 0)
        absorbed += np.where(seen, held, 0)
    return found[:, ::-1] if reverse else found, of_bias, absorbed + sum(per_sample(state) for state in carried)


def simple_rnn(x, kernel, recurrent_kernel, bias, relevance, *, epsilon, activation=np.tanh, **options):
    """Kernel (in, units), recurrent kernel (units, units), bias (units,); the rest as in ``recurrent_backward``."""
    cell = SimpleRNNCell(kernel, recurrent_kernel, bias, activation)
    return recurrent_backward(cell, x, relevance, epsilon, **options)


def lstm(x, kernel, recurrent_kernel, bias, relevance, *, epsilon, activation=np.tanh, **options):
    """Gates i, f, c, o along the last axis, of 4 * units; the rest as in ``recurrent_backward``."""
    cell = LSTMCell(kernel, recurrent_kernel, bias, activation=activation)
    return recurrent_backward(cell, x, relevance, epsilon, **options)


def gru(x, kernel, recurrent_kernel, bias, relevance, *, epsilon, reset_after=True, activation=np.tanh, **options):
    """Gates z, r, h along the last axis, of 3 * units; the rest as in ``recurrent_backward``."""
    cell = GRUCell(kernel, recurrent_kernel, bias, reset_after, activation)
    return recurrent_backward(cell, x, relevance, epsilon, **options)


# Attention


def softmax(scores, tiny=0.0):
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / (powers.sum(axis=-1, keepdims=True) + tiny)


def softmax_rule(scores, weights, relevance):
    """R_i = e_i (R_i - a_i sum_k R_k) over the last axis: Achtibat et al. 2024, arXiv:2402.05602, proposition 3.1."""
    return scores * (relevance - weights * relevance.sum(axis=-1, keepdims=True))


def attend(scores, weights, values, relevance, epsilon, composite):
    """Pass relevance (sample, ..., query, channel) of weights @ values to the values and to the scores.

    scores and weights (sample, ..., query, key), values (sample, ..., key, channel). The epsilon rule gives
    a_qk v_kc R_qc / o_qc to each product. ``"arras"`` holds a constant (Ali et al. 2022, arXiv:2202.07304);
    ``"attnlrp"`` gives half to each factor (Achtibat et al. 2024, proposition 3.3) and takes a through the softmax.
    """
    parts = weights[..., None] * values[..., None, :, :]
    messages, _, absorbed = share(parts, np.zeros(relevance.shape), relevance, epsilon)
    if composite == "arras":
        return messages.sum(axis=-3), np.zeros(scores.shape), absorbed
    assert composite == "attnlrp"
    return messages.sum(axis=-3) / 2, softmax_rule(scores, weights, messages.sum(axis=-1) / 2), absorbed


def softmax_attention_held(weights, values, relevance, epsilon):
    """R_v = sum_q a_qk v_kc R_qc / o_qc with constant weights; shapes and source as in ``attend``."""
    weights, values, relevance = array(weights), array(values), array(relevance)
    found, _, absorbed = attend(weights, weights, values, relevance, epsilon, "arras")
    return found, np.zeros(len(values)), absorbed


def additive_scores(x, wt, wx, bh, wa, ba):
    """Return h_tk = tanh(x_t Wt + x_k Wx + bh) and e_tk = h_tk Wa + ba, as keras-self-attention has them."""
    hidden = np.tanh((x @ wt)[:, :, None] + (x @ wx)[:, None] + bias_of(bh, wt.shape[1]))
    return hidden, (hidden @ wa)[..., 0] + bias_of(ba, 1)


def multiplicative_scores(x, wa, ba):
    """Return e_tk = x_t Wa x_k + ba."""
    return x @ wa @ np.swapaxes(x, 1, 2) + bias_of(ba, 1)


def limited(scores, width, history_only, mask):
    """Take 10000 from scores that are out of reach, and from those between two masked timesteps (no others)."""
    steps = np.arange(scores.shape[-1])
    if history_only and width is None:
        width = int(1e9)
    if width is not None:
        lower = (steps - (width - 1 if history_only else width // 2))[:, None]
        scores = scores - 10000.0 * ~((lower <= steps) & (steps < lower + width))
    if mask is not None:
        out = ~np.asarray(mask, bool)
        scores = scores - 10000.0 * (out[:, :, None] & out[:, None, :])
    return scores


def additive_emission(x, wt, wx, bh, wa, ba, relevance, epsilon):
    """Pass relevance (sample, query, key) of the scores back: epsilon rule at e and at h, identity at tanh."""
    hidden, _ = additive_scores(x, wt, wx, bh, wa, ba)
    at_hidden, of_ba, absorbed = linear(hidden, wa, bias_of(ba, 1), relevance[..., None], epsilon)
    shape = (*relevance.shape, x.shape[-1])
    pairs = np.concatenate([np.broadcast_to(x[:, :, None], shape), np.broadcast_to(x[:, None], shape)], axis=-1)
    found, of_bh, held = linear(pairs, np.concatenate([wt, wx]), bias_of(bh, wt.shape[1]), at_hidden, epsilon)
    to_query, to_key = np.split(found, 2, axis=-1)
    return to_query.sum(axis=2) + to_key.sum(axis=1), of_ba + of_bh, absorbed + held


def product_emission(query, key, scale, bias, relevance, epsilon):
    """Pass relevance (sample, ..., query, key) of scale * q_t k_s + bias to q and k (sample, ..., step, channel).

    The epsilon rule over the products, half to each factor: Achtibat et al. 2024, proposition 3.3.
    """
    parts = scale * query[..., :, None, :] * key[..., None, :, :]
    messages, of_bias, absorbed = share(parts[..., None], bias, relevance[..., None], epsilon)
    messages = messages[..., 0] / 2
    return messages.sum(axis=-2), messages.sum(axis=-3), of_bias, absorbed


def multiplicative_emission(x, wa, ba, relevance, epsilon):
    """Pass relevance (sample, query, key) of (x Wa) x^T + ba back: half to x Wa, with the epsilon rule, half to x."""
    to_query, to_key, of_ba, absorbed = product_emission(x @ wa, x, 1.0, bias_of(ba, 1), relevance, epsilon)
    found, _, held = linear(x, wa, np.zeros(wa.shape[1]), to_query, epsilon)
    return found + to_key, of_ba, absorbed + held


def self_attention_forward(x, raw, *, width=None, history_only=False, mask=None, activation=None):
    """Return what SeqSelfAttention gives for x (sample, step, channel) and its scores (sample, query, key)."""
    return softmax(limited(raw if activation is None else activation(raw), width, history_only, mask)) @ array(x)


def self_attention(
    x, raw, emission, relevance, epsilon, *, composite, width=None, history_only=False, mask=None, activation=None
):
    """Attend x to itself with scores `raw`; ``emission`` passes their relevance back to x.

    The relevance of a score is e (R_a - a sum R_a) with e before 10000 is taken from it, which is a constant.
    """
    relevance = array(relevance)
    scores = raw if activation is None else activation(raw)
    weights = softmax(limited(scores, width, history_only, mask))
    found, to_scores, absorbed = attend(scores, weights, x, relevance, epsilon, composite)
    through, of_bias, held = emission(to_scores)
    return found + through, of_bias, absorbed + held


def additive_attention(x, wt, wx, bh, wa, ba, relevance, *, epsilon, composite="arras", **limits):
    """SeqSelfAttention of keras-self-attention, ``additive``: relevance (sample, step, channel), as x.

    wt and wx (channel, units), bh (units,), wa (units, 1), ba (1,). v_t = sum_k a_tk x_k with
    a = softmax(activation(e)). ``limits`` are width, history_only, mask (sample, step) and activation.
    Rules: ``attend`` and ``additive_emission``.
    """
    x, wt, wx, wa = (array(value) for value in (x, wt, wx, wa))

    def emission(relevance):
        return additive_emission(x, wt, wx, bh, wa, ba, relevance, epsilon)

    raw = additive_scores(x, wt, wx, bh, wa, ba)[1]
    return self_attention(x, raw, emission, relevance, epsilon, composite=composite, **limits)


def multiplicative_attention(x, wa, ba, relevance, *, epsilon, composite="arras", emission_epsilon=None, **limits):
    """SeqSelfAttention of keras-self-attention, ``multiplicative``: e = x Wa x^T + ba, wa (channel, channel), ba (1,).

    ``emission_epsilon`` stabilises e and x Wa; None takes epsilon there too. The rest as in ``additive_attention``.
    """
    x, wa = array(x), array(wa)
    emission_epsilon = epsilon if emission_epsilon is None else emission_epsilon

    def emission(relevance):
        return multiplicative_emission(x, wa, ba, relevance, emission_epsilon)

    raw = multiplicative_scores(x, wa, ba)
    return self_attention(x, raw, emission, relevance, epsilon, composite=composite, **limits)


def weighted_weights(x, w, b, mask=None, tiny=1e-7):
    """Return scores and weights (sample, 1, step) of SeqWeightedAttention; tiny is the epsilon of its Keras."""
    scores = np.swapaxes(array(x) @ array(w), 1, 2) + bias_of(b, 1)
    shift = 0.0 if mask is None else 10000.0 * ~np.asarray(mask, bool)[:, None]
    return scores, softmax(scores - shift, tiny)


def weighted_attention(x, w, b, relevance, *, epsilon, composite="arras", mask=None, tiny=1e-7):
    """SeqWeightedAttention of keras-self-attention: v = sum_t a_t x_t with a = softmax_t(x w + b).

    x (sample, step, channel), w (channel, 1), b (1,), relevance (sample, channel). Rules: ``attend``, and the epsilon
    rule at the scores. The weights sum to a little less than 1, by `tiny`; the softmax rule does not know of it.
    """
    x, w, relevance = array(x), array(w), array(relevance)
    scores, weights = weighted_weights(x, w, b, mask, tiny)
    found, to_scores, absorbed = attend(scores, weights, x, relevance[:, None], epsilon, composite)
    through, of_bias, held = linear(x, w, bias_of(b, 1), np.swapaxes(to_scores, 1, 2), epsilon)
    return found + through, of_bias, absorbed + held


def projected(x, kernel, bias):
    """Return x (sample, step, in) @ kernel (in, heads, dim) + bias (heads, dim) as (sample, heads, step, dim)."""
    return np.einsum("sti,ihd->shtd", array(x), array(kernel)) + bias_of(bias, kernel.shape[1:])[:, None]


def back_projected(x, kernel, bias, relevance, epsilon):
    """Pass relevance (sample, heads, step, dim) of ``projected`` back with the epsilon rule."""
    relevance = np.moveaxis(relevance, 1, 2).reshape(*np.shape(x)[:2], -1)
    flat = array(kernel).reshape(len(kernel), -1)
    return linear(array(x), flat, bias_of(bias, kernel.shape[1:]).reshape(-1), relevance, epsilon)


def multi_head_weights(query, key, weights, mask=None):
    """Return scores q k / sqrt(dim), before masks, and their softmax: (sample, heads, query, key)."""
    q, k = (projected(x, weights[n + "_kernel"], weights.get(n + "_bias")) for n, x in [("query", query), ("key", key)])
    scores = q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])
    shift = 0.0 if mask is None else 1e9 * ~np.asarray(mask, bool)
    return scores, softmax(scores - (shift if np.ndim(shift) < 3 else shift[:, None]))


def multi_head_attention_forward(query, key, value, weights, mask=None):
    _, attention = multi_head_weights(query, key, weights, mask)
    joined = attention @ projected(value, weights["value_kernel"], weights.get("value_bias"))
    out = np.einsum("shtd,hdo->sto", joined, array(weights["output_kernel"]))
    return out + bias_of(weights.get("output_bias"), out.shape[-1])


def multi_head_attention_parts(
    query, key, value, weights, relevance, *, epsilon, composite="arras", attention_epsilon=0.0, mask=None
):
    """MultiHeadAttention of Keras; the relevance returned is that of (query, key, value), each (sample, step, in).

    weights holds query_kernel, key_kernel, value_kernel (in, heads, dim), output_kernel (heads, dim, out) and their
    biases (heads, dim), (out,); a bias may be missing. mask (sample, query, key) or (query, key) is False where a key
    is out. relevance (sample, query, out). The projections have the epsilon rule; `attention_epsilon` stabilises the
    sums over keys and the scores. Rules: ``attend`` and, with ``"attnlrp"``, ``product_emission``; with ``"arras"``
    query and key, and the biases of their projections, get nothing.
    """
    names, inputs = ("query", "key", "value"), (array(query), array(key), array(value))
    given = [(x, weights[name + "_kernel"], weights.get(name + "_bias")) for name, x in zip(names, inputs, strict=True)]
    q, k, v = (projected(*one) for one in given)
    scores, attention = multi_head_weights(query, key, weights, mask)
    joined = np.moveaxis(attention @ v, 1, 2)
    kernel = array(weights["output_kernel"])
    flat, bias = kernel.reshape(-1, kernel.shape[-1]), bias_of(weights.get("output_bias"), kernel.shape[-1])
    at_joined, of_bias, absorbed = linear(joined.reshape(*joined.shape[:2], -1), flat, bias, array(relevance), epsilon)
    at_joined = np.moveaxis(at_joined.reshape(joined.shape), 2, 1)
    to_v, to_scores, held = attend(scores, attention, v, at_joined, attention_epsilon, composite)
    scale = 1 / np.sqrt(q.shape[-1])
    to_q, to_k, _, at_scores = product_emission(q, k, scale, np.zeros(1), to_scores, attention_epsilon)
    back = [back_projected(*one, to, epsilon) for one, to in zip(given, (to_q, to_k, to_v), strict=True)]
    of_bias = of_bias + sum(one[1] for one in back)
    return tuple(one[0] for one in back), of_bias, absorbed + held + at_scores + sum(one[2] for one in back)


def multi_head_attention(x, weights, relevance, **options):
    """Attend x (sample, step, in) to itself; options as in ``multi_head_attention_parts``, relevance added up."""
    parts, of_bias, absorbed = multi_head_attention_parts(x, x, x, weights, relevance, **options)
    return sum(parts), of_bias, absorbed


# Normalisation


def layer_norm_forward(x, gamma, beta, norm_epsilon):
    x = array(x)
    deviation = np.sqrt(x.var(axis=-1, keepdims=True) + norm_epsilon)
    return (x - x.mean(axis=-1, keepdims=True)) / deviation * array(gamma) + array(beta)


def layer_norm(x, gamma, beta, norm_epsilon, relevance, *, epsilon=0.0):
    """y_j = sum_i x_i (1[i=j] - 1/n) gamma_j / std + beta_j with constant std: Ali et al. 2022, arXiv:2202.07304.

    x and relevance (sample, ..., n), gamma and beta (n,); the bias ledger holds the share of beta.
    """
    x, n = array(x), np.shape(x)[-1]
    deviation = np.sqrt(x.var(axis=-1, keepdims=True) + norm_epsilon)
    parts = x[..., :, None] * (np.eye(n) - 1 / n) * array(gamma) / deviation[..., None]
    messages, of_bias, absorbed = share(parts, array(beta), array(relevance), epsilon)
    return messages.sum(axis=-1), of_bias, absorbed


def batch_norm(x, gamma, beta, mean, variance, norm_epsilon, relevance, *, epsilon=0.0):
    """y = x scale + shift in inference: R = x scale R / y, the rest to the bias; all but x (sample, ..., n) are (n,).

    scale = gamma / sqrt(variance + norm_epsilon), shift = beta - mean scale. The z rule of Bach et al. 2015.
    """
    scale = array(gamma) / np.sqrt(array(variance) + norm_epsilon)
    parts = (array(x) * scale)[..., None, :]
    messages, of_bias, absorbed = share(parts, array(beta) - array(mean) * scale, array(relevance), epsilon)
    return messages[..., 0, :], of_bias, absorbed
