"""A volume manager on volguard, with SQLAlchemy 2 over psycopg 3, and threads: the calls. `manager.py` has the loops.

The heartbeat has an engine, and so a connection, of its own: a pool that is exhausted must not delay it.

    DATABASE_URL=postgresql://... VOLGUARD_HOST=node-1 VOLGUARD_LEASE=10000 python3 manager_sqlalchemy.py
"""

import json
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import TypeVar

import sqlalchemy
from sqlalchemy import Column, Executable, Integer, MetaData, Row, Table, Text, create_engine, make_url, text, update
from sqlalchemy.exc import DBAPIError, OperationalError

from cut import cut_after
from faults import RETRY, Broken, sort_out
from lease import Lease
from manager import run

T = TypeVar("T")
VOLUMES = Table("volumes", MetaData(schema="app"), Column("id", Text), Column("status", Text), Column("size", Integer))


class Connections:
    """Statements by connections of an engine: each commits by itself, and has a time limit.

    Without AUTOCOMMIT, SQLAlchemy begins a transaction with the first statement of a connection: a lock would not be
    held before the program commits.
    """

    def __init__(self, url: str, lease: Lease):
        self.lease = lease
        seconds = max(1, round(lease.seconds / 3))
        self.engine = create_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            isolation_level="AUTOCOMMIT",
            connect_args={
                "prepare_threshold": None,  # A pooler in transaction mode knows no prepared statements.
                "connect_timeout": max(5, seconds),  # Also for the first one, before there is a lease.
                "tcp_user_timeout": 1000 * seconds,
                "keepalives_idle": seconds,
                "keepalives_interval": 1,
                "keepalives_count": 3,
            },
        )

    def run(self, work: Callable[[sqlalchemy.Connection], T], engine: sqlalchemy.Engine, wait: float = 0.0) -> T:
        """Does something on a connection of the pool, which waits in the server for so many seconds at most."""
        self.lease.check()
        try:
            with engine.connect() as connection:
                # Nothing is sent after the loss, however long the process was stopped before this line.
                self.lease.check()
                with cut_after(wait + self.lease.patience(), connection.connection.driver_connection.fileno()):
                    return work(connection)
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            # Without a state: no connection, or one that broke.
            broken = state is None and isinstance(error, OperationalError)
            sort_out(error, state, broken, self.lease)

    def once(self, sql: str, wait: float = 0.0, **arguments) -> Sequence[Row]:
        """One try of a statement."""
        return self.run(lambda connection: connection.execute(text(sql), arguments).all(), self.engine, wait)

    def ask(self, sql: str, wait: float = 0.0, **arguments) -> tuple[Sequence[Row], bool]:
        """The same statement until it is answered, while the lease lasts; and whether it was sent more than once."""
        again = False
        while True:
            try:
                return self.once(sql, wait, **arguments), again
            except Broken:
                again = True
                time.sleep(RETRY)

    def fenced(self, token: int, *statements: Executable) -> None:
        """Writes in one transaction, all or nothing: only if the token is held, which it stays until the commit."""

        def write(connection: sqlalchemy.Connection) -> None:
            with connection.begin():
                connection.execute(text("SELECT volguard.assert_held(:token)"), {"token": token})
                for statement in statements:
                    connection.execute(statement)

        while True:
            try:
                return self.run(write, self.engine.execution_options(isolation_level="READ COMMITTED"))
            except Broken:
                time.sleep(RETRY)  # So the statements must be such that they can be repeated.


class Calls(Connections):
    """The calls of volguard on an engine."""

    def register(self, host: str) -> int:
        ((service,),) = self.once(
            "SELECT volguard.register_service(:host, 'manager', lease => :lease)",
            host=host,
            lease=timedelta(seconds=self.lease.seconds),
        )
        return service

    def heartbeat(self, service: int) -> None:
        self.once("SELECT volguard.heartbeat(:service)", service=service)

    def auto_cleanup(self) -> bool:
        return ("more",) in self.once("SELECT state FROM volguard.auto_cleanup()", wait=30.0)

    def next_work(self, service: int, request: uuid.UUID, wait: float) -> Sequence[Row]:
        return self.once(
            "SELECT token, work_id, resource_id, details FROM volguard.next_work(:service, resource_type => 'volume', "
            "operations => '{extend}', wait => :patience, request_id => :request)",
            wait=wait,
            service=service,
            patience=timedelta(seconds=wait),
            request=request,
        )

    def acquire_log(self, service: int, host: str, request: uuid.UUID, wait: float) -> tuple[int | None, bool]:
        ((token,),), again = self.ask(
            "SELECT volguard.acquire(:service, 'manager-log', :host, wait => :patience, request_id => :request)",
            wait=wait,
            service=service,
            host=host,
            patience=timedelta(seconds=wait),
            request=request,
        )
        return token, again

    def write_size(self, token: int, volume: str, size: int) -> None:
        self.fenced(token, update(VOLUMES).where(VOLUMES.c.id == volume).values(size=size))

    def finish(self, token: int) -> tuple[str, bool]:
        ((outcome,),), again = self.ask(
            "SELECT outcome FROM volguard.finish_work(:token, :changes, target => 'app.volumes')",
            token=token,
            changes=json.dumps({"status": "available"}),
        )
        return outcome, again

    def has_ended(self, service: int, work_id: int) -> bool:
        ((ended,),), _ = self.ask(
            "SELECT fenced_at IS NULL AND NOT EXISTS (SELECT FROM volguard.lock_status WHERE work_id = :work) "
            "FROM volguard.service_status WHERE service_id = :service",
            work=work_id,
            service=service,
        )
        return ended

    def release(self, token: int) -> None:
        self.ask("SELECT volguard.release(:token)", token=token)

    def release_requests(self, service: int, requests: Collection[uuid.UUID]) -> None:
        self.once(
            "SELECT volguard.release_requests(:service, :requests)", service=service, requests=list(requests)
        )

    def deregister(self, service: int) -> None:
        self.ask("SELECT volguard.deregister_service(:service)", service=service)


if __name__ == "__main__":
    run(Calls)
