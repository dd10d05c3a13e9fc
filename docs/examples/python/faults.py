"""What the errors of volguard's calls mean for a program. The managers of this folder share it."""

import os

from lease import Lease

# Errors that pass: the same call may succeed a moment later, often on another connection.
PASSING = {"25006", "40001", "40P01", "53300", "55P03", "57014", "57P01", "57P02", "57P03", "VG004"}
# How much longer than its wait the call of a broken connection may be under way on the server (s).
GRACE = 10.0
# The pause before a call is sent again (s).
RETRY = 0.1


class Broken(Exception):
    """The outcome of a call is unknown, or it failed by an error that passes."""


class Refused(Exception):
    """The token is not held any more."""


class Left(Exception):
    """The service is deregistered already."""


def sort_out(error: Exception, sqlstate: str | None, broken: bool, lease: Lease) -> None:
    """Raises what an error means; `broken`: its connection has broken, or there was none."""
    lease.check()
    if sqlstate == "VG001":
        lease.fenced()
        raise Left from error
    if sqlstate == "VG002":
        raise Refused from error
    if broken or sqlstate in PASSING:
        warn(error, "is sent again")
        raise Broken from error
    raise error


def fatal(error: BaseException) -> None:
    """Ends the program: there is nothing that it can mend, such as a privilege or a function that is missing."""
    if not isinstance(error, Left):
        warn(error.__cause__ or error, "and the program ends")
        os._exit(1)


def warn(error: BaseException, what: str) -> None:
    text = " ".join(str(error).split())
    os.write(2, f"{type(error).__name__}: {text}: {what}\n".encode())
