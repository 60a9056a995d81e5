"""The command line: ``counterflow demo | fit | explain | evaluate | density | replay``."""

from counterflow.cli.running import main

__all__ = ["main"]
