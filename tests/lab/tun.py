"""Two tun devices in two hosts, joined by a thread: a network without link-layer headers."""

from __future__ import annotations

import fcntl
import os
import selectors
import struct
import threading
from typing import Self

from .addresses import Network
from .site import Host, up

DEVICE = "tun0"
NETWORK = Network("10.9.0", "fd09")
_TUNSETIFF = 0x400454CA
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000


class TunWire:
    """``tun0`` of ``near`` has address 1 of the network, that of ``far`` address 2; packets go from one to the
    other."""

    def __init__(self, near: Host, far: Host) -> None:
        self._ends = [_open(near), _open(far)]
        up(near, DEVICE, NETWORK.near)
        up(far, DEVICE, NETWORK.far)
        self._wake, self._woken = os.pipe()[::-1]
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self._wake, b"x")
        self._thread.join()
        for descriptor in (*self._ends, self._wake, self._woken):
            os.close(descriptor)

    def _carry(self) -> None:
        one, other = self._ends
        with selectors.DefaultSelector() as selector:
            selector.register(one, selectors.EVENT_READ, other)
            selector.register(other, selectors.EVENT_READ, one)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fd == self._woken:
                        return
                    os.write(key.data, os.read(key.fd, 65535))


def _open(host: Host) -> int:
    with host.entered():  # the device is made where the file was opened
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), _IFF_TUN | _IFF_NO_PI))
    return descriptor
