"""A tooz driver on volguard: `volguard://user@host/database` as Cinder's `[coordination] backend_url`.

| in tooz | in volguard |
|---|---|
| a coordinator, from `start` to `stop` | a service, whose lease is the option `timeout` (seconds, 30 by default) |
| a lock | a plain lock of that service: type `tooz`, the name of the lock as id |
| a group | a lock of type `tooz-group`, held by a service of its own that outlives coordinators |
| a member of a group, its leader | further locks of the group's resource: `member/NAME`, `leader` |
| capabilities | details of the member's service |

So all ends with the lease of a coordinator, but its groups; and no table is needed. Names are percent-encoded.
"""

import base64
import contextlib
import logging
import socket
import sys
import threading
import time
import urllib.parse
import uuid

import psycopg
import psycopg.waiting
import tooz
from psycopg.types.json import Jsonb
from tooz import coordination, locking, utils

LOG = logging.getLogger(__name__)

LOCK, GROUP, KEEPER = "tooz", "tooz-group", "tooz-keeper"
# All printable ASCII stays readable in `lock_status`.
READABLE = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")
# One statement of an acquire that waits without limit; a waiting statement holds vacuum back.
LONGEST_WAIT = 30.0
# The groups of an application are forgotten when no coordinator of it has run for so long.
KEEPER_LEASE = 30 * 24 * 3600.0

HOLDER = """
    SELECT token, details FROM volguard.lock_status
    WHERE resource_type = %s AND resource_id = %s AND lock_name = %s AND alive"""
GROUPS = "SELECT resource_id FROM volguard.lock_status WHERE resource_type = %s AND lock_name = '' AND alive"
# One statement sees the group and its members at one moment.
MEMBERS = """
    SELECT lock_name, acquired_at, updated_at, service_status.details
    FROM volguard.lock_status LEFT JOIN volguard.service_status USING (service_id)
    WHERE resource_type = %s AND resource_id = %s AND alive"""
ACQUIRE = """
    SELECT volguard.acquire(%(service)s, %(type)s, %(id)s, lock_name => %(name)s, wait => %(wait)s,
                            request_id => %(request)s, details => %(details)s)"""
FIND_KEEPER = """
    SELECT service_id FROM volguard.service_status
    WHERE host = 'tooz' AND binary_name = 'groups' AND cluster = coalesce(%s, 'default')
          AND registered_by = current_user AND state = 'up'"""
REGISTER = "SELECT volguard.register_service(%s, %s, cluster => %s, lease => %s, details => %s)"


def encoded(name):
    return urllib.parse.quote(utils.to_binary(name, "utf-8"), safe=READABLE)


def decoded(name):
    return urllib.parse.unquote_to_bytes(name)


def seconds(number):
    """An interval. psycopg would write a long `timedelta` in days, which are no fixed time, and no lease."""
    return f"{number:.3f} s"


def cooperate_with_eventlet():
    """psycopg looks for gevent only; its wait in C would stop all green threads, the heartbeat among them."""
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is not None and patcher.is_monkey_patched("select"):
        psycopg.waiting.wait = psycopg.waiting.wait_selector


@contextlib.contextmanager
def translated():
    """Errors of the database as errors of tooz."""
    try:
        yield
    except psycopg.Error as error:
        lost = isinstance(error, psycopg.OperationalError) and (error.sqlstate or "08").startswith(("08", "57P"))
        kind = coordination.ToozConnectionError if lost else tooz.ToozError
        utils.raise_with_cause(kind, str(error).strip(), cause=error)


class Connections:
    """Connections in autocommit mode: as many as there are calls at a time, so that none queues behind a wait."""

    def __init__(self, url, lease):
        third = max(1, int(lease / 3))
        self._url = url
        # A dead network ends a call in a third of the lease. A proxy may know no prepared statements.
        self._options = {
            "connect_timeout": max(2, third),
            "tcp_user_timeout": third * 1000,
            "application_name": "tooz",
            **psycopg.conninfo.conninfo_to_dict(url),
        }
        self._idle = []

    @contextlib.contextmanager
    def one(self):
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = psycopg.connect(**self._options, autocommit=True, prepare_threshold=None)
        try:
            yield connection
        finally:
            # A call that was broken off may have left anything.
            if connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
                self._idle.append(connection)
            else:
                connection.close()

    def close(self):
        while self._idle:
            self._idle.pop().close()


