"""The commands put together, and the one place where errors become exit statuses."""

from __future__ import annotations

import inspect
import io
import sys
from collections.abc import Callable, Sequence

from cyclopts import App, CycloptsError, Parameter

from convprop import _startup
from convprop.cli import output, remarks
from convprop.cli.check import check
from convprop.cli.config_file import read_config
from convprop.cli.evaluate import evaluate
from convprop.cli.explore import explore
from convprop.cli.find_rate import find_rate
from convprop.cli.inspect import inspect as inspect_command
from convprop.cli.model import summary
from convprop.cli.options import (
    EXIT_BROKEN_PIPE,
    EXIT_FAILURE,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    UsageError,
    usage_message,
)
from convprop.cli.predict import predict
from convprop.cli.profile import profile
from convprop.cli.search import search
from convprop.cli.search_settings import SETTINGS
from convprop.cli.show import show
from convprop.cli.terminal import Terminal
from convprop.cli.train import train
from convprop.errors import ConvpropError, DataError, InvalidInput
from convprop.machine.memory import free_memory
from convprop.machine.threads import starting_threads
from convprop.shown import shortened
from convprop.version import version

COMMANDS: dict[Callable[..., object], str] = {
    train: "convprop train mnist --preset lenet5 --out lenet5.safetensors",
    explore: "convprop explore lenet5.safetensors mnist",
    evaluate: "convprop evaluate lenet5.safetensors mnist",
    predict: "convprop predict lenet5.safetensors scans/ --out digits.csv",
    search: "convprop search mnist --try learning_rate=0.001,0.003 --out best.toml",
    summary: "convprop summary lenet5",
    inspect_command: "convprop inspect lenet5.safetensors",
    profile: "convprop profile lenet5 --batch-size 128",
    find_rate: "convprop find-rate mnist --preset lenet5 --out rates.svg",
    show: "convprop show mnist --augment shift=2,rotation=10",
    check: "convprop check lenet5.safetensors",
}
"""The commands in the order of --help, each with an example."""


TABLE_COLUMNS = 52
"""In fewer columns the tables of --help would break the names of options in two."""


def build_app() -> App:
    """Return the command line; errors and Ctrl-C are left to the caller."""
    terminal = Terminal()
    app = App(
        name="convprop",
        help="Train convolutional networks on the CPU, and look at what they compute.",
        help_epilogue="Example: convprop train digits --out digits.safetensors",
        help_format="markdown",
        help_formatter="default" if terminal.width >= TABLE_COLUMNS else "plain",
        console=terminal,
        version=f"convprop {version()}",
        default_parameter=Parameter(negative=(), show_default=False),
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    for position, (command, example) in enumerate(COMMANDS.items()):
        app.command(
            command,
            usage=_usage(command),
            help_epilogue=f"Example: {example}",
            sort_key=position,
            config=read_config,
        )
    return app


def _usage(command: Callable[..., object]) -> str:
    """Return a command's usage line, with what may be left out in brackets."""
    words = ["Usage: convprop", command.__name__.replace("_", "-"), "[OPTIONS]"]
    for parameter in inspect.signature(command).parameters.values():
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            name = parameter.name.upper()
            words.append(name if parameter.default is inspect.Parameter.empty else f"[{name}]")
        elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            words.append(f"{parameter.name.upper()}...")
    return " ".join(words)


def _options(app: App, arguments: Sequence[str] | None) -> set[str]:
    """Return the names of the options of the command that is run, as parameters are named."""
    command = (sys.argv[1:] if arguments is None else arguments)[0]
    of_command = app[command].assemble_argument_collection()
    names = (name for argument in of_command for name in argument.names)
    return {name[2:].replace("-", "_") for name in names if name.startswith("--")}


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line, of this process if None, and return its exit status.

    0 is success, 1 a failure with a message on stderr, 2 wrong usage, 130 the end by Ctrl-C,
    143 by SIGTERM, as 128 + number by the other ``signals.NAMES``, 141 that of a reader of our
    output.
    """
    try:
        _startup.imported()
        output.begin()
        app = build_app()
        with starting_threads(), remarks.as_lines(Terminal(stderr=True)):
            try:
                status = app(arguments)
            except InvalidInput as error:
                raise remarks.error_in_options(error, _options(app, arguments)) from None
        output.put("")
    except BrokenPipeError:
        # What is still buffered must not raise again when the interpreter flushes it.
        output.write_nowhere(output.STDOUT)
        output.write_nowhere(output.STDERR)
        return EXIT_BROKEN_PIPE
    except KeyboardInterrupt:
        return _failure("interrupted", EXIT_INTERRUPTED)
    except CycloptsError as error:
        return _failure(usage_message(error, SETTINGS), EXIT_USAGE)
    except UsageError as error:
        return _failure(str(error), EXIT_USAGE)
    except MemoryError as error:
        asked = f"not enough memory: {error}".removesuffix(": ")
        free = f" ({size / 1e9:,.1f} GB are free)" if (size := free_memory()) else ""
        return _failure(asked + free, EXIT_FAILURE)
    except ConvpropError as error:
        return _failure(f"{error}{_cure(error)}", EXIT_FAILURE)
    except OSError as error:
        where = f"{shortened(str(error.filename))}: " if error.filename else ""
        return _failure(f"{where}{error.strerror or error}", EXIT_FAILURE)
    if isinstance(status, int) and status:
        return status
    return EXIT_FAILURE if output.has_failed() else 0


def _cure(error: ConvpropError) -> str:
    """Return a line about the option that mends an error; the commands that raise it have it."""
    if isinstance(error, DataError) and error.skippable:
        return "\n--skip-unreadable leaves out what cannot be read."
    return "\n--size 64 resizes every image to 64x64 pixels." if error.resizable else ""


def _failure(message: str, status: int) -> int:
    Terminal(stderr=True).headed("error: ", "bold red", message)
    return status


def main() -> None:
    """Run this process's command line; the ``convprop`` script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A character that the terminal's or the file's encoding lacks becomes "?".
            stream.reconfigure(errors="replace")
    sys.exit(run())
