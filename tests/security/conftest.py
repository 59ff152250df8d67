"""The harness of each family, as the tests of packets have it."""

from tests.packets.conftest import harness, harnesses

__all__ = ["harness", "harnesses"]