class Session:
    """A service, and the lease of it as far as this process knows."""

    def __init__(self, service_id, sent, lease):
        self.service_id = service_id
        self.lease = lease
        # Capabilities by encoded group, as they stand in the details of the service.
        self.capabilities = {}
        self.renewed(sent)

    @staticmethod
    def now():
        """A clock that goes on while the machine is suspended."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def renewed(self, sent):
        """A heartbeat succeeded that was sent then: the server's lease ends later than this."""
        self._good_until = sent + 0.9 * self.lease

    @property
    def is_good(self):
        return self.now() < self._good_until


class VolguardLock(locking.Lock):
    """A plain lock. `token` is its fencing token while it is held, for `assert_held` and `conditional_update`."""

    def __init__(self, driver, name):
        super().__init__(name)
        self._driver = driver
        self._held = None

    @property
    def token(self):
        held = self._held
        return held[1] if held else None

    @property
    def acquired(self):
        """Whether it was acquired, and the lease lasts. Asks no server."""
        held = self._held
        return held is not None and held[0] is self._driver.session and held[0].is_good

    def acquire(self, blocking=True, shared=False, timeout=None):
        """True when it is held. Never False if `blocking` is True: an error then."""
        if shared:
            raise tooz.NotImplemented("volguard has no shared locks")
        blocking, timeout = utils.convert_blocking(blocking, timeout)
        until = 0 if not blocking else None if timeout is None else Session.now() + timeout
        while True:
            left = LONGEST_WAIT if until is None else max(0.0, min(LONGEST_WAIT, until - Session.now()))
            held = self._driver.try_acquire(LOCK, encoded(self.name), wait=left)
            if held is not None:
                self._held = held
                return True
            if until is not None and Session.now() >= until:
                return False

    def release(self):
        """True if it was held until now."""
        # Taken out first: another thread that waits for this lock sets it as soon as the server has released.
        held, self._held = self._held, None
        return held is not None and self._driver.release(*held)

    def break_(self):
        return self._driver.release_key(LOCK, encoded(self.name), "")

    def is_still_owner(self):
        held = self._held
        if not self.acquired:
            return False
        row = self._driver.ask(HOLDER, LOCK, encoded(self.name), "")
        return row is not None and row[0] == held[1]


