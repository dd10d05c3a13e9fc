"""A volume manager on volguard, with asyncpg and three tasks.

It takes work that was submitted for whichever manager is free, and does each piece under fenced tokens. Each task has a
connection of its own: the work, the heartbeat, and the cleanup after others.

    DATABASE_URL=postgresql://... VOLGUARD_HOST=node-1 VOLGUARD_LEASE=10000 python3 manager_asyncpg.py
"""

import asyncio
import contextlib
import json
import os
import signal
import uuid
from datetime import timedelta

import asyncpg

from faults import GRACE, RETRY, Broken, Left, Refused, fatal, sort_out
from lease import HEARTBEATS, Lease, now

# The longest step of the work between two looks at the lease (s).
STEP = 0.05


class Connection:
    """A connection that is opened when it is needed, whose statements have a time limit and commit by themselves."""

    def __init__(self, url: str, lease: Lease):
        self.url, self.lease = url, lease
        self.open: asyncpg.Connection | None = None

    async def once(self, sql: str, *arguments, wait: float = 0.0) -> list[asyncpg.Record]:
        """One try of a statement that waits in the server for so many seconds at most."""
        self.lease.check()
        try:
            if self.open is None:
                # A pooler in transaction mode knows no prepared statements.
                self.open = await asyncpg.connect(self.url, timeout=self.lease.patience(), statement_cache_size=0)
            # Nothing is sent after the loss, however long the process was stopped before this line.
            self.lease.check()
            # Not asyncpg's own `timeout`, nor asyncio's: both ask the server to cancel the statement, and wait for it.
            cut = asyncio.get_running_loop().call_later(wait + self.lease.patience(), self.open.terminate)
            try:
                return await self.open.fetch(sql, *arguments)
            finally:
                cut.cancel()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            state = getattr(error, "sqlstate", None)
            broken = self.open is None or self.open.is_closed()
            if self.open is not None and (broken or state == "25006"):
                self.open.terminate()
                self.open = None
            sort_out(error, state, broken, self.lease)

    async def ask(self, sql: str, *arguments, wait: float = 0.0) -> tuple[list[asyncpg.Record], bool]:
        """The same statement until it is answered, while the lease lasts; and whether it was sent more than once."""
        again = False
        while True:
            try:
                return await self.once(sql, *arguments, wait=wait), again
            except Broken:
                again = True
                await asyncio.sleep(RETRY)


