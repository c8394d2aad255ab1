"""The little world of the orchestrator's tests."""

from jobs_world import make_world as make_world
from jobs_world import world as world
