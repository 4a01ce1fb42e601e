"""What `convprop train` can be told, and what of it a training's result depends on."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

from convprop import auto
from convprop.auto import Recipe
from convprop.cli import options
from convprop.cli.augment_option import AugmentOption, augment_text
from convprop.cli.factors_option import DecayFactors, RateFactors
from convprop.cli.lookahead_option import LookaheadOption, lookahead_text
from convprop.cli.options import PresetName, UsageError
from convprop.cli.remarks import flag_name
from convprop.cli.schedule_option import ScheduleOption, schedule_text
from convprop.data import Dataset
from convprop.data.arrays import Shape
from convprop.errors import sentence
from convprop.files.atomic import check_writable, locked
from convprop.network import Network
from convprop.optimizers import OPTIMIZERS, Optimizer, optimizer_for
from convprop.presets import PRESETS, Preset
from convprop.schedules import Schedule, Trapezoid
from convprop.training.augmentation import Augment
from convprop.training.checkpoint import Checkpoints
from convprop.training.lookahead import Lookahead
from convprop.training.stopping import EarlyStopping

# Rows and columns up to which images are as tiny as the digits, or as small as MNIST's.
_TINY, _SMALL = 15, 40

DEFAULT_VALIDATION = 0.1
"""What --early-stopping holds out where --validation does not say."""

_MORE = Group("Against overfitting and imbalance", sort_key=1)
_FILES = Group("Files", sort_key=2)

AROUND = frozenset(
    (
        "threads",
        "micro_batch",
        "stream",
        "config",
        "out",
        "checkpoint_every",
        "resume",
        "log",
        "tensorboard",
        "report",
        "json",
    )
)
"""The options that a training's weights do not depend on; a settings file leaves them out."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The options of ``convprop train``.

    Parameters
    ----------
    preset
        The network, with defaults for the next six options; auto is made for the shape of the
        images, to be right and not to be fast. If not given, one that suits their size.
    epochs
        How many times to go through the training images.
    batch_size
        Images per step.
    learning_rate
        The largest step size of the schedule. If not given, the preset's, which follows the
        batch size: in proportion with sgd, by the square root with others or upwards.
    weight_decay
        How strongly weights are drawn to 0. If not given, the optimizer's; it follows the
        batch size, too, if the learning rate is not given either.
    optimizer
        How gradients become steps: with the preset's settings if it is the preset's; another
        one with its own, sgd with momentum 0.9.
    schedule
        How the learning rate goes: constant, step, exponential, cosine, one-cycle or trapezoid,
        with settings as in "step at=0.5,0.75 decay=0.2" or "cosine warmup=0.05", the part of
        the training in which it rises first; if not given, the preset's, or with
        --early-stopping trapezoid, which suits it.
    rate_factors
        What multiplies the learning rate of some parameters, by the names of parameters, layers
        or kinds, as in "bias=64 conv*=0.5".
    decay_factors
        The same of the weight decay; "weights" leaves out biases.
    lookahead
        Keep slow weights, which go a share of the way to the others every few steps, as in
        "steps=5 share=0.5".
    micro_batch
        Take a batch in parts of so many images, a multiple of 16, for batches that do not fit
        into memory; the result is the same.
    seed
        Seed of the first weights, the order of the images, augmentation and dropout; 0 if not
        given.
    threads
        CPU threads to use, 1 to 1024; if not given, as many as the process may use. The
        result is the same for any number.
    validation
        Fraction of the training images to hold out and measure after every epoch.
    size
        Resize every image, to a square as in 32 or to rows and columns as in 32x48, at most
        99999 each.
    augment
        What may happen to training images, as in "shift=2 rotation=10 flip=horizontal"; also
        zoom, crop, elastic, brightness, contrast, noise, erase, mixup.
    early_stopping
        End when the validation loss has not got smaller for so many epochs, and keep the
        weights of the best one; holds out 0.1 if --validation is not given. A trapezoid's fall
        then begins at once and comes before the end; of others it is waited for.
    clip_norm
        Scale gradients down where their norm is larger.
    average
        Keep a running mean of the weights, of which each step leaves this share, as in 0.999.
    label_smoothing
        The share of every target that all classes get alike; the preset's if not given.
    class_weight
        balanced: images of rare classes weigh more.
    balanced_batches
        Take images of every class equally often.
    config
        Read settings from a TOML file: names as here, an [augment] table; what is given on
        the command line goes before.
    out
        File to save the trained network in, with its settings (FILE.toml) and log
        (FILE.jsonl) beside it. Ctrl-C saves it too, with a checkpoint to go on from, and so do
        SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 and SIGXCPU.
    checkpoint_every
        Write a checkpoint beside --out every 30s, 5m, 2h or 3epochs; at most 999999 of them.
    resume
        Go on from the newest good checkpoint, or begin where there is none.
    log
        Write the log, a line of JSON for the start, every epoch and the end, to this file.
    tensorboard
        Write event files for TensorBoard into a folder; needs convprop[tensorboard].
    report
        Write a page about the trained network: curves, confusions, mistakes, calibration.
    """

    preset: PresetName = None
    epochs: options.Count = None
    batch_size: options.Count = None
    learning_rate: Annotated[float | None, Parameter(converter=options.positive_number)] = None
    weight_decay: Annotated[float | None, Parameter(converter=options.not_negative_number)] = None
    optimizer: Annotated[str | None, Parameter(choices=tuple(OPTIMIZERS))] = None
    schedule: ScheduleOption = None
    rate_factors: RateFactors = None
    decay_factors: DecayFactors = None
    lookahead: LookaheadOption = None
    micro_batch: options.Count = None
    seed: options.Seed = 0
    threads: options.Threads = None
    validation: Annotated[float | None, Parameter(converter=options.proper_fraction)] = None
    size: options.Size = None
    skip_unreadable: options.SkipUnreadable = False
    stream: options.Stream = False
    augment: Annotated[AugmentOption, Parameter(group=_MORE)] = None
    early_stopping: Annotated[options.Count, Parameter(group=_MORE)] = None
    clip_norm: Annotated[
        float | None, Parameter(converter=options.positive_number, group=_MORE)
    ] = None
    average: Annotated[float | None, Parameter(converter=options.proper_fraction, group=_MORE)] = (
        None
    )
    label_smoothing: Annotated[
        float | None, Parameter(converter=options.smoothing, group=_MORE)
    ] = None
    class_weight: Annotated[str | None, Parameter(choices=("balanced",), group=_MORE)] = None
    balanced_batches: Annotated[bool, Parameter(group=_MORE)] = False
    config: Annotated[options.FileName | None, Parameter(group=_FILES)] = None
    out: Annotated[options.FileName | None, Parameter(group=_FILES)] = None
    checkpoint_every: Annotated[
        options.Every | None,
        Parameter(
            converter=options.time_or_epochs,
            n_tokens=1,
            accepts_keys=False,
            metavar="TIME",
            group=_FILES,
        ),
    ] = None
    resume: Annotated[bool, Parameter(group=_FILES)] = False
    log: Annotated[options.FileName | None, Parameter(group=_FILES)] = None
    tensorboard: Annotated[options.FileName | None, Parameter(group=_FILES)] = None
    report: Annotated[options.FileName | None, Parameter(group=_FILES)] = None
    json: Annotated[options.AsJson, Parameter(group=_FILES)] = False

    def check(self) -> None:
        """Raise UsageError where options do not go together, InvalidInput for a bad file."""
        if self.out is None:
            for name in ("checkpoint_every", "resume"):
                if getattr(self, name):
                    raise UsageError(f"{flag_name(name)} must come with --out")
        written = (
            ("--out", self.out, "--out"),
            ("the settings", self.settings_file, "--out"),
            ("the log", self.log_file, self.log_option),
            ("--report", self.report, "--report"),
        )
        seen: dict[Path, str] = {}
        for what, path, option in written:
            if path is None:
                continue
            if (other := seen.setdefault(path.resolve(), what)) != what:
                raise UsageError(sentence(what, f"go to another file than {other}", path))
            with options.written_by(option):
                check_writable(path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other trainings from writing the same files; raise InvalidInput if one does.

        Raises UsageError where an ended one has left checkpoints that would be lost.
        """
        with ExitStack() as locks:
            for option, path in (("--out", self.out), ("--log", self.log)):
                if path is not None:
                    with options.written_by(option):
                        locks.enter_context(locked(path))
            if self.checkpoint_every is not None and not self.resume and (left := self.left()):
                raise UsageError(
                    f"{left[0]} is of a training that has not ended:"
                    " go on with --resume, or remove it to begin anew"
                )
            yield

    def checkpoints(self) -> Checkpoints | None:
        """Return where and how often to write checkpoints; without a time, at an interrupt."""
        if self.out is None:
            return None
        every = self.checkpoint_every or options.Every("")
        return Checkpoints(self.out, every.seconds, every.epochs)

    def left(self) -> list[Path]:
        """Return the checkpoints that an earlier training has left, the newest first."""
        checkpoints = self.checkpoints()
        return [] if checkpoints is None else checkpoints.files()

    @property
    def settings_file(self) -> Path | None:
        """Where the settings are saved."""
        return None if self.out is None else Path(f"{self.out}.toml")

    @property
    def log_file(self) -> Path | None:
        """Where the log is written."""
        if self.log is not None:
            return self.log
        return None if self.out is None else Path(f"{self.out}.jsonl")

    @property
    def log_option(self) -> str:
        """The option that says where the log is written."""
        return "--out" if self.log is None else "--log"

    @property
    def held_out(self) -> float | None:
        """The fraction of the training images that is held out."""
        if self.early_stopping is not None and self.validation is None:
            return DEFAULT_VALIDATION
        return self.validation

    def resolved(self, train: Dataset, images: int) -> TrainSettings:
        """Return what holds where these options are given.

        Parameters
        ----------
        train : Dataset
        images : int
            How many of them are trained on, and not held out.
        """
        suggested = preset_of(self.preset, train, self.batch_size)
        batch_size = self.batch_size or suggested.batch_size
        stops = self.early_stopping is not None
        by_itself = optimizer_for(suggested.optimizer, self.optimizer)
        made_for = recipe(suggested.name).batch_size
        optimizer = self._followed(by_itself, min(batch_size, images), made_for)
        preset = replace(
            suggested,
            epochs=self.epochs or suggested.epochs,
            batch_size=batch_size,
            label_smoothing=(
                suggested.label_smoothing if self.label_smoothing is None else self.label_smoothing
            ),
            optimizer=optimizer,
            schedule=self.schedule or (Trapezoid() if stops else suggested.schedule),
        )
        complete = replace(
            self,
            preset=preset.name,
            epochs=preset.epochs,
            batch_size=preset.batch_size,
            optimizer=preset.optimizer.kind,
            learning_rate=optimizer.learning_rate,
            # With the rate given, as it is from now on, the decay is by itself the optimizer's.
            weight_decay=None if decay(optimizer) == decay(by_itself) else decay(optimizer),
            schedule=preset.schedule if stops or self.schedule is not None else None,
            validation=self.held_out,
            label_smoothing=preset.label_smoothing,
            augment=None if self.augment == Augment() else self.augment,
        )
        return TrainSettings(complete, preset)

    def _followed(self, by_itself: Optimizer, taken: int, made_for: int) -> Optimizer:
        """Return the optimizer for batches of ``taken`` images, with what is given in it."""
        given: dict[str, Any] = {}
        for name in ("weight_decay", "rate_factors", "decay_factors"):
            if getattr(self, name) is not None:
                given[name] = getattr(self, name)
        if self.weight_decay == 0.0 and self.decay_factors is None:
            given["decay_factors"] = None
        if self.learning_rate is None:
            return replace(by_itself.for_batches(taken, made_for), **given)
        return replace(by_itself, learning_rate=self.learning_rate, **given)

    def table(self, data: str) -> dict[str, Any]:
        """Return what the result depends on, as a TOML or a JSON file holds it."""
        table: dict[str, Any] = {"data": data}
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name not in AROUND and value is not None and value is not False:
                table[entry.name] = _plain(value)
        return table

    def command(self, data: str, **changed: Any) -> str:
        """Return the command line that gives these options, or with some of them changed."""
        given = replace(self, **changed)
        words = ["convprop", "train", data]
        for entry in fields(given):
            value = getattr(given, entry.name)
            if value == entry.default:
                continue
            words.append(flag_name(entry.name))
            if value is not True:
                words.append(_text(value))
        return shlex.join(words)


