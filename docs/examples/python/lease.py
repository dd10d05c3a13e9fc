"""The lease of a service, as its program may count on it. The managers of this folder share it.

The program counts its lease from the moment *before* it sent the heartbeat that succeeded, and gives it up at nine
tenths: so it has stopped before the server can give its locks away.
"""

import os
import threading
import time

# It goes on while the process is stopped, and while the machine is suspended, which CLOCK_MONOTONIC does not count.
CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
GIVEN_UP_AT = 0.9
# So often that after a heartbeat without an answer, which is given up after a third, there is time for another one.
HEARTBEATS = 4
# A sleep may not count a suspension of the machine: after one, the loss is noticed within this time (s).
LONGEST_NAP = 0.25
EXIT_LOST = 3


def now() -> float:
    """Seconds on the clock of leases."""
    return time.clock_gettime(CLOCK)


class Lease:
    """A lease that heartbeats renew. Its loss ends the process at once, so that no thread of it goes on working.

    A program that can't end its process has to stop each of its threads, and each of its children, at the loss.
    """

    def __init__(self, seconds: float):
        self.seconds = seconds
        self.leaving = False
        self._ends: float | None = None
        self._output = threading.Lock()

    def begin(self, sent: float) -> None:
        """The service was registered, by a call that was sent at `sent`."""
        self._ends = sent + self.seconds * GIVEN_UP_AT
        threading.Thread(target=self._watch, name="lease", daemon=True).start()

    def renew(self, sent: float) -> None:
        """A heartbeat has succeeded, which was sent at `sent`. One that succeeds too late renews nothing."""
        self.check()
        self._ends = sent + self.seconds * GIVEN_UP_AT

    def left(self) -> float:
        """Seconds until the lease is given up; without end before it has begun."""
        return float("inf") if self._ends is None else self._ends - now()

    def patience(self) -> float:
        """How long a call may go without an answer (s). Before there is a lease it may take longer."""
        return self.seconds / 3 if self._ends is not None else max(10.0, self.seconds / 3)

    def check(self) -> None:
        """Returns if the lease lasts. Call it before each step of the work, and before each write."""
        if self.left() <= 0:
            self.lose("no heartbeat has succeeded in time")

    def lose(self, reason: str) -> None:
        """Says so, and ends the process."""
        with self._output:
            os.write(2, f"lost: {reason}\n".encode())
            os.write(1, b"lost\n")
            os._exit(EXIT_LOST)

    def fenced(self) -> None:
        """The server has refused the service: VG001. Right after a `deregister_service` that is what was asked for."""
        if not self.leaving:
            self.lose("the service is fenced")

    def say(self, line: str) -> None:
        """Prints a line at once; none after the loss."""
        with self._output:
            os.write(1, f"{line}\n".encode())

    def _watch(self) -> None:
        while True:
            time.sleep(max(0.0, min(self.left(), LONGEST_NAP)))
            self.check()
