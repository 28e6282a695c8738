"""What the suites of containers share."""

from tests.docker_engine import engine, simulator

__all__ = ["engine", "simulator"]
