"""Running commands as processes of their own, and small images to run them on."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from convprop.cli.progress import TrainingProgress
from convprop.training import BatchRecord

# Enough to learn the stripes in a fraction of a second.
QUICK = ("--epochs", "3", "--batch-size", "16")


def stripes(count: int, size: tuple[int, int] = (8, 8)) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 images (N, H, W) of noisy stripes that lie (0) or stand (1), and labels."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 2
    lying = np.broadcast_to(200 * (np.arange(size[0]) % 2)[:, None], size)
    standing = np.broadcast_to(200 * (np.arange(size[1]) % 2), size)
    pure = np.where(labels[:, None, None] == 0, lying, standing)
    return (pure + random.integers(0, 50, pure.shape)).astype(np.uint8), labels


def command(arguments: tuple[str | Path, ...], shell: str = "") -> list[str]:
    """Return the words that start convprop; ``shell`` is done to the process before."""
    words = [sys.executable, "-m", "convprop", *map(str, arguments)]
    return ["sh", "-c", f'{shell} exec "$@"', "sh", *words] if shell else words


def run(
    *arguments: str | Path, shell: str = "", **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own."""
    return subprocess.run(
        command(arguments, shell),
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


def start(*arguments: str | Path, shell: str = "", **options: Any) -> subprocess.Popen[str]:
    """Start a command as a process of its own."""
    return subprocess.Popen(
        command(arguments, shell),
        text=True,
        stdin=subprocess.DEVNULL,
        **options,
    )


def unfolded(text: str) -> str:
    """Put labelled lines together that were folded to fit."""
    return text.replace(",\n          ", ", ")


def assert_fits(text: str) -> None:
    """Expect plain lines of at most 80 columns."""
    assert "\x1b" not in text
    assert [line for line in text.splitlines() if len(line) > 80] == []


def interrupt_at(step: int) -> Callable[[TrainingProgress, BatchRecord], None]:
    """Return what sends this process a SIGINT at a step."""

    def on_batch(progress: TrainingProgress, batch: BatchRecord) -> None:
        progress.images += batch.images
        if batch.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    return on_batch
