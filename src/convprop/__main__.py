"""``python -m convprop`` is the ``convprop`` command."""

from __future__ import annotations

from convprop.cli import main

if __name__ == "__main__":
    main()
