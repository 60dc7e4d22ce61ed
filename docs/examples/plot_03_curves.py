"""
Curves, a panel for each channel
================================

A curve for each sample. Use it to read off sizes and times, which colours only hint at. There is one y axis for all
panels, so that a channel that matters little looks like it. Panels are small when there are many; beyond 240 the rest
is left out, and the note above the panels says how many.
"""

import numpy as np
import xarray as xr

import attrkit

rng = np.random.default_rng(0)
names = [f"sensor {i + 1}" for i in range(36)]
x = xr.DataArray(rng.normal(size=(3, 96, 36)), dims=("sample", "time", "feature"), coords={"feature": names})
size = rng.gamma(0.6, size=36)
when = rng.uniform(0, 96, size=36)
values = size * np.exp(-(((np.arange(96)[:, None] - when) / 8) ** 2)) * (1 + 0.3 * rng.normal(size=(3, 96, 36)))

ds = attrkit.from_arrays({"integrated gradients": values}, inputs=x)["integrated gradients"].to_dataset()
attrkit.plot.curves(ds)

# %%
# Named channels, the first 60 timesteps, and a y axis for each panel. Channels are chosen by label; here
# the four that hold most there:

total = abs(ds["attribution"].sel(timestep=slice(0, 59))).sum(["sample", "timestep"])
top = ds["channel"].values[np.argsort(-total.values)[:4]].tolist()
attrkit.plot.curves(ds, channels=top, max_timesteps=60, share_y=False, n_cols=2)
