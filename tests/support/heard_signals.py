"""Imported for what it does: a shell's background job ignores Ctrl-C and hands that on, and what the tests start is to
hear signals."""

import signal

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
