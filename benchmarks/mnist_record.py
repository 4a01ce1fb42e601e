"""Train MNIST to 99 % in one epoch, over many seeds, and in PyTorch beside it.

    pip install -r benchmarks/requirements.txt
    python benchmarks/mnist_record.py --data FOLDER           lines to read
    python benchmarks/mnist_record.py --data FOLDER --json    one JSON object

FOLDER holds MNIST's four idx files. Seconds are from the first batch to the
last, taking each batch's rows out of all images included. convprop and PyTorch
start from the same weights, seed by seed, and shuffle by themselves. Each runs
in a process of its own and they take turns; PyTorch takes one every few seeds.

Network and recipe were chosen on training images alone: each trial trained on
nine tenths of them and was measured on the last tenth, another one for each of
ten seeds. The test images confirmed the choice; they made none.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

import convprop as cp
from convprop.data import Split, load
from machine import commit, describe, usable_processors

LAYERS = (
    cp.Conv(8, 5),
    cp.ReLU(),
    cp.MaxPool(2),
    cp.Conv(24, 3),
    cp.ReLU(),
    cp.MaxPool(2),
    cp.Dense(256),
    cp.ReLU(),
    cp.Dense(10),
)
BATCH_SIZE = 128
LEARNING_RATE = 0.01
BETAS = (0.8, 0.95)
WEIGHT_DECAY = 0.3
SCHEDULE = cp.schedules.OneCycle()
# The targets are 1 - SMOOTHING for the label and SMOOTHING shared by all ten classes.
SMOOTHING = 0.1

OURS, DEFAULT, TUNED = "convprop", "pytorch", "pytorch-tuned"
# The one is what a user gets who sets nothing, the other has all that PyTorch can be told.
PEERS = (DEFAULT, TUNED)
# The loss of so many test images at the first weights shows that a peer has the same network.
COMPARED_IMAGES, TOLERANCE = 256, 1e-5


class Turn(NamedTuple):
    """What one training came to."""

    first_loss: float
    accuracy: float
    seconds: float


class Ours:
    """The recipe in convprop."""

    def __init__(self, threads: int, digits: Split) -> None:
        cp.set_num_threads(threads)
        self.digits = digits
        self.targets = smoothed(digits.train.labels)

    def train(self, seed: int) -> Turn:
        """Train one epoch."""
        train, test = self.digits.train, self.digits.test
        net = first_network(self.digits, seed)
        few = slice(COMPARED_IMAGES)
        first_loss = net.evaluate(test.images[few], smoothed(test.labels[few])).loss
        history = cp.train(
            net,
            train.images,
            self.targets,
            optimizer=cp.AdamW(
                LEARNING_RATE, beta1=BETAS[0], beta2=BETAS[1], weight_decay=WEIGHT_DECAY
            ),
            schedule=SCHEDULE,
            epochs=1,
            batch_size=BATCH_SIZE,
        )
        accuracy = net.evaluate(test.images, test.labels).accuracy
        assert accuracy is not None
        return Turn(first_loss, accuracy, history[0].seconds)


class PyTorch:
    """The recipe in PyTorch's eager mode, with its images normalised beforehand.

    Tuned: the channels_last memory format, flush-denormal arithmetic, the fused optimizer.
    """

    def __init__(self, threads: int, digits: Split, tuned: bool) -> None:
        import torch

        torch.set_num_threads(threads)
        torch.set_flush_denormal(tuned)
        self.digits, self.tuned = digits, tuned
        self.memory_format = torch.channels_last if tuned else torch.contiguous_format
        parts = digits.train, digits.test
        self.images, self.test_images = (self._normalised(part.images) for part in parts)
        self.labels, self.test_labels = (torch.from_numpy(part.labels).long() for part in parts)

    def _normalised(self, images: np.ndarray) -> Any:
        import torch

        offset, scale = normalisation(self.digits)
        pixels = (images.astype(np.float32) - np.float32(offset)) * np.float32(scale)
        return torch.from_numpy(pixels).contiguous(memory_format=self.memory_format)

    def train(self, seed: int) -> Turn:
        """Train one epoch."""
        import torch

        model = self._model(seed)
        criterion = torch.nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
        optimizer = torch.optim.AdamW(
            model.parameters(),
            LEARNING_RATE,
            BETAS,
            weight_decay=WEIGHT_DECAY,
            # None lets PyTorch choose, which is what a user gets who does not ask.
            fused=True if self.tuned else None,
        )
        with torch.no_grad():
            few = slice(COMPARED_IMAGES)
            first_loss = criterion(model(self.test_images[few]), self.test_labels[few]).item()
        order = torch.randperm(len(self.images), generator=torch.Generator().manual_seed(seed))
        batches = order.split(BATCH_SIZE)
        started = perf_counter()
        for step, rows in enumerate(batches, 1):
            images, labels = self.images[rows], self.labels[rows]
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * SCHEDULE.factor(step, len(batches))
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
        seconds = perf_counter() - started
        with torch.no_grad():
            parts = [model(part).argmax(1) for part in self.test_images.split(1000)]
        accuracy = (torch.cat(parts) == self.test_labels).double().mean().item()
        return Turn(first_loss, accuracy, seconds)

    def _model(self, seed: int) -> Any:
        import torch
        from torch import nn

        net = first_network(self.digits, seed)
        modules: list[nn.Module] = []
        for node in net.graph.nodes:
            before = node.inputs[0]
            match layer := node.layer:
                case cp.Conv():
                    modules.append(nn.Conv2d(before[0], layer.kernels, layer.kernel_size))
                case cp.MaxPool():
                    modules.append(nn.MaxPool2d(layer.size))
                case cp.ReLU():
                    modules.append(nn.ReLU())
                case cp.Dense():
                    if len(before) == 3:
                        modules.append(nn.Flatten())
                    modules.append(nn.Linear(int(np.prod(before)), layer.units))
                case _:
                    raise ValueError(f"no PyTorch module for {node.name}: {layer}")
        model = nn.Sequential(*modules)
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), net.parameters.values(), strict=True):
                parameter.copy_(torch.from_numpy(value))
        return model.to(memory_format=self.memory_format)


def first_network(digits: Split, seed: int) -> cp.Network:
    """Return the network with its first weights and the training images' normalisation."""
    net = cp.Network(LAYERS, digits.train.image_shape, seed=seed)
    net.normalisation = normalisation(digits)
    return net


