"""What every test may use."""

import signal

pytest_plugins = ["tests.parts.fixtures", "tests.coord.cluster"]

# A run that a shell has put into the background ignores Ctrl-C, and so would every program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
