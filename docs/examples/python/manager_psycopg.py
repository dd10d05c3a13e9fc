"""A volume manager on volguard, with psycopg 3 and threads: the calls. `manager.py` has the loops.

Three threads, each with a connection of its own: the work, the heartbeat, and the cleanup after others.

    DATABASE_URL=postgresql://... VOLGUARD_HOST=node-1 VOLGUARD_LEASE=10000 python3 manager_psycopg.py
"""

import time
import uuid
from collections.abc import Collection
from datetime import timedelta

import psycopg
from psycopg.types.json import Jsonb

from cut import cut_after
from faults import RETRY, Broken, Refused, sort_out
from lease import Lease
from manager import run


class Connection:
    """A connection that is opened when it is needed, whose statements have a time limit and commit by themselves."""

    def __init__(self, url: str, lease: Lease):
        self.url, self.lease = url, lease
        self.open: psycopg.Connection | None = None

    def once(self, sql: str, *arguments, wait: float = 0.0) -> list[tuple]:
        """One try of a statement that waits in the server for so many seconds at most."""
        self.lease.check()
        try:
            if self.open is None:
                self.open = self.connect()
            # Nothing is sent after the loss, however long the process was stopped before this line.
            self.lease.check()
            with cut_after(wait + self.lease.patience(), self.open.fileno()):
                return self.open.execute(sql, arguments).fetchall()
        except psycopg.Error as error:
            broken = self.open is None or self.open.closed
            if self.open is not None and (broken or error.sqlstate == "25006"):
                self.open.close()
                self.open = None
            sort_out(error, error.sqlstate, broken, self.lease)

    def ask(self, sql: str, *arguments, wait: float = 0.0) -> tuple[list[tuple], bool]:
        """The same statement until it is answered, while the lease lasts; and whether it was sent more than once."""
        again = False
        while True:
            try:
                return self.once(sql, *arguments, wait=wait), again
            except Broken:
                again = True
                time.sleep(RETRY)

    def connect(self) -> psycopg.Connection:
        seconds = max(1, round(self.lease.patience()))
        return psycopg.connect(
            self.url,
            autocommit=True,
            prepare_threshold=None,  # A pooler in transaction mode knows no prepared statements.
            connect_timeout=max(2, seconds),  # 2 is libpq's smallest.
            tcp_user_timeout=1000 * seconds,
            keepalives_idle=seconds,
            keepalives_interval=1,
            keepalives_count=3,
        )


class Calls(Connection):
    """The calls of volguard on a connection."""

    def register(self, host: str) -> int:
        ((service,),) = self.once(
            "SELECT volguard.register_service(%s, 'manager', lease => %s)",
            host, timedelta(seconds=self.lease.seconds),
        )  # fmt: skip
        return service

    def heartbeat(self, service: int) -> None:
        self.once("SELECT volguard.heartbeat(%s)", service)

    def auto_cleanup(self) -> bool:
        return ("more",) in self.once("SELECT state FROM volguard.auto_cleanup()", wait=30.0)

    def next_work(self, service: int, request: uuid.UUID, wait: float) -> list[tuple]:
        return self.once(
            "SELECT token, work_id, resource_id, details FROM volguard.next_work(%s, resource_type => 'volume', "
            "operations => '{extend}', wait => %s, request_id => %s)",
            service, timedelta(seconds=wait), request, wait=wait,
        )  # fmt: skip

    def acquire_log(self, service: int, host: str, request: uuid.UUID, wait: float) -> tuple[int | None, bool]:
        ((token,),), again = self.ask(
            "SELECT volguard.acquire(%s, 'manager-log', %s, wait => %s, request_id => %s)",
            service, host, timedelta(seconds=wait), request, wait=wait,
        )  # fmt: skip
        return token, again

    def write_size(self, token: int, volume: str, size: int) -> None:
        ((outcome,),), _ = self.ask(
            "SELECT outcome FROM volguard.conditional_update('app.volumes', key => %s, changes => %s, fence => %s)",
            Jsonb({"id": volume}), Jsonb({"size": size}), token,
        )  # fmt: skip
        if outcome != "updated":
            raise Refused

    def finish(self, token: int) -> tuple[str, bool]:
        ((outcome,),), again = self.ask(
            "SELECT outcome FROM volguard.finish_work(%s, %s, target => 'app.volumes')",
            token, Jsonb({"status": "available"}),
        )  # fmt: skip
        return outcome, again

    def has_ended(self, service: int, work_id: int) -> bool:
        ((ended,),), _ = self.ask(
            "SELECT fenced_at IS NULL AND NOT EXISTS (SELECT FROM volguard.lock_status WHERE work_id = %s) "
            "FROM volguard.service_status WHERE service_id = %s",
            work_id, service,
        )  # fmt: skip
        return ended

    def release(self, token: int) -> None:
        self.ask("SELECT volguard.release(%s)", token)

    def release_requests(self, service: int, requests: Collection[uuid.UUID]) -> None:
        self.once("SELECT volguard.release_requests(%s, %s)", service, list(requests))

    def deregister(self, service: int) -> None:
        self.ask("SELECT volguard.deregister_service(%s)", service)


if __name__ == "__main__":
    run(Calls)
