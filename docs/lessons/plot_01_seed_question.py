"""
What does my LSTM attend to?
============================

"I trained an LSTM with keras-self-attention for time series forecasting. How do I see what it attends to, now that the
model is trained?"

This page walks through the question with a model of that shape and data whose answer is known. The model is trained as
usual, without any thought of explaining it. Everything after that only reads it.

Data with a known answer
------------------------

Ten days of hourly measurements in four channels, standardised. All of them are noise, but for one thing: in hours 150
to 169 there is a wet or dry spell of random strength, and the river level to forecast *is* that strength. So all that
there is to know stands in ``rain``, hours 150 to 169.
"""

import numpy as np
import xarray as xr
from keras_self_attention import SeqSelfAttention, SeqWeightedAttention
from tensorflow import keras

import attrkit

N, T = 640, 240
CHANNELS = ["temperature", "rain", "wind", "pressure"]
rng = np.random.default_rng(0)
strength = rng.uniform(-2, 2, N).astype("float32")
values = 0.3 * rng.normal(size=(N, T, 4)).astype("float32")
values[:, 150:170, 1] += strength[:, None]

dims = ("sample", "timestep", "channel")
x = xr.DataArray(values, dims=dims, coords={"channel": CHANNELS})
train, test = slice(0, 384), slice(512, None)

# %%
# The model
# ---------
#
# An LSTM that returns its sequence, self-attention, and a dense layer over all timesteps. ``return_attention`` is
# not set; in a ``Sequential`` model it could not be.

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.layers.Input((T, 4)),
        keras.layers.LSTM(60, return_sequences=True),
        SeqSelfAttention(attention_activation="sigmoid"),
        keras.layers.Flatten(),
        keras.layers.Dense(1),
    ]
)
model.compile(keras.optimizers.Adam(3e-3), "mse", jit_compile=False)
model.fit(values[train], strength[train], batch_size=16, verbose=0)

error = model.predict(values[test], verbose=0)[:, 0] - strength[test]
explained_variance = 1 - error.var() / strength[test].var()
print(f"variance explained on series it has not seen: {explained_variance:.2f}")

# %%
# The attention weights
# ---------------------
#
# The layer has computed its weights in every forward pass. They are read while the model runs; nothing is rebuilt or
# trained again. The inputs are a labelled array here, and a plain one of shape (sample, timestep, channel) would do.

explained = x.isel(sample=[512, 513, 514, 515])
attention = attrkit.extract(model, explained, "attention", show_progress=False)
print(attention["attention"].dims)

# %%
# An `attrkit.errors.AttentionWarning` came with it: the rows are flat. Each row says how one hour, the query,
# spreads its attention over all hours, the keys; flat means evenly. Here that is built in:
# ``attention_activation="sigmoid"`` squeezes the scores between 0 and 1 before the softmax, so in a row no weight is
# more than *e* = 2.72 times another.

attrkit.plot.attention(attention, samples=[0, 1])

# %%
# The scale starts at zero, so flat attention is one shade of blue. With 240 keys an even share is 1/240 = 0.0042.
# ``attention_entropy`` says it in one number for each sample, which is 1 for rows that are perfectly flat.

weights = attention["attention"]
print(f"smallest and largest weight: {weights.min():.4f}, {weights.max():.4f}")
print(f"entropy over its maximum:    {attention['attention_entropy'].mean():.4f}")

# %%
# Attention, gradient and integrated gradients side by side
# ---------------------------------------------------------
#
# One value for each hour needs a choice: which queries? The model flattens all of them, so their mean is fair. The
# choice is an option with a name and is recorded in the result.
#
# The gradient says how fast the forecast changes with each value. Integrated gradients share out the difference
# between this forecast and the one for a baseline: here 0, the mean of every channel.

tree = attrkit.compare(
    model,
    explained,
    {
        "attention": ("attention", {"reduce": "mean"}),
        "gradient": "gradient",
        "integrated gradients": ("integrated_gradients", {"n_steps": 16}),
    },
    show_progress=False,
)
attrkit.plot.heatmap(tree, samples=[0, 1])

