"""What the agent's settings mean to the datapath."""

from __future__ import annotations

from tcnat.config import AgentConfig
from tcnat.errors import TcnatError
from tcnat.layout import Choice, FlowState
from tcnat.nodemaps import Pods
from tcnat.settings import Settings


def settings_of(config: AgentConfig) -> Settings:
    """What the packet programs are to go by."""
    return Settings(
        timeouts={
            FlowState.ANSWERED: int(config.udp_timeout),
            FlowState.OPEN: int(config.tcp_timeout),
            FlowState.CLIENT_CLOSED: int(config.tcp_half_closed_timeout),
            FlowState.BACKEND_CLOSED: int(config.tcp_half_closed_timeout),
        },
        sctp_timeout=int(config.sctp_timeout),
        unknown_port=Choice[config.unknown_port.upper()],
        echo=Choice[config.echo.upper()],
    )


def pods_of(config: AgentConfig) -> Pods:
    """What is known of the pods. TcnatError where that cannot be."""
    try:
        return Pods.of(config.cluster_cidr, masquerade_all=config.masquerade_all)
    except ValueError as error:
        raise TcnatError(f"--cluster-cidr: {error}") from None