async def at_most(seconds: float, event: asyncio.Event) -> None:
    """Waits for the event, for so long at most."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


class Manager:
    def __init__(self, url: str, host: str, lease: Lease):
        self.url, self.host, self.lease = url, host, lease
        self.connection, self.beats = Connection(url, lease), Connection(url, lease)
        self.stopping = asyncio.Event()
        # Calls wait for so long in the server, and then ask again: so the program sees a SIGTERM in time.
        self.wait = min(5.0, lease.seconds / 5)
        # Requests that may still take something on the server, by their ids: until when.
        self.unsettled: dict[uuid.UUID, float] = {}
        self.news = asyncio.Event()

    async def register(self) -> None:
        """Once: if that fails, the program ends, and whatever starts it again registers anew."""
        sent = now()
        ((self.service,),) = await self.beats.once(
            "SELECT volguard.register_service($1, 'manager', lease => $2)",
            self.host, timedelta(seconds=self.lease.seconds),
        )  # fmt: skip
        self.lease.begin(sent)
        self.lease.say(f"registered {self.service}")

    async def heartbeat(self) -> None:
        pause = self.lease.seconds / HEARTBEATS
        due = now() + pause
        while True:
            await asyncio.sleep(max(0.0, due - now()))
            sent = now()
            try:
                await self.beats.once("SELECT volguard.heartbeat($1)", self.service)
                self.lease.renew(sent)
                due = sent + pause
            except Broken:
                due = now() + RETRY

    async def clean_up(self) -> None:
        """Repairs after services that have crashed, and settles requests whose answers were lost."""
        connection = Connection(self.url, self.lease)
        while True:
            await at_most(0.5 if self.unsettled else self.lease.seconds / 3, self.news)
            self.news.clear()
            try:
                if self.unsettled:
                    over = [request for request, until in list(self.unsettled.items()) if until < now()]
                    await connection.once(
                        "SELECT volguard.release_requests($1, $2)", self.service, list(self.unsettled)
                    )
                    for request in over:
                        del self.unsettled[request]
                while ("more",) in await connection.once("SELECT state FROM volguard.auto_cleanup()", wait=30.0):
                    pass
            except Broken:
                await at_most(RETRY, self.news)

    def settle(self, request: uuid.UUID) -> None:
        """What this request takes is not wanted any more: it is put back, also if the server is at it still."""
        self.unsettled[request] = now() + self.wait + GRACE
        self.news.set()

    async def serve(self) -> None:
        while not self.stopping.is_set():
            # What a lost answer was about is put back; so each try has an id of its own.
            request = uuid.uuid4()
            try:
                work = await self.connection.once(
                    "SELECT token, work_id, resource_id, details FROM volguard.next_work($1, "
                    "resource_type => 'volume', operations => '{extend}', wait => $2, request_id => $3)",
                    self.service, timedelta(seconds=self.wait), request, wait=self.wait,
                )  # fmt: skip
            except Broken:
                self.settle(request)
                await at_most(RETRY, self.stopping)
                continue
            for piece in work:
                await self.with_log(*piece)
        self.lease.leaving = True
        try:
            await self.connection.ask("SELECT volguard.deregister_service($1)", self.service)
        except Left:
            pass  # By the call before, whose answer was lost.
        self.lease.say("stopped")

    async def with_log(self, token: int, work_id: int, volume: str, details: str) -> None:
        """Does a piece of work while it holds a plain lock, on the manager's own log."""
        request, log, doubt = uuid.uuid4(), None, False
        while log is None and not self.stopping.is_set():
            ((log,),), again = await self.connection.ask(
                "SELECT volguard.acquire($1, 'manager-log', $2, wait => $3, request_id => $4)",
                self.service, self.host, timedelta(seconds=self.wait), request, wait=self.wait,
            )  # fmt: skip
            doubt = doubt or again
        try:
            if log is not None:
                self.lease.say(f"begin {token} {volume}")
                await self.extend(token, work_id, volume, details)
        except Refused:
            self.lease.say(f"refused {token} {volume}")
        if self.stopping.is_set():
            # Back into the queue, unless it is finished.
            await self.connection.ask("SELECT volguard.release($1)", token)
        if log is not None:
            await self.connection.ask("SELECT volguard.release($1)", log)
        if doubt:
            self.settle(request)

    async def extend(self, token: int, work_id: int, volume: str, details: str) -> None:
        """The work: steps on the storage, each under the lease, and writes to the database, each under the token."""
        wishes = json.loads(details)  # asyncpg gives and takes jsonb as text.
        begun, written = now(), False
        until = begun + wishes["milliseconds"] / 1000
        while not self.stopping.is_set():
            self.lease.check()
            if not written and now() >= (begun + until) / 2:
                # Safe to repeat: it sets the size, and does not add to it.
                ((outcome,),), _ = await self.connection.ask(
                    "SELECT outcome FROM volguard.conditional_update('app.volumes', key => $1, changes => $2, "
                    "fence => $3)",
                    json.dumps({"id": volume}), json.dumps({"size": wishes["size"]}), token,
                )  # fmt: skip
                if outcome != "updated":
                    raise Refused
                written = True
            if written and now() >= until:
                await self.finish(token, work_id)
                self.lease.say(f"end {token} {volume}")
                return
            await at_most(STEP, self.stopping)

    async def finish(self, token: int, work_id: int) -> None:
        ((outcome,),), again = await self.connection.ask(
            "SELECT outcome FROM volguard.finish_work($1, $2, target => 'app.volumes')",
            token, json.dumps({"status": "available"}),
        )  # fmt: skip
        if outcome == "updated":
            return
        # Refused after a lost answer: the first call has done it, or the token was lost before. Work that has ended is
        # gone; and as long as this service lives, only its own call can have ended it.
        if again:
            ((ended,),), _ = await self.connection.ask(
                "SELECT fenced_at IS NULL AND NOT EXISTS (SELECT FROM volguard.lock_status WHERE work_id = $1) "
                "FROM volguard.service_status WHERE service_id = $2",
                work_id, self.service,
            )  # fmt: skip
            if ended:
                return
        raise Refused


async def run() -> None:
    lease = Lease(int(os.environ.get("VOLGUARD_LEASE", "10000")) / 1000)
    manager = Manager(os.environ["DATABASE_URL"], os.environ["VOLGUARD_HOST"], lease)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, manager.stopping.set)
    await manager.register()
    tasks = [asyncio.create_task(task()) for task in (manager.heartbeat, manager.clean_up)]
    for task in tasks:
        task.add_done_callback(lambda done: done.cancelled() or done.exception() is None or fatal(done.exception()))
    await manager.serve()


def main() -> None:
    try:
        asyncio.run(run())
    except Exception as error:
        fatal(error)


if __name__ == "__main__":
    main()
