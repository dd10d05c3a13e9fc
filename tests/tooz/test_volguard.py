"""What the driver promises beyond tooz's own tests: leases, fences, connections that break, eventlet."""

import concurrent.futures
import os
import subprocess
import sys
import threading
import unittest
import urllib.parse
import uuid

import psycopg
import tooz
import tooz.coordination

URL = os.environ["TOOZ_TEST_URL"]
ADMIN = os.environ["DATABASE_URL"]


def name():
    return uuid.uuid4().bytes.hex().encode()


def admin(statement, *parameters):
    with psycopg.connect(ADMIN, autocommit=True) as connection:
        cursor = connection.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else None


class VolguardTest(unittest.TestCase):
    def coordinator(self, member=None, **options):
        query = "?" + urllib.parse.urlencode(options) if options else ""
        coordinator = tooz.coordination.get_coordinator(URL + query, member or name())
        coordinator.start()
        self.addCleanup(lambda: coordinator.is_started and coordinator.stop())
        return coordinator

    def test_a_lock_passes_on_when_its_lease_is_over(self):
        silent, other = self.coordinator(timeout=5), self.coordinator()
        lock, same = silent.get_lock(b"lease"), other.get_lock(b"lease")
        self.assertTrue(lock.acquire())
        self.assertTrue(lock.is_still_owner())
        self.assertTrue(same.acquire())
        self.assertFalse(lock.acquired)
        self.assertFalse(lock.is_still_owner())
        self.assertFalse(lock.release())
        self.assertGreater(same.token, 0)
        self.assertTrue(same.release())

    def test_a_heart_keeps_a_lock(self):
        coordinator = self.coordinator(timeout=5)
        lock = coordinator.get_lock(name())
        self.assertTrue(lock.acquire())
        coordinator.heart.start()
        # Four take longer than a lease.
        while coordinator.heart.beats < 5:
            coordinator.heart.wait(0.1)
        self.assertTrue(lock.is_still_owner())
        self.assertTrue(lock.release())

    def test_a_fenced_coordinator_goes_on_as_a_new_service(self):
        coordinator = self.coordinator()
        group = name()
        coordinator.join_group_create(group)
        lock = coordinator.get_lock(name())
        self.assertTrue(lock.acquire())
        admin("SELECT volguard.fence_service(%s, 'test')", coordinator.session.service_id)
        coordinator.heartbeat()
        self.assertFalse(lock.acquired)
        self.assertFalse(lock.release())
        self.assertEqual(coordinator.get_members(group).get(), set())
        self.assertTrue(lock.acquire(blocking=False))
        self.assertTrue(lock.release())

    def test_a_fenced_token_writes_nothing(self):
        coordinator = self.coordinator()
        lock = coordinator.get_lock(name())
        self.assertTrue(lock.acquire())
        with psycopg.connect(ADMIN, autocommit=True) as connection:
            connection.execute("SELECT volguard.assert_held(%s)", [lock.token])
            connection.execute("SELECT volguard.fence_service(%s, 'test')", [coordinator.session.service_id])
            with self.assertRaises(psycopg.DatabaseError) as refused:
                connection.execute("SELECT volguard.assert_held(%s)", [lock.token])
        self.assertEqual(refused.exception.sqlstate, "VG002")

    def test_broken_connections_are_replaced(self):
        coordinator = self.coordinator()
        lock = coordinator.get_lock(name())
        self.assertTrue(lock.acquire())
        ended = admin("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'tooz'")
        self.assertTrue(ended)
        coordinator.heartbeat()
        self.assertTrue(lock.is_still_owner())
        self.assertTrue(lock.release())

    def test_a_wait_that_is_cut_goes_on_under_its_request(self):
        first, second = self.coordinator(), self.coordinator()
        lock, waiting = first.get_lock(b"cut"), second.get_lock(b"cut")
        self.assertTrue(lock.acquire())
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            result = pool.submit(waiting.acquire)
            waiter = "SELECT pid FROM volguard.waiters WHERE resource_type = 'tooz' AND resource_id = 'cut'"
            while not (pids := admin(waiter)):
                pass
            admin("SELECT pg_terminate_backend(%s, 10000)", *pids[0])
            while admin(waiter) in ([], pids):
                pass
            self.assertTrue(lock.release())
            self.assertTrue(result.result(60))
        self.assertTrue(waiting.release())

    def test_coordinators_that_start_at_once_have_one_keeper(self):
        coordinators = [self.coordinator() for _ in range(8)]
        groups = [name() for _ in coordinators]
        admin("""SELECT volguard.fence_service(service_id, 'test') FROM volguard.service_status
                 WHERE host = 'tooz' AND binary_name = 'groups' AND state = 'up'""")
        pending = [each.create_group(group) for each, group in zip(coordinators, groups)]
        for each in pending:
            each.get()
        self.assertEqual(set(groups) - set(coordinators[0].get_groups().get()), set())
        keepers = admin("""SELECT count(*) FROM volguard.service_status
                           WHERE host = 'tooz' AND binary_name = 'groups' AND state = 'up'""")
        self.assertEqual(keepers, [(1,)])

    def test_a_group_outlives_its_creator(self):
        creator, other = self.coordinator(), self.coordinator()
        group = name()
        creator.create_group(group).get()
        creator.stop()
        other.join_group(group).get()
        self.assertEqual(len(other.get_members(group).get()), 1)

    def test_a_join_and_a_delete_exclude_each_other(self):
        joining, deleting = self.coordinator(), self.coordinator()
        for _ in range(8):
            group = name()
            joining.create_group(group).get()
            start = threading.Barrier(2)

            def outcome(call):
                start.wait()
                try:
                    call(group).get()
                    return True
                except (tooz.coordination.GroupNotCreated, tooz.coordination.GroupNotEmpty):
                    return False

            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                results = list(pool.map(outcome, (joining.join_group, deleting.delete_group)))
            self.assertEqual(sorted(results), [False, True])

    def test_names_of_any_bytes(self):
        coordinator = self.coordinator(member=b"m\xc3\xa9 %/\x00\xff")
        group = b"g\xff %\n" + name()
        coordinator.create_group(group).get()
        coordinator.join_group(group, {"weight": 2, "of": b"\xff"}).get()
        self.assertEqual(coordinator.get_members_with_capabilities(group).get(),
                         {b"m\xc3\xa9 %/\x00\xff": {"weight": 2, "of": b"\xff"}})
        self.assertIn(group, coordinator.get_groups().get())

    def test_a_server_that_is_away_is_an_error_of_tooz(self):
        coordinator = self.coordinator(timeout=2)
        coordinator._connections._options["port"] = 1
        admin("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'tooz'")
        with self.assertRaises(tooz.coordination.ToozConnectionError):
            coordinator.get_lock(name()).acquire(blocking=False)

    def test_a_lock_whose_answer_was_lost_is_given_back(self):
        coordinator = self.coordinator()
        lock_name = name()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            # The call is broken off between the server's answer and its return.
            acquire = coordinator._acquire

            def broken_off(*arguments, **named):
                acquire(*arguments, **named)
                raise KeyboardInterrupt

            coordinator._acquire = broken_off
            with self.assertRaises(KeyboardInterrupt):
                pool.submit(coordinator.get_lock(lock_name).acquire).result(60)
            coordinator._acquire = acquire
        self.assertFalse(coordinator.get_lock(lock_name).acquire(blocking=False))
        coordinator.heartbeat()
        coordinator._upkeep.result(60)
        self.assertTrue(coordinator.get_lock(lock_name).acquire(blocking=False))

    def test_under_eventlet_a_wait_stops_no_heartbeat(self):
        script = """
import eventlet
eventlet.monkey_patch()
import os, sys, tooz.coordination
url = os.environ["TOOZ_TEST_URL"]
a, b = (tooz.coordination.get_coordinator(url + "?timeout=5", name) for name in (b"a", b"b"))
a.start(start_heart=True)
b.start(start_heart=True)
held, waits = a.get_lock(b"eventlet"), b.get_lock(b"eventlet")
assert held.acquire()
waiter = eventlet.spawn(waits.acquire)
beats = a.heart.beats
# With a wait that stops the process no beat would come.
while a.heart.beats < beats + 5:
    eventlet.sleep(0.05)
assert held.is_still_owner()
assert held.release()
assert waiter.wait()
assert waits.release()
a.stop()
b.stop()
print("done")
"""
        run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
        self.assertEqual(run.stdout, "done\n", run.stderr)


if __name__ == "__main__":
    unittest.main()
