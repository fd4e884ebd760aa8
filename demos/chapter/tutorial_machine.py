"""A machine with what each framework's tutorial installs: a file of jobs, or a Redis and a Celery.

On miniasgi it is a `demos.machine.Machine`. On FastAPI its worker is Celery's, and a Redis of its
own comes up before the server: the broker that the sample names. ``miniasgi_redis`` is our queue on
such a Redis.
"""

import sys

from demos.machine import Machine
from demos.redis_server import RedisServer
from demos.servers import DemoError, Server


class TutorialMachine(Machine):
    """As the runner knows a machine; its Redis ends with it."""

    queue = "demos.chapter.jobs:queue"
    redis: RedisServer | None = None

    def _new_server(self, port: int = 0) -> Server:
        if self.framework != "miniasgi" and self.redis is None:
            try:
                self.redis = RedisServer(self.folder)
            except OSError as exc:
                self.mail.close()
                self._folder.cleanup()
                raise DemoError(str(exc)) from exc
            self.environment["CHAPTER_BROKER"] = self.redis.url(0)
            self.environment["CHAPTER_BACKEND"] = self.redis.url(1)
            self.environment["MINIASGI_BROKER"] = self.redis.url(2)
        return super()._new_server(port)

    def worker_command(self, place: str, *options: str) -> list[str]:
        if self.framework == "fastapi":
            return [sys.executable, "-m", "demos.chapter.celery_work", place]
        return super().worker_command(place, *options)

    def end(self) -> None:
        if self.redis is not None:
            self.redis.kill()
        super().end()
