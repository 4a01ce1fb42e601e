"""What holds for the project as a whole: its versions, its README, its import, its stubs."""

import ast
import importlib.metadata
import json
import operator
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import convprop
from convprop.machine.native import engine

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# Seconds of processor time: what an idle machine takes, and what a busy one does not lengthen.
IMPORT_LIMIT = 0.3


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a fresh interpreter."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def blocks(language: str) -> list[str]:
    """Return the README's code blocks in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert convprop.__version__ == project["version"] == newest[1]
    assert importlib.metadata.version("convprop") == project["version"]


def test_import_is_fast():
    # Of this thread: those that NumPy's BLAS starts spin meanwhile, which delays nobody.
    clock = "import convprop, time; print(time.thread_time())"
    # Whatever else runs can only add to it, for as long as some seconds.
    assert any(float(python("-c", clock).stdout) < IMPORT_LIMIT for _ in range(10))


def test_import_loads_nothing_that_only_some_need():
    names = "cyclopts PIL rich safetensors sklearn scipy"
    result = python(
        "-c", f"import convprop, sys; print(*set(sys.modules) & set('{names}'.split()))"
    )
    assert result.stdout.split() == []


@pytest.mark.slow
def test_readme_example_runs(tmp_path):
    (example,) = blocks("python")
    script = tmp_path / "example.py"
    script.write_text(example)
    result = python(str(script))
    assert result.stderr == ""
    accuracy = float(result.stdout.splitlines()[0])
    assert accuracy > 0.97


def test_readme_begins_with_the_two_commands_that_ci_runs():
    install, test, _ = blocks("sh")
    assert install.endswith("convprop train\n")
    assert test.endswith("pytest\n")


def test_readme_links_lead_somewhere():
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_stub_is_the_engine():
    """Every function and method of the stub is in the module with the same parameters."""
    tree = ast.parse((ROOT / "src" / "convprop" / "_engine.pyi").read_text())
    stated = {}
    for node in tree.body:
        members = node.body if isinstance(node, ast.ClassDef) else [node]
        owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for member in members:
            if isinstance(member, ast.FunctionDef) and not member.decorator_list:
                stated[owner + member.name] = [argument.arg for argument in member.args.args]
    for name, parameters in stated.items():
        function = operator.attrgetter(name)(engine)
        for signature, *_ in getattr(function, "__nb_signature__", ()):
            assert re.findall(r"(\w+): ", signature) == [p for p in parameters if p != "self"]
    public = {name for name in vars(engine) if not name.startswith("_")}
    listed = {target.id for n in tree.body if isinstance(n, ast.AnnAssign) for target in [n.target]}
    listed |= {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    assert public <= listed


def test_benchmark_help():
    result = python(str(ROOT / "benchmarks" / "run.py"), "--help")
    assert result.returncode == 0
    assert "--only" in result.stdout


@pytest.mark.slow
def test_benchmark_prints_one_json_object_a_line():
    script = str(ROOT / "benchmarks" / "run.py")
    options = ("--only", "lenet5", "--mode", "predict", "--threads", "1", "--repeats", "1")
    result = python(script, *options, "--json", "--peers")
    assert result.stderr == ""
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["batch"] for record in records] == [1, 16, 1000]
    for record in records:
        assert (record["mode"], record["workload"], record["threads"]) == ("predict", "lenet5", 1)
        assert record["ours_ms"] > 0
        assert record["fraction_of_peak"] > 0
        assert (record["peers"], record["ratio_default"], record["ratio_best"]) == ({}, None, None)


@pytest.mark.slow
def test_benchmark_times_operations_and_kernels():
    script = str(ROOT / "benchmarks" / "run.py")
    rows = ("lenet5-1", "l2-benchmark", "tanh-benchmark")
    result = python(
        script, "--ops", "--only", *rows, "--threads", "1", "--repeats", "1", "--json", "--peers"
    )
    assert result.stderr == ""
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["workload"].split()[0] for record in records] == [
        *rows[:1] * 3,
        *rows[1:2] * 2,
        *rows[2:] * 2,
    ]
    for record in records:
        assert all(found["rate"] > 0 for found in record["kernel"].values())
        assert record["kernel"]


def test_benchmark_refuses_an_unknown_workload():
    result = python(str(ROOT / "benchmarks" / "run.py"), "--only", "resnet")
    assert result.returncode == 2
    assert "--only must be one of lenet5," in result.stderr
    assert result.stdout == ""
