"""The loops of a volume manager with threads: heartbeats, cleanup after others, work, and its end.

The managers of this folder that have threads share them. What differs is how a driver makes the calls: see `Calls`.
"""

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from faults import GRACE, RETRY, Broken, Left, Refused, fatal
from lease import HEARTBEATS, Lease, now

# The longest step of the work between two looks at the lease (s).
STEP = 0.05


class Calls(Protocol):
    """The calls of a manager. Each raises `Broken`, `Refused` or `Left`, and ends the process if the lease is lost.

    Those that give an answer *and whether it was asked for again* repeat the call until it is answered.
    """

    def register(self, host: str) -> int: ...
    def heartbeat(self, service: int) -> None: ...
    def auto_cleanup(self) -> bool:
        """Whether more is left to clean up."""

    def next_work(self, service: int, request: uuid.UUID, wait: float) -> Iterable[tuple[int, int, str, dict]]:
        """Tokens, numbers of the work, volumes, details. A lost answer is not asked for again."""

    def acquire_log(self, service: int, host: str, request: uuid.UUID, wait: float) -> tuple[int | None, bool]: ...
    def write_size(self, token: int, volume: str, size: int) -> None: ...
    def finish(self, token: int) -> tuple[str, bool]: ...
    def has_ended(self, service: int, work_id: int) -> bool:
        """Whether the service lives, and this work is gone."""

    def release(self, token: int) -> None: ...
    def release_requests(self, service: int, requests: Collection[uuid.UUID]) -> None:
        """Once; a lost answer is not asked for again."""

    def deregister(self, service: int) -> None: ...


class Manager:
    """It takes work that was submitted for whichever manager is free, and does each piece under fenced tokens.

    Three threads: the work, the heartbeat, and the cleanup after others. The heartbeat needs calls of its own.
    """

    def __init__(self, host: str, lease: Lease, calls: Calls, beats: Calls, repairs: Calls):
        self.host, self.lease = host, lease
        self.calls, self.beats, self.repairs = calls, beats, repairs
        self.stopping = threading.Event()
        # Calls wait for so long in the server, and then ask again: so the program sees a SIGTERM in time.
        self.wait = min(5.0, lease.seconds / 5)
        # Requests that may still take something on the server, by their ids: until when.
        self.unsettled: dict[uuid.UUID, float] = {}
        self.news = threading.Event()

    def register(self) -> None:
        """Once: if that fails, the program ends, and whatever starts it again registers anew."""
        sent = now()
        self.service = self.beats.register(self.host)
        self.lease.begin(sent)
        self.lease.say(f"registered {self.service}")

    def heartbeat(self) -> None:
        pause = self.lease.seconds / HEARTBEATS
        due = now() + pause
        while True:
            time.sleep(max(0.0, due - now()))
            sent = now()
            try:
                self.beats.heartbeat(self.service)
                self.lease.renew(sent)
                due = sent + pause
            except Broken:
                due = now() + RETRY

    def clean_up(self) -> None:
        """Repairs after services that have crashed, and settles requests whose answers were lost."""
        while True:
            self.news.wait(0.5 if self.unsettled else self.lease.seconds / 3)
            self.news.clear()
            try:
                if self.unsettled:
                    over = [request for request, until in list(self.unsettled.items()) if until < now()]
                    self.repairs.release_requests(self.service, list(self.unsettled))
                    for request in over:
                        del self.unsettled[request]
                while self.repairs.auto_cleanup():
                    pass
            except Broken:
                self.news.wait(RETRY)

    def settle(self, request: uuid.UUID) -> None:
        """What this request takes is not wanted any more: it is put back, also if the server is at it still."""
        self.unsettled[request] = now() + self.wait + GRACE
        self.news.set()

    def serve(self) -> None:
        while not self.stopping.is_set():
            # What a lost answer was about is put back; so each try has an id of its own.
            request = uuid.uuid4()
            try:
                work = self.calls.next_work(self.service, request, self.wait)
            except Broken:
                self.settle(request)
                self.stopping.wait(RETRY)
                continue
            for piece in work:
                self.with_log(*piece)
        self.lease.leaving = True
        try:
            self.calls.deregister(self.service)
        except Left:
            pass  # By the call before, whose answer was lost.
        self.lease.say("stopped")

    def with_log(self, token: int, work_id: int, volume: str, details: dict) -> None:
        """Does a piece of work while it holds a plain lock, on the manager's own log."""
        request, log, doubt = uuid.uuid4(), None, False
        while log is None and not self.stopping.is_set():
            log, again = self.calls.acquire_log(self.service, self.host, request, self.wait)
            doubt = doubt or again
        try:
            if log is not None:
                self.lease.say(f"begin {token} {volume}")
                self.extend(token, work_id, volume, details)
        except Refused:
            self.lease.say(f"refused {token} {volume}")
        if self.stopping.is_set():
            # Back into the queue, unless it is finished.
            self.calls.release(token)
        if log is not None:
            self.calls.release(log)
        if doubt:
            self.settle(request)

    def extend(self, token: int, work_id: int, volume: str, details: dict) -> None:
        """The work: steps on the storage, each under the lease, and writes to the database, each under the token."""
        begun, written = now(), False
        until = begun + details["milliseconds"] / 1000
        while not self.stopping.is_set():
            self.lease.check()
            if not written and now() >= (begun + until) / 2:
                # Safe to repeat: it sets the size, and does not add to it.
                self.calls.write_size(token, volume, details["size"])
                written = True
            if written and now() >= until:
                self.finish(token, work_id)
                self.lease.say(f"end {token} {volume}")
                return
            self.stopping.wait(STEP)

    def finish(self, token: int, work_id: int) -> None:
        outcome, again = self.calls.finish(token)
        if outcome == "updated":
            return
        # Refused after a lost answer: the first call has done it, or the token was lost before. Work that has ended is
        # gone; and as long as this service lives, only its own call can have ended it.
        if not (again and self.calls.has_ended(self.service, work_id)):
            raise Refused


def run(make_calls: Callable[[str, Lease], Calls]) -> None:
    """A manager from its start to its end; `make_calls` makes the calls for a URL and a lease."""
    lease = Lease(int(os.environ.get("VOLGUARD_LEASE", "10000")) / 1000)
    calls, beats, repairs = (make_calls(os.environ["DATABASE_URL"], lease) for _ in range(3))
    manager = Manager(os.environ["VOLGUARD_HOST"], lease, calls, beats, repairs)
    signal.signal(signal.SIGTERM, lambda *_: manager.stopping.set())
    threading.excepthook = lambda thread: fatal(thread.exc_value)
    try:
        manager.register()
        for task in (manager.heartbeat, manager.clean_up):
            threading.Thread(target=task, daemon=True).start()
        manager.serve()
    except Exception as error:
        fatal(error)
