"""Names that Keras makes up for layers: ``dense``, ``dense_1`` and so on, counted through a whole process."""

import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def names_anew() -> Iterator[None]:
    """Let Keras count from the start in the block, so that one function gives the same names each time it is called.

    Afterwards it goes on where it was before the block.
    """
    state = sys.modules.get("keras.src.backend.common.global_state")
    counted = None if state is None else state.get_global_attribute("object_name_uids")
    backends = [sys.modules.get(name) for name in ("keras.src.backend", "tf_keras.src.backend")]
    by_graph = [getattr(backend, "PER_GRAPH_OBJECT_NAME_UIDS", {}) for backend in backends]
    kept = [dict(names) for names in by_graph]
    if state is not None:
        state.set_global_attribute("object_name_uids", defaultdict(int))
    for names in by_graph:
        names.clear()
    try:
        yield
    finally:
        if state is not None:
            state.set_global_attribute("object_name_uids", counted)
        for names, before in zip(by_graph, kept, strict=True):
            names.clear()
            names.update(before)
