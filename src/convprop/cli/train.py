"""``convprop train``: load images, train a network on them, save it and say how it does."""

from __future__ import annotations

import shlex
import signal
from typing import Annotated, Any

from cyclopts import Parameter

from convprop.cli import options, remarks, signals, train_words
from convprop.cli.config_file import read_settings, to_toml
from convprop.cli.estimate import Estimate, estimate
from convprop.cli.options import UsageError
from convprop.cli.progress import TrainingProgress
from convprop.cli.terminal import Terminal, print_json
from convprop.cli.train_files import FilesBeside
from convprop.cli.train_log import JsonLog, TensorBoardLog, versions
from convprop.cli.train_settings import (
    OPTIONS,
    TrainOptions,
    TrainSettings,
    fresh_network,
    option_text,
)
from convprop.data import Split, load
from convprop.errors import ConvpropError, InvalidInput, TrainingDiverged
from convprop.files import model as model_file
from convprop.files.atomic import replace_file
from convprop.machine.threads import get_num_threads
from convprop.network import Network
from convprop.training import BatchRecord, EpochRecord, History
from convprop.training import train as train_network
from convprop.training.batches import Data
from convprop.training.identity import OtherTraining


def train(
    data: options.DataName = "digits",
    /,
    *,
    given: Annotated[TrainOptions, Parameter(name="*")] = TrainOptions(),
) -> int:
    """Train a network on images, and report how well it does on others.

    Parameters
    ----------
    data
        digits (the default), mnist, a folder with one subfolder of images per class, an .npz
        file, or a folder of idx files.
    """
    terminal = Terminal(stderr=given.json)
    given.check()
    with given.locked():
        return _train(terminal, data, given)


def _train(terminal: Terminal, data: str, given: TrainOptions) -> int:
    """Train with options that go together, and return the exit status."""
    logs: list[JsonLog | TensorBoardLog] = []
    if given.log_file is not None:
        logs.append(JsonLog(given.log_file, given.log_option))
    if given.tensorboard is not None:
        logs.append(TensorBoardLog(given.tensorboard))
    options.use_threads(given.threads)
    with terminal.reading(data):
        split = load(
            data, size=given.size, skip_unreadable=given.skip_unreadable, stream=given.stream
        )
    held_out = train_words.held_out(split, given.held_out, given.seed)
    settings = given.resolved(split.train, len(split.train) - held_out)
    training = _Command(terminal, data, split, given, settings, logs)
    old = training.result_of_old()
    if old is not None:
        train_words.report(terminal, settings.preset, old, given.out, "")
        if given.json:
            print_json(old)
        return 0
    training.announce()
    with signals.ending() as training.ending:
        try:
            result = training.run()
            # Before anything is shown: whoever reads it may have gone.
            training.write_report()
            ended_by = signals.NAMES[training.ended_by]
            train_words.report(terminal, settings.preset, result, given.out, ended_by)
            training.beside.tell(given.report)
        except KeyboardInterrupt:
            training.say_what_is_kept()
            raise
    training.say_how_to_go_on()
    if given.json:
        print_json(result)
    if training.interrupted:
        return 128 + training.ended_by
    return options.EXIT_FAILURE if training.beside.unwritten else 0


