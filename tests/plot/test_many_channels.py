import numpy as np
import pytest
import xarray as xr

from attrkit import plot
from attrkit.schema import build

EACH = [1, 7, 12, 240]
# Attention has no channels, whatever the input has.
COUNTS = {"heatmap": EACH, "curves": EACH, "hist": EACH, "overlay": EACH, "attention": [240]}
PANELS = {"curves": lambda n: n, "hist": lambda n: n, "overlay": lambda n: min(n, 12)}
OPTIONS = {"hist": {"by": "channel", "bins": 5}}


def data(n):
    values = np.random.default_rng(n).normal(size=(1, 9, n))
    x = xr.DataArray(values, dims=("sample", "timestep", "channel"))
    weights = np.full((1, 9), 1 / 9)
    return build({"attribution": values, "attention": weights}, inputs=x, attrs={"method": "gradient"})


@pytest.mark.parametrize(("name", "n"), [(name, n) for name, counts in COUNTS.items() for n in counts])
def test_any_number_of_channels_is_drawn(name, n, tmp_path):
    drawn = getattr(plot, name)(data(n), **OPTIONS.get(name, {}))
    assert drawn.axes.size == PANELS.get(name, lambda n: 1)(n)
    # Each of the formats draws all panels once more, and 240 of them take seconds.
    suffixes = [".png", ".pdf"] if n < 240 else [".png"]
    written = drawn.save([tmp_path / f"a{suffix}" for suffix in suffixes], dpi=40)
    assert all(path.stat().st_size > 1500 for path in written)
    # A figure is no wider and no higher than a page.
    width, height = drawn.figure.get_size_inches()
    assert width <= 7.01
    assert height <= 10


@pytest.mark.parametrize("name", COUNTS)
def test_one_timestep_is_drawn(name, tmp_path):
    ds = data(2).isel(timestep=slice(1), key_timestep=slice(1))
    getattr(plot, name)(ds).save(tmp_path / "a.png", dpi=30)
