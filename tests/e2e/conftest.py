"""What the suites of containers share, and moto's server."""

from tests.docker_engine import engine, simulator
from tests.functional.conftest import moto_url

__all__ = ["engine", "moto_url", "simulator"]
