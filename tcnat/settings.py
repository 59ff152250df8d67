"""What the packet programs go by: the time-outs map and the one entry of the settings map. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tcnat.layout import (
    DEFAULT_REJECTS_PER_SECOND,
    DEFAULT_TIMEOUTS,
    FRAGMENT_TIMEOUT,
    SCTP_ANSWERED,
    SCTP_TIMEOUT,
    SETTINGS,
    Choice,
    Family,
    FlowState,
)

_codec = SETTINGS.codec(Family.IPV4)  # the same for both families


@dataclass(frozen=True, slots=True)
class Settings:
    """Time-outs in seconds; ``timeouts`` may leave states out, which then have their defaults."""

    timeouts: Mapping[FlowState, int] = field(default_factory=lambda: MappingProxyType({}))
    sctp_timeout: int = SCTP_TIMEOUT
    fragment_timeout: int = FRAGMENT_TIMEOUT
    unknown_port: Choice = Choice.PASS
    """PASS, DROP or REJECT: a port that a Service address does not have (rule 25)."""
    echo: Choice = Choice.ANSWER
    """ANSWER, DROP or PASS: an ICMP echo request to a Service address."""
    rejects_per_second: int = DEFAULT_REJECTS_PER_SECOND

    def pack(self, now: int = 0, trace: int = 0) -> bytes:
        """The settings map's entry. ``now`` and ``trace`` are not the agent's, but a replay's and a tracer's."""
        choices = self.unknown_port, self.echo, self.rejects_per_second
        return _codec.pack(now, self.fragment_timeout, *choices, trace)

    def pack_timeouts(self) -> dict[int, int]:
        """The timeouts map: index -> seconds."""
        timeouts = {int(state): self.timeouts.get(state, DEFAULT_TIMEOUTS[state]) for state in FlowState}
        return {**timeouts, SCTP_ANSWERED: self.sctp_timeout}

    @classmethod
    def unpack(cls, value: bytes, timeouts: Mapping[int, int]) -> Settings:
        """From the settings map's entry and the timeouts map."""
        _, fragment, unknown_port, echo, rejects, _ = _codec.unpack(value)
        of_states = {state: timeouts[state] for state in FlowState}
        return cls(of_states, timeouts[SCTP_ANSWERED], fragment, Choice(unknown_port), Choice(echo), rejects)

    def replacing(self, value: bytes) -> bytes:
        """The entry with these settings, and ``now`` and ``trace`` as they are in ``value``."""
        fields = _codec.unpack(value)
        return self.pack(fields[0], fields[-1])
