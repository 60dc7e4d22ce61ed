"""Results to make pages of, and what can be read out of a page without a browser."""

import base64
import gzip
import json
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import xarray as xr

from attrkit.schema import build

SCRIPT = "<script>alert(1)</script>"


def results(n_samples=3, n_steps=24, n_channels=4, n_extractors=3, *, heads=0, channels=None, seed=0):
    """Attention, an extractor without channels, and others with; every second sample begins with padding."""
    rng = np.random.default_rng(seed)
    names = channels or [f"channel_{i}" for i in range(n_channels)]
    coords = {
        "sample": [f"window {i}" for i in range(n_samples)],
        "timestep": pd.date_range("2012-01-01", periods=n_steps, freq="h"),
        "channel": names,
    }
    x = rng.normal(size=(n_samples, n_steps, len(names))) + 1000 * np.arange(len(names))
    inputs = xr.DataArray(x, coords, ("sample", "timestep", "channel"))
    mask = np.ones((n_samples, n_steps), bool)
    mask[1::2, : n_steps // 6] = False
    shape = (n_samples, heads, n_steps, n_steps) if heads else (n_samples, n_steps, n_steps)
    weights = np.where(mask.reshape(n_samples, *(1,) * (len(shape) - 2), n_steps), rng.random(shape) ** 4, 0)
    weights /= weights.sum(axis=-1, keepdims=True)
    prediction = xr.DataArray(rng.normal(size=n_samples), dims="sample")
    shared = {"mask": mask, "prediction": prediction}
    found = {"attention": build({"attention": weights, **shared}, inputs=inputs, attrs={"method": "attention"})}
    found["occlusion"] = build(
        {"attribution": rng.normal(size=(n_samples, n_steps)), **shared}, inputs=inputs, attrs={"method": "occlusion"}
    )
    for i in range(n_extractors - 2):
        values = 10.0**i * rng.normal(size=x.shape)
        # On padding: it must not reach any range.
        values[1::2, 0] = 1e6
        found[f"gradient {i}"] = build({"attribution": values, **shared}, inputs=inputs, attrs={"method": "gradient"})
    return xr.DataTree.from_dict(found)


class _Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts, self.data, self._inside = [], [], "", []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop()[0] != tag:
            pass

    def handle_data(self, text):
        tag, attrs = self._inside[-1] if self._inside else ("", {})
        if attrs.get("id") == "data":
            self.data += text
        elif tag not in ("script", "style"):
            self.texts.append(text)


class Page:
    """A page that was written: its tags, its text, and the numbers it holds."""

    def __init__(self, path):
        self.html = path.read_text(encoding="utf-8")
        self.size = path.stat().st_size
        reader = _Reader()
        reader.feed(self.html)
        self.tags = reader.tags
        self.text = " ".join(" ".join(reader.texts).split())
        self.data = json.loads(reader.data)

    def sample(self, i):
        """Series, strips and matrices of a sample, each of shape (row, step)."""
        head, packed = self.data["head"], gzip.decompress(base64.b64decode(self.data["samples"][i]))
        size, offset = head["axes"][head["steps"][0]]["size"], 0

        def take(shape, dtype):
            nonlocal offset
            array = np.frombuffer(packed, dtype, int(np.prod(shape)), offset).reshape(shape)
            offset += array.nbytes
            return array

        series = None if head["lanes"] is None else take((len(head["lanes"]), size), "<f4")
        strips = [take((strip["rows"], size), "<f4") for strip in head["strips"]]
        matrices = []
        for matrix in head["matrices"]:
            shape = tuple(head["axes"][matrix[name][0]]["size"] for name in ("queries", "keys"))
            codes = take(shape, np.uint8)
            matrices.append(np.where(codes == 255, np.nan, matrix["tops"][i] * (codes / 254) ** 2))
        assert offset == len(packed)
        return series, strips, matrices

    def axis(self, place):
        """Edges, first and last steps of an axis."""
        size = self.data["head"]["axes"][place]["size"]
        numbers = np.frombuffer(gzip.decompress(base64.b64decode(self.data["axes"][place])), "<f8")
        return np.split(numbers, [size + 1, 2 * size + 1])
