"""How every command of the demos ends: whole, cut off by who reads it, or by Ctrl-C.

Rule of this file: the exit code is the command's own; 0 if its reader has seen enough (``| head``);
130 after Ctrl-C. A terminal that cannot show a character shows a sign for it.
"""

import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import NoReturn


def run(main: Callable[[], int]) -> NoReturn:
    """Run a command and exit with its code."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain
        code = 0
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
