"""
Quick start
===========

You have a trained model and want to know what it looks at. This page needs an hour: a model that forecasts the
weather, four ways to ask it, how to look at the answers, and how far to trust them.

.. code-block:: console

   $ pip install '.[demo,metrics,report]'                   # from a clone, for a Keras model
   $ pip install '.[torch,metrics,report]' vega-datasets    # for a torch model, and the data of this page

A model
-------

Yours is trained already: go on with the next section. This one stands in for it. It sees 14 days of four measurements
in Seattle, standardised, and forecasts the highest temperature of the next day.
"""

import attrkit

frame = attrkit.datasets.seattle_weather()
scaled = (frame - frame.mean()) / frame.std()
x = attrkit.windows(scaled.iloc[:-1], 14).astype("float32")  # (sample, timestep, channel), with dates and names
y = scaled["temp_max"].to_numpy()[14:].astype("float32")
print(dict(x.sizes), x["channel"].values.tolist())

# %%

from tensorflow import keras

keras.utils.set_random_seed(0)
days = keras.Input((14, 4))
states = keras.layers.LSTM(16, return_sequences=True, name="lstm")(days)
mixed = keras.layers.AdditiveAttention(name="attention")([states, states])
pooled = keras.layers.GlobalAveragePooling1D()(mixed)
model = keras.Model(days, keras.layers.Dense(1, name="forecast")(pooled))
model.compile(keras.optimizers.Adam(0.01), "mse")
model.fit(x.values, y, epochs=5, verbose=0)
error = model.predict(x.values, verbose=0)[:, 0] - y
print(f"variance explained: {1 - error.var() / y.var():.2f}")

# %%
# The same with torch, in place of the block above. Everything below is word for word the same: ``model`` may be the
# module.
#
# .. literalinclude:: /lessons/torch_model.py
#
# Ask
# ---
#
# ``inputs`` may be a bare array of shape (sample, timestep, channel). These are labelled, so that the answers have
# dates and names. Twelve windows, one a month, of the last year:

explained = x.isel(sample=slice(-360, None, 30))

tree = attrkit.compare(
    model,
    explained,
    {
        "attention": ("attention", {"reduce": "mean"}),
        "gradient": "gradient",
        "integrated gradients": "integrated_gradients",
        "occlusion": "occlusion",
    },
    show_progress=False,
)
tree["gradient"].to_dataset()

# %%
# Every answer is such an xarray ``Dataset``, with the inputs, the predictions, and what was run. Each name given to
# ``compare`` is a method, or a method with its options. ``reduce="mean"`` makes one value a day of the matrix of
# attention weights, the mean over all days that attend; that is a choice, and so it has to be said.
# :doc:`/choosing` says what each method answers.

ds = tree["integrated gradients"].to_dataset()
for name in ("method", "method_options", "baseline", "target", "gradient_evaluations"):
    print(f"{name:21}{ds.attrs[name]}")

# %%
# Look
# ----
#
# The first window and the last, named by their labels. A row is a measurement, a column a day; attention has no
# channels, and so has one row.

attrkit.plot.heatmap(tree, samples=explained["sample"].values[[0, -1]])

# %%
# What the answers have in common over all windows: the mean over samples, with intervals, along days and channels.

attrkit.plot.profile(tree)

# %%
# Doubt
# -----
#
# **Does it add up?** Integrated gradients share out the difference between this forecast and the one for the baseline,
# here the mean of every measurement. What they miss is in the result, beside what there was to share out:

change = ds["prediction"] - ds["baseline_prediction"]
print(f"largest gap:         {float(abs(ds['completeness_gap']).max()):.1e}")
print(f"mean size of change: {float(abs(change).mean()):.2f}")

# %%
# **Do the answers agree?** Kendall's tau over the days of each window, mean over windows. 1 is the same ranking, 0 is
# what chance gives.

agreement = attrkit.metrics.agreement(tree, channels="abs_sum")
agreement["kendall_tau"].mean("sample").to_pandas().round(2)

# %%
# **Are they faithful?** If the days ranked first are taken out, the forecast should move more than if random days are.
# Taken out means here: replaced by the mean.

faithful = attrkit.metrics.faithfulness(model, tree, channels="abs_sum", operator="mean")
faithful["aopc_comprehensiveness"].mean("sample").to_pandas().round(3)

# %%
# Attention weights say how the layer mixes days, not how the forecast depends on them: :doc:`/reading_attention`. With
# one model and twelve windows all of this is an impression; :doc:`/studies` makes a study of it.
#
# Go on
# -----
#
# By label, with xarray: which days of the window matter, by what was measured?

size = abs(ds["attribution"]).mean("sample")
size.sel(channel="temp_max").to_pandas().round(3)

# %%
# To a file, to a figure, to a page that can be sent:
#
# .. code-block:: python
#
#    attrkit.save(tree, "explained.zarr")                     # attrkit.load reads it back
#    attrkit.plot.heatmap(tree).save("heatmap.pdf")
#    attrkit.report(tree, "report.html")
#
# * An LSTM with keras-self-attention, and what its attention does not say: :doc:`plot_01_seed_question`.
# * Your inputs are padded, several, text, or DataFrames: :doc:`/inputs`.
# * You know Captum, iNNvestigate, SHAP or see-rnn: :doc:`/coming_from/index`.
