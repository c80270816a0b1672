"""The programs, as tests of the command line drive them."""

from cli.conftest import cache, program

__all__ = ["cache", "program"]
