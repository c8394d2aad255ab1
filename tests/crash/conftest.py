"""The little world of the ingestor's tests."""

from ingest_world import killed as killed
from ingest_world import world as world
from ingest_world import world_factory as world_factory