class _Command:
    """One training of the command line: what it is told, and what it leaves on the disk."""

    def __init__(
        self,
        terminal: Terminal,
        data: str,
        split: Split,
        given: TrainOptions,
        settings: TrainSettings,
        logs: list[JsonLog | TensorBoardLog],
    ) -> None:
        self.terminal, self.split = terminal, split
        self.beside = FilesBeside(terminal, logs)
        self.given, self.settings, self.data = given, settings, data
        options, preset = settings.options, settings.preset
        self.network = fresh_network(preset, split.train, options.seed)
        self.held_out = train_words.held_out(split, options.validation, options.seed)
        self.table = options.table(data)
        self.progress = TrainingProgress(terminal, preset.epochs, options.validation is not None)
        self.expected = Estimate(None, 0)
        self.checkpoints = given.checkpoints()
        self.history = History()
        self.steps = 0
        self.ends_with: int | None = None
        self.warnings: list[str] = []
        self.started = self.saved = False
        self.ended = self.interrupted = self.diverged = False
        self.ending = signals.Ending()

    # ---- Before it ----

    def result_of_old(self) -> dict[str, Any] | None:
        """Return the result, where ``--resume`` finds that this training has come to its end."""
        path = self.given.settings_file
        if not self.given.resume or path is None or not path.is_file() or self.given.left():
            return None
        try:
            table, old = read_settings(path)
            network = Network.load(self.given.out or "")
        except (ConvpropError, OSError):
            return None
        ended = {
            "finished": True,
            "weights_sha256": network.weights_sha256(),
            "data_sha256": self._data_sha256(),
        }
        if any(old.get(name) != ended[name] for name in ended):
            return None
        if table != self.table:
            names = [*table, *self.table]
            other = next(n for n in names if table.get(n) != self.table.get(n))
            trained, given = (option_text(other, t.get(other)) for t in (table, self.table))
            raise UsageError(
                f"{self.given.out} is finished, with {trained}: --resume cannot go on with"
                f" {given}; leave it out to begin anew"
            )
        asked = [self.given.report, self.given.log, self.given.tensorboard]
        unwritten = ["nothing more is written"] if any(asked) else []
        parts = [f"{path} says so", "there is nothing left to do", *unwritten]
        self.terminal.labelled("finished", *parts)
        history = History()
        history.steps = history.resumed = old.get("steps", 0)
        result = train_words.result(
            self.split, self.settings.preset, network, history, {"warnings": []}, 0, self.held_out
        )
        return result | {"epochs": old.get("epochs", 0)} | self._facts()

    def _data_sha256(self) -> str:
        train = self.split.train
        return Data(train.images, train.labels, True).fingerprint()

    def announce(self) -> None:
        """Say what is about to be done."""
        train_words.announce(
            self.terminal,
            self.split,
            self.network,
            self.settings.preset,
            validation=self.held_out,
            given=self.given,
        )
        self.expected = estimate(self.network, self.split.train, self.settings.arguments())

    # ---- While it goes ----

    def run(self) -> dict[str, Any]:
        """Train, and save what was learned however training ends; return what came of it."""
        try:
            self._fit()
        except ConvpropError as error:
            self._failed(error)
            raise
        self.ending.release()
        result = train_words.result(
            self.split,
            self.settings.preset,
            self.network,
            self.history,
            self._facts() | {"warnings": self.warnings},
            self.progress.images,
            self.held_out,
        )
        self.beside.log_end(result)
        return result

    def _fit(self) -> None:
        nothing_learned = False
        self._give_up_others()
        self.ending.note_the_first()
        try:
            with (
                self.progress,
                options.written_by("--out"),
                remarks.as_lines(self.terminal, OPTIONS) as self.warnings,
            ):
                history = train_network(
                    self.network,
                    self.split.train.images,
                    self.split.train.labels,
                    **self.settings.arguments(),
                    checkpoints=self.checkpoints,
                    resume=self.given.resume,
                    on_start=self._on_start,
                    on_batch=self._on_batch,
                    on_epoch=self._on_epoch,
                )
            self.interrupted, self.ended = history.interrupted, not history.interrupted
        except TrainingDiverged as error:
            self.diverged, nothing_learned = True, error.step == 0
            raise
        except OtherTraining as error:
            raise train_words.refusal(error, self.settings.preset.name) from None
        finally:
            self.ending.hold()
            if self.steps and not nothing_learned:
                self._save()

    def _failed(self, error: ConvpropError) -> None:
        """Log why training ended; of one that diverged, say what is left."""
        if not self.started:
            return
        end = {"error": str(error), "epochs": len(self.history), "steps": self.history.steps}
        self.beside.log_end(end)
        out = self.given.out
        if not isinstance(error, TrainingDiverged) or out is None or self.checkpoints is None:
            return
        kept = "The last good weights are saved" if error.step else "Nothing is saved"
        advice = f"{kept} in {out}."
        if self.checkpoints.files():
            # They lead to the same loss, and to nothing else: with other settings they are refused.
            self.checkpoints.remove()
            advice += " The checkpoints are removed: a resumed training would diverge again."
        raise TrainingDiverged(str(error), advice) from None

    def _give_up_others(self) -> None:
        """Remove the checkpoints of another training, where there is no --resume."""
        if self.checkpoints is not None and (left := self.given.left()) and not self.given.resume:
            given_up = f"{left[0]} is given up (--resume would have gone on with it)"
            self.terminal.labelled("anew", given_up)
            self.checkpoints.remove()

    def _on_start(self, history: History) -> None:
        self.history, self.steps = history, history.steps
        self.ends_with = history.ends_with
        train_words.say_start(self.terminal, self.settings, history, self.expected)
        self.progress.on_start(history)
        for log in self.beside.logs:
            log.start(history, self._start_facts(history))
        self.started = True

    def _on_batch(self, batch: BatchRecord) -> None:
        self.steps = batch.step
        try:
            self.progress.on_batch(batch)
        except BrokenPipeError:
            self.ending.take_broken_pipe(self.terminal.descriptor)
        if self.ending.signal is not None:
            self.ending.hold()
            raise KeyboardInterrupt

    def _on_epoch(self, epoch: EpochRecord) -> None:
        self.beside.log_epoch(epoch)
        try:
            self.progress.on_epoch(epoch)
            last = self.history.ends_with
            if last not in (None, self.ends_with, epoch.epoch):
                train_words.say_fall(self.terminal, self.given, last)
            self.ends_with = last
        except BrokenPipeError:
            self.ending.take_broken_pipe(self.terminal.descriptor)
            self.ending.hold()
            raise KeyboardInterrupt from None

    def _start_facts(self, history: History) -> dict[str, Any]:
        return {
            "command": self.given.command(self.data),
            "settings": self.table,
            "versions": versions(),
            "train_images": len(self.split.train) - self.held_out,
            "validation_images": self.held_out,
            "test_images": len(self.split.test),
            "class_names": list(self.split.train.class_names),
            "resumed_from": history.resumed_from and str(history.resumed_from),
        } | self._facts()

    def _facts(self) -> dict[str, Any]:
        """Return what is known before training starts."""
        return {
            "threads": get_num_threads(),
            "estimated_epoch_seconds": self.expected.epoch_seconds,
            "estimated_peak_bytes": self.expected.peak_bytes or None,
        }

    # ---- After it ----

    @property
    def ended_by(self) -> signal.Signals:
        """The signal that interrupted it, if one did."""
        return self.ending.signal or signal.SIGINT

    @property
    def goes_on(self) -> bool:
        """Whether ``--resume`` would go on with it."""
        return not self.ended and not self.diverged and bool(self.given.left())

    def say_how_to_go_on(self) -> None:
        """Name the command that does, where there is one."""
        if self.interrupted and self.goes_on:
            self.terminal.copied("go on", self.given.command(self.data, resume=True))

    def say_what_is_kept(self) -> None:
        """Say what is on the disk, where the end was cut off after that was written."""
        if self.saved:
            name = signals.NAMES[self.ended_by]
            self.terminal.labelled("cut off", f"by {name}, with not all measured and reported")
            self.terminal.copied("saved", str(self.given.out))
            self.say_how_to_go_on()

    def write_report(self) -> None:
        """Write the page that was asked for."""
        if self.given.report is None:
            return
        from convprop.report import write_report

        with self.beside.attempt(self.given.report), options.written_by("--report"):
            write_report(
                self.given.report,
                self.network,
                self.history,
                self.split.test,
                command=self.given.command(self.data, resume=self.goes_on),
                settings=self.table,
                resumes=self.goes_on,
            )

    def _save(self) -> None:
        """Write the network, and beside it what it was made by; then no checkpoint is needed."""
        out, settings_file = self.given.out, self.given.settings_file
        if out is None or settings_file is None or self.checkpoints is None:
            return
        described = {"preset": self.settings.preset.name} | (self.network.training_settings or {})
        try:
            with options.written_by("--out"):
                model_file.save(self.network, out, described)
        except InvalidInput as error:
            again = self.given.command(self.data, resume=True)
            raise train_words.unsaved(error, self.given.left(), again) from None
        self.saved = True
        result = {
            "finished": self.ended,
            "epochs": len(self.history),
            "steps": self.steps,
            "weights_sha256": self.network.weights_sha256(),
            "data_sha256": self._data_sha256(),
            "version": versions()["convprop"],
        }
        command = ["convprop", "train", "--config", str(settings_file), "--out", str(out)]
        what = "train it again"
        if self.goes_on:
            command.append("--resume")
            what = "go on"
        comment = f"What {out.name} was trained with. To {what}:\n{shlex.join(command)}"
        text = to_toml(self.table | {"result": result}, comment)
        with self.beside.attempt(settings_file), options.written_by("--out"):
            replace_file(settings_file, text.encode(errors="replace"))
        # Without its settings --resume would not know that the training has ended.
        if self.ended and settings_file not in self.beside.unwritten:
            self.checkpoints.remove()
