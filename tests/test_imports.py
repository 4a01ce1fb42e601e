"""No import runs upward: neither modules nor folders import one another in a circle."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "convprop"


def module_of(path: Path) -> str:
    parts = ("convprop", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
COMPILED = {module_of(path) for path in PACKAGE.glob("*.pyi")}


def imported(node: ast.AST) -> Iterator[str]:
    """Yield what runs when a module or one of its functions does; not what only types need."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            for other in child.orelse:
                yield from imported(other)
        elif isinstance(child, ast.ImportFrom):
            for alias in child.names:
                inner = f"{child.module}.{alias.name}"
                yield inner if inner in MODULES.keys() | COMPILED else str(child.module)
        elif isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        else:
            yield from imported(child)


IMPORTS = {
    # The package's own face is above all, and nobody below asks it.
    module: {name for name in imported(ast.parse(path.read_text())) if name in MODULES}
    for module, path in MODULES.items()
}


def wing(module: str) -> str:
    """The folder right under the package that a module lies in, or the module."""
    return ".".join(module.split(".")[:2])


def test_modules_import_without_a_circle():
    graphlib.TopologicalSorter(IMPORTS).prepare()


def test_folders_import_without_a_circle():
    folders: dict[str, set[str]] = {}
    for module, names in IMPORTS.items():
        others = {wing(name) for name in names} - {wing(module)}
        folders.setdefault(wing(module), set()).update(others)
    graphlib.TopologicalSorter(folders).prepare()


def test_a_circle_would_be_found():
    tree = ast.parse("def f():\n    from convprop.data import dataset\nimport convprop.graph")
    assert {"convprop.data.dataset", "convprop.graph"} <= set(imported(tree))
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()


def test_only_the_face_of_the_package_is_above_its_modules():
    assert [module for module, names in IMPORTS.items() if "convprop" in names] == []
