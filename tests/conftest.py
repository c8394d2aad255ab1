"""What all tests share."""

from hypothesis import HealthCheck, settings

# How fast examples are made, or run, says something of the machine and nothing of the package.
settings.register_profile(
    "any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any_machine")
