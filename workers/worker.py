"""A worker process: takes jobs from RQ and runs them in this process, one after another.

No fork per job (RQ's default costs more than most jobs), one set of connections, JSON only.
"""

from __future__ import annotations

import logging
import os
import sys
import time

from redis.exceptions import RedisError
from rq import Queue
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import SimpleWorker

from engine.runtime.memory import look_for_cycles_seldom
from workers import jobs

log = logging.getLogger("winback.worker")


class BatchWorker(SimpleWorker):
    """RQ's in-process worker, that looks once more after a job has let go of its id."""

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        done = super().perform_job(job, queue, execution)
        try:
            jobs.look_again(job.id)
        except Exception as error:  # the clock finds what this look missed
            log.warning("could not look again after %s: %s", job.id, type(error).__name__)
        return done


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("rq").setLevel(logging.WARNING)
    at = jobs.bench()
    look_for_cycles_seldom()
    pause = 0.1
    while True:
        worker = BatchWorker(
            [at.queue.queue],
            connection=at.queue.redis,
            serializer=JSONSerializer,
            name=f"winback-{os.uname().nodename}-{os.getpid()}-{time.time_ns()}",
            worker_ttl=60,
        )
        try:
            worker.work(logging_level="WARNING", with_scheduler=False)
            return 0  # asked to stop, and the last job is done
        except RedisError as error:
            # Redis is away; what it held is in PostgreSQL. Come back when it does.
            log.warning("no Redis (%s), trying again in %.1f s", type(error).__name__, pause)
            time.sleep(pause)
            pause = min(pause * 2, 2.0)


if __name__ == "__main__":
    sys.exit(main())
