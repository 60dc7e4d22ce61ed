"""
Relevance on the series itself
==============================

The input as it was, with its dates, coloured by relevance. Use it to show readers who know the series where the model
looked. An extractor with channels colours the line; one without shades the background of all channels alike, and says
so. Look for colour where the series does something.
"""

import numpy as np
import pandas as pd

import attrkit

rng = np.random.default_rng(0)
dates = pd.date_range("2025-03-01", periods=60, name="date")
day = np.arange(60)
rain = rng.gamma(0.4, 6, size=60) * (rng.random(60) < 0.4)
level = pd.Series(rain).ewm(halflife=4).mean().to_numpy() + 1
frame = pd.DataFrame(
    {"rain": rain, "temperature": 8 + 0.1 * day + 2 * rng.normal(size=60), "level": level}, index=dates
)

recency = np.exp((day - 59) / 12)
centred = (frame - frame.mean()) / frame.std()
attribution = centred.to_numpy() * recency[:, None] * [1.0, 0.1, 0.6]

tree = attrkit.from_arrays({"input x gradient": attribution[None], "attention": recency[None]}, inputs=frame)
attrkit.plot.overlay(tree)

# %%
# One channel, and the background for an extractor that does have channels:

attrkit.plot.overlay(tree["input x gradient"], channels="rain", kind="background")
