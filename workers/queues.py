"""Putting work on RQ. A job says where there is work ("lane 17"), never what the work is.

Redis holds no truth (P7): a job that is lost, refused or run twice changes nothing but when
the work is done. So an id that exists is enough to leave it be, unless it has been there so
long that whoever had it must be gone.
"""

from __future__ import annotations

from datetime import UTC, datetime

from redis import Redis
from rq import Queue
from rq.exceptions import DuplicateJobError, NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

NAME = "winback"

#: No job works longer than a few seconds, so one older than this (seconds) has lost its worker.
STALE = 15.0
JOB_TIMEOUT = 60
#: Of the one that may upload large files.
UPLOAD = 900
_ENDED = (JobStatus.FAILED, JobStatus.FINISHED, JobStatus.STOPPED, JobStatus.CANCELED)


def connect(url: str) -> Redis:
    """A Redis client for RQ: answers are bytes, a dead server is noticed within seconds."""
    return Redis.from_url(url, socket_connect_timeout=3, health_check_interval=15)


class WorkQueue:
    """The queue of jobs, each known by a name such as ``drain-17`` and there at most once."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.queue = Queue(NAME, connection=redis, serializer=JSONSerializer)

    def drain(self, lane: int) -> None:
        self._put(f"drain-{lane}", "workers.jobs.drain", lane)

    def wake(self) -> None:
        self._put("wake", "workers.jobs.wake")

    def deliver(self, shard: int) -> None:
        self._put(f"deliver-{shard}", "workers.jobs.deliver", shard)

    def sync(self) -> None:
        self._put("sync", "workers.jobs.sync", timeout=UPLOAD)

    def push(self) -> None:
        self._put("push", "workers.jobs.push")

    def let_go(self) -> None:
        """Before all else, for somebody has bought and is still on a list. By a name of its own:
        that the lists are to be gone through in their turn must not hold it up."""
        self._put("removals", "workers.jobs.let_go", front=True)

    def reconcile(self) -> None:
        self._put("reconcile", "workers.jobs.reconcile")

    def watch(self) -> None:
        self._put("watch", "workers.jobs.watch")

    def calendars(self) -> None:
        self._put("calendars", "workers.jobs.calendars")

    def look(self) -> None:
        self._put("look", "workers.jobs.look")

    def segments(self) -> None:
        self._put("segments", "workers.jobs.segments")

    def forget(self) -> None:
        self._put("forget", "workers.jobs.forget")

    def _put(
        self,
        name: str,
        job: str,
        *args: int,
        front: bool = False,
        timeout: int = JOB_TIMEOUT,
    ) -> None:
        for _ in range(2):
            try:
                self.queue.enqueue_call(
                    job,
                    args=args,
                    job_id=name,
                    timeout=timeout,
                    result_ttl=0,
                    failure_ttl=60,
                    at_front=front,
                    unique=True,
                )
                return
            except DuplicateJobError:
                if not self._clear_if_dead(name):
                    return

    def _clear_if_dead(self, name: str) -> bool:
        """Remove a job that can no longer be expected to run; False while it can."""
        try:
            job = Job.fetch(name, connection=self.redis, serializer=JSONSerializer)
        except NoSuchJobError:
            return True
        status = job.get_status(refresh=False)
        since = job.started_at if status == JobStatus.STARTED else job.enqueued_at
        if status not in _ENDED and since is not None:
            age = (datetime.now(UTC) - _aware(since)).total_seconds()
            if age < STALE:
                return False
        job.delete()
        return True


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
