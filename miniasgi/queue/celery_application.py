"""The Celery application of a queue: what has to be set so that nothing is lost.

docs/celery.md has each setting with Celery's default and the reason. Rule of this file: nothing
that another application in this process may use is changed; a serializer is added.
"""

import json
from typing import Any
from urllib.parse import quote

from celery import Celery
from kombu.serialization import register

PRIORITIES = 10  #: 0 to 9: what Redis is given lists for, and RabbitMQ a queue

# kombu's own brings {"__type__": "datetime", ...} back as an object, which JSON did not say.
register("plain-json", json.dumps, json.loads, "application/x-plain-json", "utf-8")  # type: ignore[no-untyped-call]


def application(
    name: str, broker: str, backend: str, ttl: float, patience: float, visibility: float
) -> Any:
    """A Celery application that loses nothing. ``patience``: seconds to wait for the broker."""
    app = Celery(name, broker=broker, backend=backend, set_as_current=False)
    attempts = {"max_retries": 1, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2}
    transport: dict[str, Any] = {"connect_retries_timeout": patience, **attempts}
    if broker.startswith("amqp"):
        transport |= {"confirm_publish": True, "read_timeout": patience, "write_timeout": patience}
    else:
        transport |= {
            "visibility_timeout": visibility,
            "socket_timeout": patience,
            "socket_connect_timeout": patience,
            "priority_steps": list(range(PRIORITIES)),
            "queue_order_strategy": "priority",
            "unacked_key": f"{name}-unacked",
            "unacked_index_key": f"{name}-unacked-index",
            "unacked_mutex_key": f"{name}-unacked-mutex",
            "unacked_restore_interval": max(1, min(10, int(visibility / 2))),
            "unacked_restore_throttle": 1,
        }
    app.conf.update(
        accept_content=["json", "plain-json"],
        broker_connection_max_retries=None,
        broker_connection_retry_on_startup=True,
        broker_connection_timeout=patience,
        broker_transport_options=transport,
        control_exchange=quote(name, safe=""),  # on Redis it is part of a pattern
        redis_socket_connect_timeout=patience,
        redis_socket_timeout=patience,
        result_accept_content=["json", "plain-json"],
        result_backend_always_retry=True,
        result_backend_transport_options={"retry_policy": attempts},
        result_expires=int(ttl),
        result_serializer="plain-json",
        task_acks_late=True,
        task_default_queue=name,
        task_publish_retry_policy=attempts,
        task_queue_max_priority=PRIORITIES - 1 if broker.startswith("amqp") else None,
        task_reject_on_worker_lost=True,
        task_serializer="plain-json",
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_prefetch_multiplier=1,
    )
    return app
