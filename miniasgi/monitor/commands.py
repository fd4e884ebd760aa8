"""The monitor's part of the command line: ``monitor`` serves it, ``status --check`` asks alarms.

A check looks once and exits, so it knows no "pending": what is over its limit fires, and the exit
code is 1. That is what cron and Nagios want.
"""

import argparse
import os
import time
from dataclasses import replace

from miniasgi.monitor.alarms import Alarms, Watchman
from miniasgi.queue import commands


def monitor(options: argparse.Namespace) -> None:
    """Serve pages, JSON and metrics of a queue; $MINIASGI_MONITOR_TOKEN allows actions."""
    queue = commands.code_at(options.where)
    token = os.environ.get("MINIASGI_MONITOR_TOKEN")
    try:
        import uvicorn

        from miniasgi.monitor import monitor

        app = monitor(queue, token, options.hide_arguments, _alarms(options), options.flower)
    except ImportError as exc:
        raise ImportError(f"{exc.name} is missing: pip install 'miniasgi[monitor,serve]'") from exc
    # A stream of events never ends by itself; the browser comes back.
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        access_log=False,
        timeout_graceful_shutdown=1,
    )


def status(options: argparse.Namespace) -> int:
    """Count the jobs of each queue, and the workers; --check asks the alarms."""
    if not options.check:
        commands.status(options)
        return 0
    from miniasgi.monitor.figures import Figures

    seen = Figures(commands.queue_at(options.where).writer, "").look(time.time())
    watchman = Watchman(replace(_alarms(options), patience=0.0))
    alarms = watchman.judge(seen.measured(), seen.at)
    commands.print_rows([{name: alarm[name] for name in _TOLD} for alarm in alarms], options.json)
    return int(any(alarm["state"] == "firing" for alarm in alarms))


_TOLD = ("name", "state", "value", "limit")


def _alarms(options: argparse.Namespace) -> Alarms:
    return Alarms(options.backlog, options.running, options.failure_rate)


_LIMITS: list[tuple[str, dict[str, object]]] = [
    ("--backlog", {"type": float, "default": 1000, "help": "more ready jobs alarm (1000)"}),
    ("--running", {"type": float, "default": 300.0, "help": "a job of more seconds alarms (300)"}),
    (
        "--failure-rate",
        {"type": float, "default": 0.05, "help": "more failures in 5 minutes alarm (0.05)"},
    ),
]
COMMANDS: commands.Commands = {
    status: [
        ("--json", {"action": "store_true", "help": "one JSON object a line"}),
        ("--check", {"action": "store_true", "help": "ask the alarms: exit 1 if one fires"}),
        *_LIMITS,
    ],
    monitor: [
        commands.CODE,
        ("--host", {"default": "127.0.0.1", "help": "(127.0.0.1: this machine only)"}),
        ("--port", {"type": int, "default": 8001, "help": "(8001)"}),
        ("--flower", {"help": "Flower's address, to link to from a queue on Celery"}),
        ("--hide-arguments", {"action": "store_true", "help": "show no arguments and results"}),
        *_LIMITS,
    ],
}