@dataclass(frozen=True)
class TrainSettings:
    """What holds for a training: the options with every default in its place.

    Attributes
    ----------
    options : TrainOptions
    preset : Preset
        With those of the options in it that it has a default for.
    """

    options: TrainOptions
    preset: Preset

    def arguments(self) -> dict[str, Any]:
        """Return what `train` is told of them."""
        options, preset = self.options, self.preset
        return {
            "optimizer": preset.optimizer,
            "schedule": preset.schedule,
            "epochs": preset.epochs,
            "batch_size": preset.batch_size,
            "micro_batch": options.micro_batch,
            "validation": options.validation,
            "class_weight": options.class_weight,
            "balanced_batches": options.balanced_batches,
            "augment": options.augment,
            "stopping": options.early_stopping and EarlyStopping(options.early_stopping),
            "clip_norm": options.clip_norm,
            "average": options.average,
            "lookahead": options.lookahead,
        }


OPTIONS = frozenset(entry.name for entry in fields(TrainOptions))


def option_text(name: str, value: Any) -> str:
    """Return an option as it is given: "--seed 1", "--resume"; or "no --average"."""
    if name == "data":
        return shlex.join(["data", value])
    if value is None or value is False:
        return f"no {flag_name(name)}"
    return shlex.join([flag_name(name), *([] if value is True else [_text(value)])])


