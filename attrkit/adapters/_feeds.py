"""What one pass of a model gets, and how what is fed to a layer comes to stand there."""

import functools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from attrkit.adapters.terms import LAYER, Call, Feed, Reader


def rows_of(feed: Feed) -> int:
    """Return how many rows the batch of a feed has."""
    return len(next(iter(feed.values())))


def with_imposed(
    feed: Mapping[str, Any], readers: Mapping[str, Reader], imposed: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Reader]:
    """Return the readers, and one for each layer that is fed; a layer may have both.

    ``imposed`` says what of the feed is not a layer's output, as `Question.imposed` does.
    """

    def impose(values: Any, function: Callable[[Call, Any], Any], reader: Reader | None) -> Reader:
        def stand_in(call: Call) -> tuple[Any, Any]:
            @functools.wraps(call.original)
            def own(*args: Any, **kwargs: Any) -> Any:
                return function(call._replace(args=args, kwargs=kwargs), values)

            return (own(*call.args, **call.kwargs), {}) if reader is None else reader(call._replace(original=own))

        return stand_in

    fed = {key: values for key, values in feed.items() if key.startswith(LAYER)}
    found = dict(readers)
    for key, values in fed.items():
        path, function = imposed.get(key, (key.removeprefix(LAYER), _in_its_place))
        found[path] = impose(values, function, found.get(path))
    return found


def _in_its_place(call: Call, values: Any) -> Any:
    return values
