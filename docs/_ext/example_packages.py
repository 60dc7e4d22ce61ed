"""Puts an example of a package in place as an installer does: its modules, and metadata that name its entry points."""

import shutil
import tomllib
from pathlib import Path


def install(project: Path, site: Path) -> None:
    """Copy the modules of a project with a ``pyproject.toml`` to a folder of packages, with their metadata."""
    described = tomllib.loads((project / "pyproject.toml").read_text())
    about = described["project"]
    for name in described["tool"]["hatch"]["build"]["include"]:
        shutil.copy(project / name, site / name)
    info = site / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n")
    lines = []
    for group, entries in about["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
