"""A tool that is ended early cleans up after itself."""
import signal
import sys


def exit_on_signals():
    """SIGINT, SIGTERM and SIGHUP end the program as sys.exit() does, so that every `finally` runs. A SIGHUP that nohup ignores stays so."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda n, _: sys.exit(128 + n))
