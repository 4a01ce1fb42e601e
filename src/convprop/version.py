"""Which convprop this is."""


def version() -> str:
    """Return the version that is installed."""
    # It takes a fifth of the import's time, and few ask.
    from importlib import metadata

    return metadata.version("convprop")
