"""The ``convprop`` command: arguments in, calls out. Nothing else imports cyclopts and rich."""

from __future__ import annotations

from convprop.cli.app import main

__all__ = ["main"]