class VolguardDriver(
    coordination.CoordinationDriverCachedRunWatchers, coordination.CoordinationDriverWithExecutor
):
    CHARACTERISTICS = (
        coordination.Characteristics.DISTRIBUTED_ACROSS_THREADS,
        coordination.Characteristics.DISTRIBUTED_ACROSS_PROCESSES,
        coordination.Characteristics.DISTRIBUTED_ACROSS_HOSTS,
        coordination.Characteristics.LINEARIZABLE,
        coordination.Characteristics.SERIALIZABLE,
    )

    def __init__(self, member_id, parsed_url, options):
        super().__init__(utils.to_binary(member_id, "utf-8"), parsed_url, options)
        of_libpq = {name: value for name, value in self._options.items() if name not in ("timeout", "executor", "cluster")}
        self._url = urllib.parse.urlunsplit(
            ("postgresql", parsed_url.netloc, parsed_url.path, urllib.parse.urlencode(of_libpq), "")
        )
        self._lease = float(self._options.get("timeout", 30))
        self._cluster = self._options.get("cluster")
        self._mutex = threading.Lock()
        self._leads = {}
        self._upkeep = None
        cooperate_with_eventlet()

    # The service.

    def _start(self):
        self._connections = Connections(self._url, self._lease)
        self._unsettled = {}
        self._unreleased = set()
        self._keeper = None
        self._keeper_renewed = 0.0
        with translated():
            self.session = self._register()

    def _stop(self):
        try:
            self._repeated(lambda connection, _: connection.execute(
                "SELECT volguard.deregister_service(%s)", [self.session.service_id]))
        except tooz.ToozError as error:
            LOG.warning("not deregistered, so its locks last until its lease ends: %s", error)
        self._leads.clear()
        self._connections.close()

    def _register(self):
        # Two coordinators may have one member id, so a new one does not replace an earlier one.
        binary_name = f"{encoded(self._member_id)[:200]}#{uuid.uuid4().hex}"
        sent = Session.now()
        with self._connections.one() as connection:
            details = Jsonb({"member": encoded(self._member_id)})
            parameters = [socket.gethostname(), binary_name, self._cluster, seconds(self._lease), details]
            service_id = connection.execute(REGISTER, parameters).fetchone()[0]
        return Session(service_id, sent, self._lease)

    def _replace(self, lost):
        """Registers anew after a fence: all locks and memberships of the lost session are gone."""
        with self._mutex:
            if self.session is lost:
                LOG.error("service %s was fenced: its locks and memberships are lost", lost.service_id)
                self.session = self._register()
                self._unsettled.clear()
                self._unreleased.clear()

    def _beat(self, session):
        try:
            sent = Session.now()
            with self._connections.one() as connection:
                connection.execute("SELECT volguard.heartbeat(%s)", [session.service_id])
            session.renewed(sent)
        except psycopg.DatabaseError as error:
            if error.sqlstate != "VG001":
                raise
            self._replace(session)

    def heartbeat(self):
        with translated():
            try:
                self._beat(self.session)
            except psycopg.OperationalError:
                # Idle connections break while a server is restarted; the next try has a new one.
                self._connections.close()
                self._beat(self.session)
        if self._upkeep is None or self._upkeep.done():
            self._upkeep = self._executor.submit(self._look_after)
        # The caller waits for half of what is left of this.
        return self._lease * 2 / 3

    def _look_after(self):
        """What can wait: gives back what calls have left whose answers were lost, and cleans up after dead services."""
        session = self.session
        try:
            with self._connections.one() as connection:
                if self._unreleased:
                    tokens = list(self._unreleased)
                    connection.execute("SELECT volguard.release_all(%s)", [tokens])
                    self._unreleased.difference_update(tokens)
                if self._unsettled:
                    requests = dict(self._unsettled)
                    statement = "SELECT volguard.release_requests(%s, %s)"
                    connection.execute(statement, [session.service_id, list(requests)])
                    for request, since in requests.items():
                        # The server ends a statement without a client within seconds.
                        if Session.now() > since + self._lease:
                            self._unsettled.pop(request, None)
                if self._keeper is not None and Session.now() > self._keeper_renewed + 3600:
                    connection.execute("SELECT volguard.heartbeat(%s)", [self._keeper])
                    self._keeper_renewed = Session.now()
                connection.execute("SELECT FROM volguard.auto_cleanup(%s)", [self._cluster])
        except psycopg.Error as error:
            LOG.warning("upkeep is tried again at the next heartbeat: %s", error)

    # Calls.

    def _repeated(self, call):
        """Calls with a connection, and again with a new one if that breaks, for the length of a lease.

        `call` is also told whether an earlier try may have succeeded.
        """
        until = Session.now() + self._lease
        tries = 0
        with translated():
            while True:
                session = self.session
                connected = False
                try:
                    with self._connections.one() as connection:
                        connected = True
                        return call(connection, tries > 0)
                except psycopg.DatabaseError as error:
                    if error.sqlstate == "VG001":
                        self._replace(session)
                    elif error.sqlstate == "VG004":
                        self._beat(session)
                    elif Session.now() > until or connected and not connection.closed:
                        raise
                    else:
                        tries += connected
                        # An idle connection may be long dead; a server that is away is asked once in a while.
                        if not connected:
                            time.sleep(min(1.0, self._lease / 20))

    def ask(self, statement, *parameters):
        return self._repeated(lambda connection, _: connection.execute(statement, parameters).fetchone())

    def _acquire(self, connection, service_id, resource_type, resource_id, name="", wait=0.0, request=None, details=None):
        parameters = {
            "service": service_id, "type": resource_type, "id": resource_id, "name": name,
            "wait": seconds(wait), "request": request,
            "details": None if details is None else Jsonb(details),
        }
        return connection.execute(ACQUIRE, parameters).fetchone()[0]

    def try_acquire(self, resource_type, resource_id, name="", wait=0.0, details=None):
        """The session and the token, or None if the lock was not free within `wait` seconds."""
        request = uuid.uuid4()

        def call(connection, _):
            session = self.session
            token = self._acquire(
                connection, session.service_id, resource_type, resource_id, name, wait, request, details)
            return None if token is None else (session, token)

        try:
            return self._repeated(call)
        except BaseException:
            # The lock may be ours. The request is given back with the next heartbeats.
            self._unsettled[request] = Session.now()
            raise

    def release(self, session, token):
        if session is not self.session:
            return False
        try:
            return self._repeated(lambda connection, again: connection.execute(
                "SELECT volguard.release(%s)", [token]).fetchone()[0] or again)
        except BaseException:
            self._unreleased.add(token)
            raise

    def release_key(self, resource_type, resource_id, name):
        """Releases a lock, whichever coordinator of this role holds it."""
        def call(connection, again):
            row = connection.execute(HOLDER, [resource_type, resource_id, name]).fetchone()
            return again if row is None else connection.execute("SELECT volguard.release(%s)", [row[0]]).fetchone()[0]
        return self._repeated(call)

    def get_lock(self, name):
        return VolguardLock(self, name)

    # Groups.

    def _later(self, function, *arguments):
        return coordination.CoordinatorResult(self._executor.submit(function, *arguments))

    def _keep(self, connection):
        """The service that holds the groups; the first coordinator that needs it registers it."""
        found = connection.execute(FIND_KEEPER, [self._cluster]).fetchone()
        if found is None:
            # A second registration would fence the first, and with it all groups. The commit releases the others.
            mutex = self._acquire(connection, self.session.service_id, KEEPER, "groups", wait=LONGEST_WAIT)
            if mutex is None:
                raise tooz.ToozError("another coordinator's registration of the keeper of groups does not end")
            found = connection.execute(FIND_KEEPER, [self._cluster]).fetchone()
            if found is None:
                parameters = ["tooz", "groups", self._cluster, seconds(KEEPER_LEASE), None]
                found = connection.execute(REGISTER, parameters).fetchone()
            connection.execute("SELECT volguard.release(%s)", [mutex])
        self._keeper = found[0]
        return self._keeper

    def create_group(self, group_id):
        request = uuid.uuid4()

        def call(connection, _):
            with connection.transaction():
                keeper = self._keep(connection)
            if self._acquire(connection, keeper, GROUP, encoded(group_id), request=request) is None:
                raise coordination.GroupAlreadyExist(group_id)

        return self._later(self._repeated, call)

    def delete_group(self, group_id):
        def call(connection, again):
            with connection.transaction():
                row = connection.execute(HOLDER, [GROUP, encoded(group_id), ""]).fetchone()
                # Waits for joins under way, which have asserted the token; those that come later find it gone.
                if row is None or not connection.execute("SELECT volguard.release(%s)", [row[0]]).fetchone()[0]:
                    if again:
                        return
                    raise coordination.GroupNotCreated(group_id)
                for name, *_ in connection.execute(MEMBERS, [GROUP, encoded(group_id)]).fetchall():
                    if name.startswith("member/"):
                        raise coordination.GroupNotEmpty(group_id)

        return self._later(self._repeated, call)

    def get_groups(self):
        def call(connection, _):
            return [decoded(row[0]) for row in connection.execute(GROUPS, [GROUP]).fetchall()]

        return self._later(self._repeated, call)

    def join_group(self, group_id, capabilities=None):
        request = uuid.uuid4()
        group, name = encoded(group_id), "member/" + encoded(self._member_id)

        def call(connection, _):
            session = self.session
            with connection.transaction():
                row = connection.execute(HOLDER, [GROUP, group, ""]).fetchone()
                if row is None:
                    raise coordination.GroupNotCreated(group_id)
                try:
                    # The group stays until this transaction ends.
                    connection.execute("SELECT volguard.assert_held(%s)", [row[0]])
                except psycopg.DatabaseError as error:
                    if error.sqlstate != "VG002":
                        raise
                    raise coordination.GroupNotCreated(group_id)
                if self._acquire(connection, session.service_id, GROUP, group, name, request=request) is None:
                    raise coordination.MemberAlreadyExist(group_id, self._member_id)
                self._set_capabilities(connection, session, group, capabilities)
            self._joined_groups.add(group_id)

        return self._later(self._repeated, call)

    def leave_group(self, group_id):
        group, name = encoded(group_id), "member/" + encoded(self._member_id)

        def call():
            if not self.release_key(GROUP, group, name):
                raise coordination.MemberNotJoined(group_id, self._member_id)
            self._joined_groups.discard(group_id)

        return self._later(call)

    def _members(self, group_id):
        """The members of a group, with what is known of them."""
        def call(connection, _):
            rows = connection.execute(MEMBERS, [GROUP, encoded(group_id)]).fetchall()
            if all(name != "" for name, *_ in rows):
                raise coordination.GroupNotCreated(group_id)
            members = {}
            for name, created_at, updated_at, details in rows:
                kind, _, member = name.partition("/")
                if kind == "member":
                    stored = ((details or {}).get("capabilities") or {}).get(encoded(group_id))
                    members[decoded(member)] = {
                        "capabilities": None if stored is None else utils.loads(base64.b64decode(stored)),
                        "created_at": created_at,
                        "updated_at": updated_at,
                    }
            return members

        return self._repeated(call)

    def _member(self, group_id, member_id):
        member_id = utils.to_binary(member_id, "utf-8")
        try:
            return self._members(group_id)[member_id]
        except KeyError:
            raise coordination.MemberNotJoined(group_id, member_id)

    def get_members(self, group_id):
        return self._later(lambda: set(self._members(group_id)))

    def get_members_with_capabilities(self, group_id):
        def call():
            return {name: info["capabilities"] for name, info in self._members(group_id).items()}

        return self._later(call)

    def get_member_capabilities(self, group_id, member_id):
        return self._later(lambda: self._member(group_id, member_id)["capabilities"])

    def get_member_info(self, group_id, member_id):
        return self._later(self._member, group_id, member_id)

    def _set_capabilities(self, connection, session, group, capabilities):
        # msgpack, as in other drivers: JSON has no bytes and no dates.
        stored = base64.b64encode(utils.dumps(capabilities)).decode("ascii")
        session.capabilities[group] = stored
        details = Jsonb({"member": encoded(self._member_id), "capabilities": session.capabilities})
        connection.execute("SELECT volguard.update_service(%s, details => %s)", [session.service_id, details])

    def update_capabilities(self, group_id, capabilities):
        def call(connection, _):
            self._member(group_id, self._member_id)
            self._set_capabilities(connection, self.session, encoded(group_id), capabilities)

        return self._later(self._repeated, call)

    # Leaders.

    def _is_leader(self, group_id):
        held = self._leads.get(group_id)
        return held is not None and held[0] is self.session

    def get_leader(self, group_id):
        def call():
            row = self.ask(HOLDER, GROUP, encoded(group_id), "leader")
            return None if row is None else decoded(row[1]["member"])

        return self._later(call)

    def stand_down_group_leader(self, group_id):
        held = self._leads.pop(group_id, None)
        return held is not None and self.release(*held)

    def run_watchers(self, timeout=None):
        results = super().run_watchers(timeout)
        for group_id, hooks in list(self._hooks_elected_leader.items()):
            if self._is_leader(group_id):
                continue
            details = {"member": encoded(self._member_id)}
            held = self.try_acquire(GROUP, encoded(group_id), "leader", details=details)
            if held is not None:
                self._leads[group_id] = held
                results.extend(hooks.run(coordination.LeaderElected(group_id, self._member_id)))
        return results
