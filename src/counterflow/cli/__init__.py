"""The command line: ``counterflow demo | fit | explain | evaluate | density | replay | audit | images``."""

from counterflow.cli.running import main

__all__ = ["main"]
