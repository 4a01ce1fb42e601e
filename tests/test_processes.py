"""The engine's threads beside Python's own threads and processes."""

import os
import subprocess
import sys
import threading
import time

import joblib
import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor

import convprop as cp

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
LABELS = np.arange(40) % 3


def network() -> cp.Network:
    return cp.Network([cp.Conv(4, 3), cp.ReLU(), cp.MaxPool(2), cp.Dense(3)], (1, 8, 8))


def trained(epochs: int = 2) -> str:
    net = network()
    cp.train(net, IMAGES, LABELS, epochs=epochs)
    return net.weights_sha256()


def in_threads(count, work) -> None:
    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)


def test_networks_train_in_several_threads_as_they_do_alone():
    hashes = []
    in_threads(4, lambda: hashes.append(trained()))
    assert hashes == [trained()] * 4


def test_one_network_in_several_threads_takes_turns():
    net = network()
    in_threads(3, lambda: cp.train(net, IMAGES, LABELS, epochs=30))
    assert np.isfinite(net.forward(IMAGES)).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_trains_as_its_parent():
    script = """
import os, sys, test_processes
before = test_processes.trained()
child = os.fork()
same = test_processes.trained() == before
if child == 0:
    os._exit(0 if same else 1)
sys.exit(0 if same and os.waitpid(child, 0)[1] == 0 else 1)
"""
    # Newer Pythons warn of every fork beside threads.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    finished = subprocess.run(
        command, cwd=os.path.dirname(__file__), timeout=60, capture_output=True, text=True
    )
    assert (finished.returncode, finished.stderr) == (0, "")


def test_other_threads_run_during_a_step():
    net = cp.preset("vgg-small", (3, 32, 32), 10)
    plan = net.plan("train", 128)
    sgd = cp.SGD(0.1)
    state = [np.zeros_like(array) for array in net.parameters.values() for _ in range(sgd.slots)]
    plan.bind_optimizer(sgd.kind, sgd.settings(), state)
    images, labels = np.zeros((128, 3, 32, 32), np.uint8), np.zeros(128, np.int32)
    step = threading.Thread(
        target=plan.train_step,
        args=(images, None, labels, None, *net.lane_normalisation(), 0.1, 1, 0),
    )
    turns = 0
    step.start()
    while step.is_alive():
        time.sleep(0.001)
        turns += 1
    # One step takes 40 ms at least; with the interpreter's lock held there would be one turn.
    assert turns >= 5


@pytest.mark.slow
def test_a_program_ends_in_silence_while_a_daemon_thread_computes():
    script = """
import threading, time, test_processes
net, started = test_processes.network(), threading.Event()
def work():
    while True:
        net.forward(test_processes.IMAGES)
        started.set()
threading.Thread(target=work, daemon=True).start()
started.wait()
time.sleep(0.1)
"""
    command = [sys.executable, "-c", script]
    for _ in range(3):
        finished = subprocess.run(
            command, cwd=os.path.dirname(__file__), timeout=60, capture_output=True, text=True
        )
        assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")


def threads_and_hash() -> tuple[int, str]:
    return cp.get_num_threads(), trained()


@pytest.mark.parametrize("workers", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_joblib_workers_train_as_their_parent_and_share_its_processors(workers, monkeypatch):
    for name in list(os.environ):
        if name.endswith("_NUM_THREADS"):
            monkeypatch.delenv(name)
    try:
        calls = [joblib.delayed(threads_and_hash)() for _ in range(2 * workers)]
        results = joblib.Parallel(workers, backend="loky")(calls)
    finally:
        get_reusable_executor().shutdown(wait=True)
    assert results == [(max(joblib.cpu_count() // workers, 1), trained())] * len(calls)


# Trains with as many threads as it is told to, in steps of a millisecond.
TRAINER = """
import sys
import numpy as np
import convprop as cp

net = cp.preset("lenet5", (1, 28, 28), 10)
images, labels = np.zeros((4000, 1, 28, 28), np.uint8), np.arange(4000) % 10
for line in sys.stdin:
    cp.set_num_threads(int(line))
    cp.train(net, images, labels, epochs=1, batch_size=64)
    print("trained", flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_two_processes_with_two_threads_each_share_two_processors():
    allowed = sorted(os.sched_getaffinity(0))[:2]
    if len(allowed) < 2:
        pytest.skip("there is but one processor")
    command = [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {allowed})\n{TRAINER}"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]

    def seconds(processes, threads) -> float:
        started = time.perf_counter()
        for process in processes:
            process.stdin.write(f"{threads}\n")
            process.stdin.flush()
        for process in processes:
            assert process.stdout.readline() == "trained\n"
        return time.perf_counter() - started

    try:
        for threads in (1, 2):
            seconds(both, threads)
        # Threads that held the processors while they wait would take many times as long. Others
        # may want the processors too, and more at one moment than at the next.
        for _ in range(8):
            in_turn = seconds(both[:1], 2) + seconds(both[1:], 2)
            single = seconds(both, 1)
            together = seconds(both, 2)
            if together < 1.5 * min(in_turn, single):
                break
        assert together < 1.5 * min(in_turn, single)
    finally:
        for process in both:
            process.communicate(timeout=60)


ROUNDING = """
import ctypes, ctypes.util, platform
import numpy as np, convprop as cp
UPWARD = {"x86_64": 0x800, "aarch64": 0x400000}[platform.machine()]
images = np.random.default_rng(0).integers(0, 256, (203, 1, 9, 9), dtype=np.uint8)
labels = np.arange(203) % 5
libm = ctypes.CDLL(ctypes.util.find_library("m"))

def network():
    net = cp.Network([cp.Conv(18, 3), cp.Tanh(), cp.Dense(5)], (1, 9, 9))
    net.normalisation = [128.0], [0.015625]
    return net

def trained(net, threads):
    cp.set_num_threads(threads)
    cp.train(net, images, labels, epochs=1, seed=1)
    return net.weights_sha256()

expected = trained(network(), 2)
for threads in (1, 2, 3):
    net = network()
    assert libm.fesetround(UPWARD) == 0
    found = trained(net, threads)
    assert libm.fegetround() == UPWARD, "the caller's way of rounding comes back"
    assert libm.fesetround(0) == 0
    assert found == expected, threads
    # On threads that began while the caller rounded upwards.
    assert trained(network(), threads) == expected, threads
"""


def test_bits_do_not_depend_on_how_the_caller_rounds():
    subprocess.run([sys.executable, "-c", ROUNDING], check=True, timeout=60)
