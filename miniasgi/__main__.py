"""``python -m miniasgi``, the same as ``miniasgi``."""

import sys
from io import TextIOWrapper


def main() -> None:
    if isinstance(sys.stdout, TextIOWrapper):  # a terminal that cannot show a name shows a sign
        sys.stdout.reconfigure(errors="replace")
    from miniasgi.monitor.commands import COMMANDS
    from miniasgi.queue.commands import run

    sys.exit(run(sys.argv[1:], COMMANDS))


if __name__ == "__main__":
    main()
