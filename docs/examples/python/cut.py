"""A time limit for statements of psycopg, whose calls wait for an answer without end."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def cut_after(seconds: float, fileno: int) -> Iterator[None]:
    """Shuts the socket down if the block takes longer: its statement then fails as on any broken connection.

    A `statement_timeout` of the server would not do: its message does not arrive either if the network is gone.
    """
    # A copy, since the driver may close its own at any time, and the number may be another connection's then.
    with socket.socket(fileno=os.dup(fileno)) as copy:
        timer = threading.Timer(seconds, _shut, [copy])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # It is closed at the other end already.
