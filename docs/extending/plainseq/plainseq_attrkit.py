"""Models of plainseq for attrkit."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import plainseq

from attrkit.adapters.base import Adapter
from attrkit.adapters.terms import Call, Feed, Layer, PathRows, Reader, Readings
from attrkit.errors import RefusedError
from attrkit.inputs import Input

# A model whose class, or a class that it inherits from, comes from one of these modules is taken.
HANDLES = ("plainseq",)


def adapt(model: Any) -> Adapter:
    """Return the adapter of a model of plainseq."""
    return PlainSequence(model)


class PlainSequence(Adapter):
    """A ``plainseq.Model``."""

    framework = "plainseq"
    computes_in_numpy = True

    # ---- what the model is ------------------------------------------------------------------------------------

    @property
    def inputs(self) -> tuple[Input, ...]:
        # Any number of timesteps; arrays become double precision, in which plainseq computes.
        return (Input("x", (None, self.model.n_channels), "float64"),)

    @property
    def precision(self) -> float:
        return 1e-10

    def describe(self) -> dict[str, str]:
        return {"framework": "plainseq", "framework_version": plainseq.__version__, "model": "Model"}

    def layers(self) -> list[Layer]:
        return [Layer(path, type(layer).__name__, layer) for path, layer in self.model.layers.items()]

    # ---- one forward pass -------------------------------------------------------------------------------------

    def _forward(
        self, feed: Mapping[str, np.ndarray], readers: Mapping[str, Reader], training: bool
    ) -> tuple[dict[str, np.ndarray], Readings]:
        (values,) = feed.values()
        found: Readings = {}
        for path, layer in self.model.layers.items():
            if path in readers:
                # A reader runs the layer in its own way and returns its output, and what it has read.
                values, read = readers[path](Call(layer, layer.forward, (values,), {}))
                if read is not None:
                    found.setdefault(path, []).append(read)
            else:
                values = layer.forward(values)
        # Refuses logits=True, for no softmax is seen here; a function given as target is called.
        return {"output": self._asked(values, ())}, found

    @contextmanager
    def _state_restored(self) -> Iterator[None]:
        # A pass changes nothing of the model.
        yield

    def _predict(self, feed: Feed, way: str) -> list[tuple[str, np.ndarray]]:
        return list(self._forward(feed, {}, False)[0].items())

    def _read(
        self, feed: Feed, readers: Mapping[str, Reader], training: bool, way: str
    ) -> tuple[list[tuple[str, np.ndarray]], Readings]:
        named, found = self._forward(feed, readers, training)
        return list(named.items()), found

    # ---- gradients, summed along a path -----------------------------------------------------------------------

    def _path_begin(self, x: Feed, baseline: Feed, context: Feed, n_sums: int) -> Any:
        if self.question.head is not None:
            raise RefusedError("plainseq has no slopes of a function given as target; name an output by its index")
        (x_values,), (start,) = x.values(), baseline.values()
        return x_values, start, np.zeros((len(x_values), n_sums, *x_values.shape[1:]))

    def _path_add(self, sums: Any, rows: PathRows, way: str) -> Any:
        x, start, totals = sums
        # A row is one sample at one point of its path.
        alpha = rows.alpha[:, None, None]
        points = start[rows.sample] + alpha * (x[rows.sample] - start[rows.sample])
        if rows.noise is not None:
            (noise,) = rows.noise.values()
            points = points + noise
        # Forward, with what went into each layer and what came out.
        values, seen = points, []
        for layer in self.model.layers.values():
            before, values = values, layer.forward(values)
            seen.append((layer, before, values))
        # And back, from the output of each row that is explained.
        slopes = np.zeros(values.shape)
        slopes[np.arange(len(slopes)), rows.target] = 1
        for layer, before, after in reversed(seen):
            slopes = layer.backward(before, after, slopes)
        # Several rows may be of one sample: add.at adds all of them.
        totals = totals.copy()
        np.add.at(totals, rows.sample, rows.weight[:, :, None, None] * slopes[:, None])
        return (x, start, totals), values

    def _path_end(self, sums: Any) -> Feed:
        return {"x": sums[2]}
