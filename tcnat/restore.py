"""Puts pins back that somebody took away: an unmounted bpffs, another mounted over it, a removed directory.

As long as the agent runs, its own descriptors keep all of it alive; the pins keep it when the agent ends.
"""

from __future__ import annotations

import logging
from pathlib import Path

from tcnat.blueprint import present_blueprint
from tcnat.loader import Loaded, mount_bpffs
from tcnat.pins import (
    family_directory,
    generations,
    is_whole,
    make_directories,
    missing_maps,
    pin_blueprint,
    pin_programs,
)

log = logging.getLogger(__name__)


def restore_pins(pins: Path, loaded: Loaded) -> bool:
    """Pin what is missing of a family's set. False if all was there; TcnatError where it cannot be pinned."""
    directory = family_directory(pins, loaded.family)
    pinned = loaded.digest in generations(directory)
    if pinned and is_whole(directory):
        return False
    mount_bpffs(pins)
    make_directories(directory)
    for name in missing_maps(directory, present_blueprint()):
        loaded.maps[name].pin(directory / name)
    if not pinned:
        pin_programs(directory, loaded.digest, loaded.egress, loaded.ingress, loaded.maps["tails"])
    if not is_whole(directory):
        pin_blueprint(directory)
    log.warning("pins were missing in %s, and are there again", directory)
    return True
