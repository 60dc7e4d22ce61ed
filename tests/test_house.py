"""The order of the rooms: who may import whom, and what `import attrkit` must not load."""

import ast
import inspect
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import attrkit

PACKAGE = Path(attrkit.__file__).parent

# A room imports rooms on its own line or on a line above. A new room gets a line here, after section 3 of the design.
ORDER = [
    ["errors"],
    [
        "schema",
        "checks",
        "half",
        "parts",
        "plugins",
        "progress",
        "checksum",
        "file_checks",
        "packages",
        "digits",
        "quadrature",
    ],
    ["migrations"],
    ["tables"],
    ["inputs", "baselines", "targets", "series"],
    ["adapters"],
    ["explained"],
    ["question", "result_checks", "embeddings"],
    ["attention"],
    ["relevance"],
    ["layers"],
    ["method"],
    ["engines"],
    ["methods"],
    ["run_method"],
    ["collect"],
    ["models"],
    ["store", "streaming"],
    ["extract"],
    ["exchange"],
    ["datasets", "data_files"],
    ["metrics"],
    ["studies"],
    ["plot"],
    ["report"],
    ["study_output", "study_config"],
    ["demo", "doctor"],
    ["attrkit"],
    ["cli"],
]
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}

FRAMEWORKS = {"tensorflow", "keras", "tf_keras", "torch", "jax", "innvestigate"}
NOT_LOADED = sorted(FRAMEWORKS | {"matplotlib"})

MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path):
    """Return the dotted name of a module, ``attrkit.plot.grid`` or ``attrkit.plot`` for its ``__init__``."""
    parts = ("attrkit", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {name_of(path): path for path in MODULES}


def room_of(name):
    """Return the room of a module: the first name below the package; the package itself is a room too."""
    return name.split(".")[1] if "." in name else "attrkit"


def imports(path, *, module_level=False):
    """Yield what a module imports by dotted name; with `module_level`, only what runs when it is imported."""

    def visit(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: relative import"
                for alias in child.names:
                    inner = f"{child.module}.{alias.name}"
                    yield inner if inner in NAMES else child.module
            elif module_level and (isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or type_checking(child)):
                continue
            else:
                yield from visit(child)

    return list(visit(ast.parse(path.read_text(encoding="utf-8"))))


def type_checking(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


each_module = pytest.mark.parametrize("path", MODULES, ids=name_of)


def test_every_room_has_its_place_in_the_order():
    rooms = {room_of(name) for name in NAMES}
    assert rooms <= set(LEVEL), f"not in ORDER of this test: {sorted(rooms - set(LEVEL))}"
    assert set(LEVEL) <= rooms, f"in ORDER of this test and not there: {sorted(set(LEVEL) - rooms)}"


@each_module
def test_a_room_imports_only_what_stands_above_it(path):
    own = room_of(name_of(path))
    rooms = {room_of(name) for name in imports(path) if name.split(".")[0] == "attrkit"}
    below = sorted(room for room in rooms if LEVEL[room] > LEVEL[own])
    assert not below, f"{name_of(path)} is in room {own} and imports from {below}, which stand below it"


@each_module
def test_a_name_with_an_underscore_is_of_its_own_folder(path):
    names = [name for name in imports(path) if name.split(".")[0] == "attrkit" and room_of(name) != "adapters"]
    private = [name for name in names if name.split(".")[-1].startswith("_")]
    folder = ".".join(("attrkit", *path.parent.relative_to(PACKAGE).parts))
    assert not [name for name in private if not f"{folder}.".startswith(f"{name.rpartition('.')[0]}.")]


def test_no_modules_import_each_other_in_a_circle():
    graph = {
        name: {found for found in imports(path, module_level=True) if found in NAMES and found != name}
        for name, path in NAMES.items()
    }
    # `from attrkit import schema` counts as an import of the module alone, not of the package around it.
    assert len(list(TopologicalSorter(graph).static_order())) == len(NAMES)


@each_module
def test_no_framework_is_imported_before_a_model_of_it_arrives(path):
    found = {name.split(".")[0] for name in imports(path, module_level=True)}
    assert not found & FRAMEWORKS


@each_module
def test_only_the_plots_import_matplotlib(path):
    if room_of(name_of(path)) != "plot":
        assert "matplotlib" not in {name.split(".")[0] for name in imports(path)}


def test_imports_are_found_where_they_are():
    source = "import a.b\nif TYPE_CHECKING:\n    import c\ntry:\n    from d import e\nfinally:\n    pass\n"
    source += "def f():\n    import g\nclass H:\n    import i\n    def j(self):\n        import k\n"

    class Text:
        def read_text(self, encoding):
            return source

    assert imports(Text()) == ["a.b", "c", "d", "g", "i", "k"]
    assert imports(Text(), module_level=True) == ["a.b", "d", "i"]


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_importing_attrkit_loads_no_framework_and_no_matplotlib():
    loaded = python(f"import sys, attrkit; print(*[name for name in {NOT_LOADED} if name in sys.modules])")
    assert loaded == []


def test_asking_for_an_adapter_loads_no_framework():
    code = "import sys, attrkit\ntry: attrkit.adapt(3)\nexcept TypeError: pass\n"
    assert python(code + f"print(*[name for name in {NOT_LOADED} if name in sys.modules])") == []


# What is public

PUBLIC = {
    name: value
    for name, value in vars(attrkit).items()
    if inspect.isfunction(value) and value.__module__.startswith("attrkit.") and not name.startswith("_")
}


def sections(function):
    """Return the sections of a numpydoc docstring by title."""
    parts = re.split(r"^([A-Z][A-Za-z ]+)\n-{3,}\n", inspect.getdoc(function) or "", flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_function_says_what_it_takes_gives_and_raises(name):
    function = PUBLIC[name]
    assert (inspect.getdoc(function) or "").split("\n")[0].endswith("."), "no summary line"
    wanted = ["Parameters", "Returns", "Raises", "Examples"]
    if inspect.signature(function).return_annotation is None:
        wanted.remove("Returns")
    found = sections(function)
    assert not [title for title in wanted if title not in found]
    heads = re.findall(r"^(\*{0,2}\w[\w, *]*?)(?: : .*)?$", found["Parameters"], flags=re.MULTILINE)
    described = [word.strip("* ") for head in heads for word in head.split(",")]
    assert not set(inspect.signature(function).parameters) - set(described), "parameters without a description"
    assert not set(described) - set(inspect.signature(function).parameters), "descriptions without a parameter"
    assert ">>> " in found["Examples"]


def test_what_is_loaded_later_is_listed_too():
    listed = dir(attrkit)
    assert {"extract", "plot", "metrics", "study", "studies", "datasets", "study_output"} <= set(listed)
    assert all(hasattr(attrkit, name) for name in listed)


def test_the_names_that_are_fixed_are_there():
    fixed = {"extract", "compare", "layer_outputs", "stack", "from_arrays", "save", "load", "load_model"}
    assert fixed <= set(PUBLIC)
