"""Forked children: threads that use the engine first at once, beside a parent that computes."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

# Forks children whose threads begin together, each to do `work`; a child that hangs is killed.
FORKS = """
import os, sys, threading, time
import numpy as np
import convprop as cp

FORKS, THREADS = {forks}, {threads}
images = np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8), dtype=np.uint8)
labels = np.arange(40) % 3

def network():
    return cp.Network([cp.Conv(4, 3), cp.ReLU(), cp.MaxPool(2), cp.Dense(3)], (1, 8, 8))

def trained():
    net = network()
    cp.train(net, images, labels, epochs=1)
    return net.weights_sha256()

net = network()
cp.set_num_threads(2)
{before}

def child():
    begin, right = threading.Barrier(THREADS), []
    def use(number):
        begin.wait()
        right.append(work(number))
    users = [threading.Thread(target=use, args=(number,)) for number in range(THREADS)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    os._exit(0 if right == [True] * THREADS else 1)

def waited_for(process):
    for _ in range(30_000):
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.001)
    os.kill(process, 9)
    os.waitpid(process, 0)
    return "a hang"

for number in range(FORKS):
    process = os.fork()
    if process == 0:
        child()
    status = waited_for(process)
    assert status == 0, (number, status)
{after}
print("ended")
"""
# The parent has a pool; its children's threads need one of their own.
FIRST = """
expected = net.forward(images).tobytes()
nets = [network() for _ in range(THREADS)]
def work(number):
    return nets[number].forward(images).tobytes() == expected
"""
# None of the engine's state is there before the fork.
FIRST_OF_ALL = """
nets = [network() for _ in range(THREADS)]
def work(number):
    return nets[number].forward(images).shape == (40, 3)
"""
# Another thread always computes with the network that the child uses.
BESIDE = """
expected = net.forward(images).tobytes()
def work(number):
    return net.forward(images).tobytes() == expected
ended = threading.Event()
def compute():
    while not ended.is_set():
        net.forward(images)
beside = threading.Thread(target=compute)
beside.start()
"""
# As before, but it trains it; the child's own trainings give the bits of any other's.
TRAINS_BESIDE = """
expected = trained()
def work(number):
    net.forward(images)
    return trained() == expected
ended = threading.Event()
def compute():
    while not ended.is_set():
        cp.train(net, images, labels, epochs=1)
beside = threading.Thread(target=compute)
beside.start()
"""
AND_END = "ended.set(); beside.join()"


def run(before: str, forks: int, threads: int, after: str = "") -> None:
    script = FORKS.format(before=before, after=after, forks=forks, threads=threads)
    # Newer Pythons warn of every fork beside threads.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    finished = subprocess.run(command, timeout=900, capture_output=True, text=True)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "ended\n", "")


@pytest.mark.parametrize("before", [FIRST, FIRST_OF_ALL], ids=["pool", "no pool"])
def test_threads_of_a_child_use_the_engine_first(before):
    run(before, forks=50, threads=4)


@pytest.mark.parametrize(
    "before",
    [pytest.param(BESIDE, marks=pytest.mark.slow), TRAINS_BESIDE],
    ids=["predicting", "training"],
)
def test_a_child_of_a_parent_that_computes_inherits_no_lock(before):
    run(before, forks=30, threads=2, after=AND_END)


@pytest.mark.slow
def test_two_thousand_forks_with_sixteen_threads_each():
    run(FIRST, forks=2000, threads=16)
