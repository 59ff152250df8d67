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

NOT_ANSWERED = (
    FlowState.UNANSWERED,
    FlowState.OPENING,
    FlowState.OPENING_ANSWERED,
    FlowState.PICKED_UP,
    FlowState.CLOSED,
)
"""The states of flows that may be in the table of those that are not answered."""

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
        opening = max(self._timeout(state) for state in NOT_ANSWERED)
        choices = self.unknown_port, self.echo, self.rejects_per_second
        return _codec.pack(now, self.fragment_timeout, opening, *choices, trace)

    def _timeout(self, state: FlowState) -> int:
        return self.timeouts.get(state, DEFAULT_TIMEOUTS[state])

    def pack_timeouts(self) -> dict[int, int]:
        """The timeouts map: index -> seconds."""
        timeouts = {int(state): self._timeout(state) for state in FlowState}
        return {**timeouts, SCTP_ANSWERED: self.sctp_timeout}

    @classmethod
    def unpack(cls, value: bytes, timeouts: Mapping[int, int]) -> Settings:
        """From the settings map's entry and the timeouts map."""
        _, fragment, _, unknown_port, echo, rejects, _ = _codec.unpack(value)
        of_states = {state: timeouts[state] for state in FlowState}
        choices = Choice(unknown_port), Choice(echo), rejects
        return cls(of_states, timeouts[SCTP_ANSWERED], fragment, *choices)

    def replacing(self, value: bytes) -> bytes:
        """The entry with these settings, and ``now`` and ``trace`` as they are in ``value``."""
        fields = _codec.unpack(value)
        return self.pack(fields[0], fields[-1])
