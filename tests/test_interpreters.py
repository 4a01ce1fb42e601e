"""Which interpreters of a process may import convprop: the main one."""

import importlib
import subprocess
import sys

import pytest

SCRIPT = """
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
{before}
options = {{"isolated": False}} if sys.version_info < (3, 13) else {{"config": "legacy"}}
other = interpreters.create(**options)
interpreters.run_string(other, '''
import sys
sys.path[:] = {path}
try:
    import convprop
except ImportError as error:
    print(error, flush=True)
''')
interpreters.destroy(other)
{after}
print("ended")
"""
MESSAGE = (
    "convprop works in a process's main interpreter alone, not in sub-interpreters: use processes"
)


@pytest.mark.parametrize("before", ["", "import convprop"])
@pytest.mark.parametrize("after", ["", "import convprop"])
def test_a_sub_interpreter_is_told_and_nothing_else_suffers(before, after):
    script = SCRIPT.format(before=before, after=after, path=sys.path)
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=60
    )
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, f"{MESSAGE}\nended\n", "")


def test_the_module_says_what_it_supports():
    assert MESSAGE.split(",")[0] in str(importlib.import_module("convprop._cpu").__doc__)