def normalisation(digits: Split) -> tuple[list[float], list[float]]:
    """Return the offset and the scale that give the training pixels mean 0 and deviation 1."""
    images = digits.train.images
    return [float(images.mean())], [1.0 / float(images.std())]


def smoothed(labels: np.ndarray) -> np.ndarray:
    """Return float32 targets (N, 10) for labels (N,)."""
    targets: np.ndarray = np.eye(10, dtype=np.float32)[labels]
    return targets * (1.0 - SMOOTHING) + SMOOTHING / 10.0


def serve(connection: Connection, name: str, threads: int, digits: Split) -> None:
    """Train one competitor with each seed that arrives."""
    competitor = Ours(threads, digits) if name == OURS else PyTorch(threads, digits, name == TUNED)
    # Where the driver has ended, so does this.
    with suppress(EOFError, ConnectionError, KeyboardInterrupt):
        while True:
            connection.send(competitor.train(connection.recv()))


@contextmanager
def competitors(names: list[str], threads: int, digits: Split) -> Iterator[dict[str, Connection]]:
    """Start a process for each name, and end them all."""
    context = get_context("spawn")
    ours: dict[str, Connection] = {}
    processes = []
    try:
        for name in names:
            ours[name], theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, name, threads, digits))
            process.start()
            theirs.close()
            processes.append(process)
        yield ours
    finally:
        for process in processes:
            process.kill()
            process.join()