def _text(value: Any) -> str:
    """Return an option's value as it is written on the command line."""
    if isinstance(value, dict):
        return " ".join(f"{name}={member}" for name, member in value.items())
    if isinstance(value, Augment):
        return augment_text(value)
    if isinstance(value, Schedule):
        return schedule_text(value)
    if isinstance(value, Lookahead):
        return lookahead_text(value)
    if isinstance(value, options.Every):
        return value.text
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return str(value)


def _plain(value: Any) -> Any:
    """Return an option's value as a settings file holds it."""
    if isinstance(value, Augment):
        words = (word.split("=") for word in augment_text(value).split())
        return {name: _number(text) for name, text in words}
    return _text(value) if isinstance(value, tuple | dict | Schedule | Lookahead) else value


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def usual_preset(shape: Shape) -> str:
    """Return the preset that suits images of (C, H, W) when none is named."""
    channels, height, width = shape
    if min(height, width) <= _TINY:
        return "digits"
    if max(height, width) <= _SMALL:
        return "lenet5" if channels == 1 else "cifar-tutorial"
    return "vgg-small"


def preset_of(name: str | None, train: Dataset, batch_size: int | None = None) -> Preset:
    """Return the preset of a name, that which suits the images, or what "auto" is for them."""
    if name == auto.NAME:
        return auto.auto_preset(train.image_shape, len(train.class_names), len(train), batch_size)
    return PRESETS[name or usual_preset(train.image_shape)]


def fresh_network(preset: Preset, train: Dataset, seed: int = 0) -> Network:
    """Return a preset's network for the images and the classes of data."""
    network = preset.network(train.image_shape, len(train.class_names), seed)
    network.class_names = train.class_names
    return network


def recipe(name: str) -> Preset | Recipe:
    """Return what a preset, or "auto", trains with where nothing else is said."""
    return auto.AUTO if name == auto.NAME else PRESETS[name]


def decay(optimizer: Optimizer) -> float:
    """Return the weight decay, which every rule has."""
    return optimizer.settings()["weight_decay"]
