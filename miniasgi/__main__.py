"""``python -m miniasgi``, the same as ``miniasgi``."""

import sys


def main() -> None:
    from miniasgi.monitor.commands import COMMANDS
    from miniasgi.queue.commands import run

    sys.exit(run(sys.argv[1:], COMMANDS))


if __name__ == "__main__":
    main()
