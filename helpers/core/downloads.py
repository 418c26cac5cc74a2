"""Downloads that fail within ten seconds where there is no internet, instead of hanging."""

import socket
import threading
import urllib.request
from contextlib import contextmanager

SILENCE = 4.0  # seconds without a byte after which a connection counts as dead


@contextmanager
def impatient(url: str):
    """Within this context `url` is known to answer, and no socket waits longer than SILENCE for a byte.

    Raises:
        ConnectionError: the server does not answer; the message is one line.
    """
    failure = _first_answer(url)
    if failure is not None:
        raise ConnectionError(f"no answer from {url.split('/')[2]}: {failure}")
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _first_answer(url):
    """None if the server answers in time, else what went wrong."""
    outcome = [TimeoutError("timed out")]

    def ask():
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=SILENCE):
                outcome[0] = None
        except OSError as error:
            outcome[0] = error

    # in a thread, because a look-up of the host's name obeys no time-out
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(SILENCE + 1)
    return outcome[0]
