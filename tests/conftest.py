"""What all tests share."""

import os
import signal

from hypothesis import HealthCheck, settings

pytest_plugins = ["postgres_server"]

# How fast examples are made, or run, says something of the machine and nothing of the package.
settings.register_profile(
    "any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any_machine")

# A shell lets what it starts in the background ignore Ctrl-C, and its children with it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What stands in for a platform is on this machine: no proxy is asked, nor looked for each time.
os.environ["no_proxy"] = ",".join(filter(None, (os.environ.get("no_proxy"), "127.0.0.1,localhost")))