# %%
# Attention has one row, because it has no channels: a weight belongs to an hour of the LSTM's output, where all four
# channels are mixed. The other two agree that ``rain`` is what counts, and differ about *when*. The gradient is a
# slope, and it is about the same at all hours: the model has learned to add up all rain, for no other rain in these
# data would have made that a mistake. Integrated gradients multiply by what the series did, so the spell stands out.
#
# Those are facts about the model, not about the world. The data told us the answer, so they can be counted. The share
# of each result that lies on hours 150 to 169:

profiles = abs(attrkit.stack(tree, channels="abs_sum"))
spell = slice(150, 169)
in_spell = profiles.sel(timestep=spell).sum("timestep") / profiles.sum("timestep")
for name, share in in_spell.mean("sample").to_series().items():
    print(f"{name:22}{share:6.1%}   (even share: {20 / 240:.1%})")

# %%
# And the share that lies on ``rain``, where a method has channels:

for name in ("gradient", "integrated gradients"):
    size = abs(tree[name]["attribution"])
    share = size.sel(channel="rain").sum() / size.sum()
    print(f"{name:22}{share:6.1%}   (even share: 25.0%)")

# %%
# Integrated gradients must add up to the change of the forecast. What they miss is in the result, for every sample:

print(tree["integrated gradients"]["completeness_gap"].values)

# %%
# What the layers put out
# -----------------------
#
# The original answer to this question plots layer outputs. A layer is found by its name or a part of it. One panel a
# unit, one curve a sample:

outputs = attrkit.layer_outputs(model, explained, "lstm")
attrkit.plot.curves(outputs, samples=[0, 1], channels=list(range(12)))

# %%
# They show what the layer *computes*. They do not show what the forecast *depends on*: a unit may move much and be
# ignored by what comes after.
#
# Weighted attention
# ------------------
#
# ``SeqWeightedAttention`` has one weight for each timestep and no queries. Its scores are not squeezed, so its rows
# need not be flat. Beside it stands occlusion: what the forecast loses when ten hours of one channel are replaced by 0.
# It needs no gradient, and so it does not mind that this model reacts to rain by a jump rather than a slope.

keras.utils.set_random_seed(0)
weighted_model = keras.Sequential(
    [
        keras.layers.Input((T, 4)),
        keras.layers.LSTM(60, return_sequences=True),
        SeqWeightedAttention(),
        keras.layers.Dense(1),
    ]
)
weighted_model.compile(keras.optimizers.Adam(3e-3), "mse", jit_compile=False)
weighted_model.fit(values[:512], strength[:512], epochs=4, batch_size=32, verbose=0)

weighted = attrkit.compare(
    weighted_model,
    explained,
    {"attention": "attention", "occlusion": ("occlusion", {"window": 10})},
    show_progress=False,
)
attrkit.plot.overlay(weighted, samples=0, kind="background")

# %%
# Both are right, and they answer different questions. The forecast depends on ``rain`` during the spell. The attention
# rises with the spell and stays up after it, when nothing happens any more. The LSTM carries what it saw along in its
# state: a weight on hour 200 is about the LSTM's output at hour 200, not about the weather at hour 200.
#
# Mind the scale, too: every column is divided by its own largest value. In multiples of an even share the weights
# differ little, and attrkit warns of flat rows here as well.

weights = weighted["attention"]["attention"] * T
stretches = {"before": slice(0, 149), "during": spell, "after": slice(170, None)}
for name, hours in stretches.items():
    print(f"{name:8}{weights.sel(key_timestep=hours).mean():.2f}")

# %%
# The histogram of the weights says at a glance whether the layer chooses:

attrkit.plot.hist(weighted["attention"], bins=60)

# %%
# What attention says, and what it does not
# -----------------------------------------
#
# * It says how much of each step's features the layer mixed into its output. It has no channels and no sign, and says
#   nothing of what the rest of the model does with the mixture. It is not attribution.
# * With one timestep every weight is 1, whatever the model learned. If all your weights are 1, look at the shape of
#   your inputs: (sample, 1, channel) has its time on the channel axis. attrkit warns.
# * With padding, ``SeqSelfAttention`` lets real timesteps attend to padded ones. attrkit reports how much, as
#   ``attention_on_padding``.
# * Where attention and attribution disagree, that is a finding about the model. :doc:`/reading_attention` has more.
#
# The answer that many found under this question comes with helper functions, which later became the package see-rnn:
# :doc:`/coming_from/see_rnn` says what to call instead.
