"""Runs tooz's tests of drivers and ours as a role without privileges but `grant_usage`. A test that is skipped without
being listed here is a failure, and so is one that is listed and runs. The last line counts."""

import os
import sys
import unittest
import urllib.parse
import warnings

import psycopg

SUITES = [
    "tooz.tests.test_coordination",
    "tooz.tests.test_partitioner.TestPartitioner",
    "test_volguard",
]
SHARED = "volguard has no shared locks"
SKIPPED = {
    "TestAPI.test_get_lock_locking_exclusive_and_shared": SHARED,
    "TestAPI.test_get_lock_locking_shared_and_exclusive": SHARED,
    "TestAPI.test_get_shared_lock": SHARED,
    "TestAPI.test_get_shared_lock_locking_same_lock_twice": SHARED,
    "TestAPI.test_get_shared_lock_locking_two_lock": SHARED,
    "TestAPI.test_watch_join_group_disappear": "tooz runs it for the drivers of etcd, memcached and Redis alone",
}


def role_for_tests():
    """Makes an ordinary role, and returns the URL of the driver with it."""
    url = urllib.parse.urlsplit(os.environ["DATABASE_URL"])
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute("CREATE ROLE tooz LOGIN PASSWORD 'tooz'")
        connection.execute("SELECT FROM volguard.grant_usage('tooz')")
    return f"volguard://tooz:tooz@{url.hostname}:{url.port}{url.path}"


def short(test):
    return ".".join(test.id().split(".")[-2:])


def main():
    os.environ["TOOZ_TEST_URL"] = role_for_tests()
    # Of coordinators that tooz's tests do not stop.
    warnings.simplefilter("ignore", ResourceWarning)
    suite = unittest.defaultTestLoader.loadTestsFromNames(SUITES)
    result = unittest.TextTestRunner(verbosity=2, warnings="ignore").run(suite)
    skipped = {short(test): reason for test, reason in result.skipped}
    for name in sorted(skipped):
        print(f"skipped {name}: {SKIPPED.get(name, skipped[name])}")
    unexpected = set(skipped) ^ set(SKIPPED)
    for name in sorted(unexpected):
        print(f"FAILED {name}: {'skipped' if name in skipped else 'no longer skipped'}")
    failed = len(result.errors) + len(result.failures) + len(result.unexpectedSuccesses) + len(unexpected)
    passed = result.testsRun - len(skipped) - len(result.errors) - len(result.failures)
    print(f"\n{passed} passed, {failed} failed, {len(skipped)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
