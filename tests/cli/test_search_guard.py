"""A search of several processes, where the system starts fewer threads or processes than it needs.

Which of them is the first that cannot be started is a matter of chance, so each is in turn.
"""

import errno
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from runs import command

from convprop.cli.search_guard import whole_or_ended
from convprop.errors import InvalidInput, TooFewThreads

FEW = ("--try", "learning_rate=0.01,0.1", "--epochs", "1", "--folds", "2", "--jobs", "2")

# Python imports it as it starts, in the search and in the processes of the search.
FAILING = """
import os, sys, threading

start, left = threading.Thread.start, int(os.environ["STARTED"])

def counted(thread):
    global left
    if left == 0:
        os.close(os.open(os.environ["REFUSED"], os.O_CREAT))
        raise RuntimeError("can't start new thread")
    left -= 1
    start(thread)

if ("loky" in " ".join(sys.orig_argv)) == (os.environ["WHERE"] == "worker"):
    threading.Thread.start = counted
"""


def runs_with(where: str, started: int, data: Path, folder: Path) -> bool:
    """Search where so many threads can be started; return whether one more was asked for.

    Either it comes to its end, or it says what is lacking, and nothing else; its processes have
    ended as it has.
    """
    (folder / "sitecustomize.py").write_text(FAILING)
    refused = folder / f"refused-{started}"
    changed = {
        "PYTHONPATH": str(folder),
        "STARTED": str(started),
        "REFUSED": str(refused),
        "WHERE": where,
    }
    # A terminal has more threads: those that show how far it is.
    changed |= {"TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1"} if where == "search" else {}
    process = subprocess.Popen(
        command(("search", data, *FEW)),
        env=os.environ | changed,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        # Reads until the last process that has these pipes is gone.
        shown, errors = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"waits for ever where {started} threads can be started")
    ended = (process.returncode, errors)
    if ended == (0, ""):
        assert "accuracy" in shown
    else:
        assert process.returncode == 1 and refused.exists(), ended
        lacking = " ".join(errors.split())
        assert "error: " in lacking and "threads must be at most the " in lacking
        assert lacking.count("must be") == 1 and "Traceback" not in lacking
        # The numbers are those of the process that lacks it.
        assert where == "search" or "the 1 that this process can start, got 2" in lacking
    return refused.exists()


@pytest.mark.slow
@pytest.mark.parametrize(("where", "at_least"), [("search", 4), ("worker", 1)])
def test_any_thread_may_be_the_one_that_cannot_be_started(
    where: str, at_least: int, stripes_file: Path, tmp_path: Path
) -> None:
    started = 0
    while runs_with(where, started, stripes_file, tmp_path):
        started += 1
        assert started < 21
    # What refuses has refused.
    assert started >= at_least


def ends_by(error: BaseException) -> None:
    """Wait for a thread that ends by an error before it does what it is waited for."""

    def fail() -> None:
        raise error

    threading.Thread(target=fail).start()
    threading.Event().wait(20)
    pytest.fail("the wait has not been ended")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            RuntimeError("can't start new thread"),
            TooFewThreads,
            r"^threads must be at most the \d+ that this process can start, got \d+$",
        ),
        (
            BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
            InvalidInput,
            "^--jobs must be at most the processes that the system lets this one start, got 3$",
        ),
        (MemoryError("no more"), MemoryError, "^no more$"),
    ],
)
def test_the_end_of_a_thread_ends_the_wait_for_it(
    error: Exception, kind: type[Exception], message: str
) -> None:
    handler, hook = signal.getsignal(signal.SIGALRM), threading.excepthook
    with pytest.raises(kind, match=message), whole_or_ended(3):
        ends_by(error)
    assert (signal.getsignal(signal.SIGALRM), threading.excepthook) == (handler, hook)


def test_a_thread_that_was_there_before_is_none_of_the_search_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    died = threading.Event()
    shown: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: shown.append(arguments[1]))

    def fail() -> None:
        died.wait(20)
        raise ValueError("mine")

    thread = threading.Thread(target=fail)
    thread.start()
    with whole_or_ended(2):
        died.set()
        thread.join(20)
    assert [str(error) for error in shown] == ["mine"]
