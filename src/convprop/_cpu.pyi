def supported_isas() -> list[str]:
    """Names of the engines this processor can run, best first."""