def measure(
    digits: Split, seeds: int, peers: list[str], peer_seeds: int, threads: int
) -> dict[str, list[Turn]]:
    """Return the turns of every competitor, by name."""
    turns: dict[str, list[Turn]] = {name: [] for name in [OURS, *peers]}
    apart = -(-seeds // peer_seeds)
    with competitors(list(turns), threads, digits) as connections:
        for seed in range(seeds):
            for name, connection in connections.items():
                if name != OURS and seed % apart:
                    continue
                try:
                    connection.send(seed)
                    turns[name].append(connection.recv())
                except (EOFError, ConnectionError):
                    raise SystemExit(
                        f"mnist_record: the process of {name} ended, with its message above"
                    ) from None
                compare(name, turns[name][-1].first_loss, turns[OURS][-1].first_loss)
            if sys.stderr.isatty():
                print(f"\r{seed + 1} of {seeds} seeds", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return turns


def compare(name: str, theirs: float, ours: float) -> None:
    """End if a peer's loss at the first weights is not ours."""
    if not abs(theirs - ours) <= TOLERANCE * ours:
        raise SystemExit(
            f"mnist_record: {name} does not train the same network: its loss at the first "
            f"weights is {theirs:.7g}, ours {ours:.7g}"
        )


def record(turns: dict[str, list[Turn]], threads: int) -> dict[str, Any]:
    """Return the figures of all turns."""
    accuracies = [turn.accuracy for turn in turns[OURS]]
    seconds = {name: [turn.seconds for turn in taken] for name, taken in turns.items()}
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    ours = medians.pop(OURS)
    peers = [name for name in turns if name != OURS]
    return {
        "mean_accuracy": statistics.fmean(accuracies),
        "std_accuracy": statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        "min_accuracy": min(accuracies),
        "median_seconds": ours,
        "seconds_quartiles": [float(time) for time in np.percentile(seconds[OURS], [25, 75])],
        "seeds": len(accuracies),
        "threads": threads,
        "peers": medians,
        "peer_accuracy": {
            name: statistics.fmean(turn.accuracy for turn in turns[name]) for name in peers
        },
        "peer_seeds": max((len(turns[name]) for name in peers), default=0),
        "ratio_default": medians[DEFAULT] / ours if DEFAULT in medians else None,
        "ratio_best": min(medians.values()) / ours if peers else None,
        "machine": describe(),
        "commit": commit(),
    }


def lines(figures: dict[str, Any]) -> str:
    """Return the figures for reading."""
    deviation = figures["std_accuracy"]
    spread = "" if deviation is None else f" ± {deviation:.2%} (standard deviation)"
    first, third = figures["seconds_quartiles"]
    text = [
        f"one epoch of MNIST, {count(figures['threads'], 'thread')}, "
        f"{count(figures['seeds'], 'seed')}",
        f"  test accuracy  {figures['mean_accuracy']:.3%}{spread}, "
        f"worst {figures['min_accuracy']:.2%}",
        f"  {OURS:15}{figures['median_seconds']:.2f} s ({first:.2f} to {third:.2f})",
    ]
    for name, seconds in figures["peers"].items():
        ratio = seconds / figures["median_seconds"]
        text.append(
            f"  {name:15}{seconds:.2f} s  {ratio:.2f} x ours, accuracy "
            f"{figures['peer_accuracy'][name]:.3%} over {count(figures['peer_seeds'], 'seed')}"
        )
    return "\n".join(text)


def count(number: int, noun: str) -> str:
    """Return "1 seed" or "2 seeds"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    summary, _, details = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    processors = usable_processors()
    parser.add_argument("--data", required=True, metavar="FOLDER", help="with MNIST's idx files")
    parser.add_argument("--seeds", type=int, default=30, metavar="N", help="default 30")
    parser.add_argument(
        "--peers",
        nargs="*",
        default=list(PEERS),
        choices=PEERS,
        metavar="PEER",
        help=f"any of {', '.join(PEERS)} (default: all; none: ours alone)",
    )
    parser.add_argument(
        "--peer-seeds", type=int, default=5, metavar="N", help="of the peers (default 5)"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=processors,
        metavar="T",
        help=f"default: {processors}, as many as there are processors",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    arguments = parser.parse_args()
    for option in ("seeds", "peer_seeds"):
        if getattr(arguments, option) < 1:
            given = getattr(arguments, option)
            parser.error(f"--{option.replace('_', '-')} must be positive, got {given}")
    if not 1 <= arguments.threads <= processors:
        parser.error(f"--threads must be in 1..{processors} here, got {arguments.threads}")
    return arguments


def main() -> None:
    """Read the arguments, measure, and print the figures."""
    given = parse_arguments()
    try:
        digits = load(given.data)
    except cp.DataError as error:
        raise SystemExit(f"mnist_record: {error}") from None
    turns = measure(digits, given.seeds, given.peers, given.peer_seeds, given.threads)
    figures = record(turns, given.threads)
    print(json.dumps(figures) if given.json else lines(figures))


if __name__ == "__main__":
    main()
