"""SavedModel folders: programs made of TensorFlow operations."""

import json
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from attrkit.errors import MissingDependencyError, RefusedError, StoreError
from attrkit.models import keras as keras_files

# A SavedModel runs no Python of its own, but these operations reach out of it: they call Python, write or read files.
# Whatever a model needs of its own folder, its weights and vocabularies, the loader reads for it.
REACHING_OUT = frozenset(
    {
        *("PyFunc", "PyFuncStateless", "EagerPyFunc"),
        *("WriteFile", "PrintV2", "Save", "SaveSlices", "SaveV2", "MergeV2Checkpoints", "DumpTensor"),
        *("CreateSummaryFileWriter", "CreateSummaryDbWriter", "DebugIdentity", "DebugIdentityV2", "DebugIdentityV3"),
        *("ReadFile", "MatchingFiles", "TextLineDataset", "TFRecordDataset", "TFRecordDatasetV2", "LoadDataset"),
        *("FixedLengthRecordDataset", "FixedLengthRecordDatasetV2", "SaveDataset", "SaveDatasetV2", "SnapshotDataset"),
        *("WholeFileReader", "WholeFileReaderV2", "TextLineReader", "TextLineReaderV2", "TFRecordReader"),
        *("TFRecordReaderV2", "FixedLengthRecordReader", "FixedLengthRecordReaderV2", "LMDBDataset", "SqlDataset"),
    }
)


def load_saved_model(source: Path, *, custom_objects: Mapping[str, Any] | None, allow_code_execution: bool) -> Any:
    """Load a SavedModel folder; `attrkit.load_model` says how."""
    file = source / "saved_model.pb"
    if not file.is_file():
        raise StoreError(
            f"{source} is a folder without saved_model.pb; accepted are model files and SavedModel folders"
        )
    try:
        tf = import_module("tensorflow")
    except ImportError as err:
        raise MissingDependencyError(
            "tensorflow is needed to load a SavedModel: pip install 'attrkit[tensorflow]'"
        ) from err
    if not allow_code_execution:
        _check_operations(source, _parsed(file))
    try:
        keras = keras_files.in_use() if (source / "keras_metadata.pb").is_file() else None
        if keras is not None and not keras_files.is_keras3(keras):
            return _with_layers(keras, source, dict(custom_objects or {}), allow_code_execution)
        return tf.saved_model.load(str(source))
    except (RefusedError, MissingDependencyError):
        raise
    except Exception as err:
        raise StoreError(f"TensorFlow {tf.__version__} cannot load {source}: {err}") from err


def _with_layers(keras: Any, source: Path, known: dict[str, Any], allow_code_execution: bool) -> Any:
    """Load what Keras 2 saved as the Keras model that it was, which has layers to read."""
    metadata = import_module(f"{keras.Model.__module__.split('.src')[0]}.protobuf.saved_metadata_pb2").SavedMetadata()
    metadata.ParseFromString((source / "keras_metadata.pb").read_bytes())
    description = [json.loads(node.metadata) for node in metadata.nodes]
    known = keras_files.with_self_attention(json.dumps(description), known)
    if not allow_code_execution:
        keras_files.check_harmless(keras, source, description, known)
    return keras.models.load_model(str(source), custom_objects=known, compile=False)


def _parsed(file: Path) -> Any:
    from tensorflow.core.protobuf import saved_model_pb2

    found = saved_model_pb2.SavedModel()
    try:
        found.ParseFromString(file.read_bytes())
    except Exception as err:  # DecodeError, of a package that is TensorFlow's alone.
        raise StoreError(f"{file} is not a SavedModel, or is cut short: {err}") from err
    if not found.meta_graphs:
        raise StoreError(f"{file} is not a SavedModel: it holds no graph")
    return found


def _check_operations(source: Path, saved: Any) -> None:
    """Refuse operations that reach out of the model, wherever they are but in its own saving and restoring."""
    for meta in saved.meta_graphs:
        functions = {function.signature.name: function.node_def for function in meta.graph_def.library.function}
        own = _of_saver(meta, functions)
        for name, nodes in {"the graph": meta.graph_def.node, **functions}.items():
            for node in nodes:
                if node.op in REACHING_OUT and name not in own:
                    raise RefusedError(
                        f"{source} holds the operation {node.op} ({node.name!r}), which reaches out of the model to "
                        "files or to Python; if you trust the model, pass allow_code_execution=True"
                    )


def _of_saver(meta: Any, functions: Mapping[str, Any]) -> set[str]:
    """Name the functions that save and restore the weights, which nothing else may call."""
    ends = (meta.saver_def.save_tensor_name, meta.saver_def.restore_op_name)
    names = {end.split(":")[0] for end in ends}
    own = {called for node in meta.graph_def.node if node.name in names for called in _called(node)}
    others = [node for node in meta.graph_def.node if node.name not in names]
    others += [node for nodes in functions.values() for node in nodes]
    public = set(meta.object_graph_def.concrete_functions)
    return own - public - {called for node in others for called in _called(node)}


def _called(node: Any) -> Iterator[str]:
    for value in node.attr.values():
        yield from (function.name for function in [value.func, *value.list.func] if function.name)
