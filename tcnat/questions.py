"""What people ask ``tcnat explain``, and its answers as JSON and as text. Pure.

A question is ``--from``, ``--src`` and ``--dst``, or a line of JSON; ``docs/explain.md`` describes both.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from tcnat.explain import Answer, Flow, Origin
from tcnat.model import FrontEndKey, Protocol, format_address, parse_address

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class FlowLine(msgspec.Struct, frozen=True, rename={"origin": "from"}):
    """A question as a JSON object."""

    origin: Literal["pod", "node", "external"]
    src_ip: str
    dst_ip: str
    dst_port: Port
    proto: str
    src_port: Port | None = None


class BackendJson(msgspec.Struct, frozen=True):
    """One backend of an answer."""

    address: str
    port: int
    share: float


class AnswerJson(msgspec.Struct, frozen=True):
    """An answer as a JSON object; the fields and their order are stable."""

    verdict: str
    frontend: str | None
    backends: list[BackendJson]
    chosen: str | None
    masquerade: bool
    rule: int
    reason: str


def flow_from_line(line: bytes) -> Flow:
    """The flow that a line of JSON asks about; ValueError in one line that names the field."""
    try:
        question = msgspec.json.decode(line, type=FlowLine)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$.")
        field = path.rstrip("`")
        raise ValueError(f"{field}: {message}" if field else message) from None
    except msgspec.DecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    return _flow(
        Origin(question.origin),
        (_named("src_ip", question.src_ip), question.src_port),
        (_named("dst_ip", question.dst_ip), question.dst_port),
        parse_protocol(question.proto, "proto"),
    )


def flow_from_options(origin: str, source: str, destination: str) -> Flow:
    """The flow that ``--from``, ``--src IP[:PORT]`` and ``--dst IP:PORT/PROTO`` ask about; ValueError names which."""
    where, _, protocol = destination.rpartition("/")
    address, port = _split_endpoint("--dst", where) if where else (b"", None)
    if port is None:
        raise ValueError(f"--dst: {destination!r} is not of the form IP:PORT/PROTO")
    return _flow(Origin(origin), _split_endpoint("--src", source), (address, port), parse_protocol(protocol, "--dst"))


def parse_protocol(text: str, field: str) -> Protocol:
    """TCP, UDP or SCTP in either case."""
    try:
        return Protocol[text.upper()]
    except KeyError:
        raise ValueError(f"{field}: {text!r} is not TCP, UDP or SCTP") from None


def answer_json(answer: Answer) -> AnswerJson:
    """The answer as JSON has it; shares are rounded to 4 digits."""
    return AnswerJson(
        verdict=answer.verdict.value,
        frontend=str(answer.front_end) if answer.front_end else None,
        backends=[
            BackendJson(format_address(backend.address), backend.port, round(share, 4))
            for backend, share in answer.backends
        ],
        chosen=str(answer.chosen) if answer.chosen else None,
        masquerade=answer.masquerade,
        rule=answer.rule,
        reason=answer.reason,
    )


def answer_text(flow: Flow, answer: Answer) -> str:
    """The answer for people, in a few lines."""
    lines = [
        f"{answer.verdict.value.upper()}  {flow.origin.value} {_endpoint(flow)} -> "
        f"{FrontEndKey(flow.destination, flow.destination_port, flow.protocol)}"
    ]
    if answer.service:
        lines.append(f"  service     {answer.service}")
    for backend, share in answer.backends:
        mark = "  <- chosen" if backend == answer.chosen else ""
        lines.append(f"  backend     {backend}  {share:.1%}{mark}")
    if answer.backends:
        lines.append(f"  masquerade  {'yes' if answer.masquerade else 'no'}")
    lines.append(f"  reason      {answer.reason}")
    return "\n".join(lines)


def _endpoint(flow: Flow) -> str:
    address = format_address(flow.source)
    if flow.source_port is None:
        return address
    return f"[{address}]:{flow.source_port}" if ":" in address else f"{address}:{flow.source_port}"


def _flow(origin: Origin, source: tuple[bytes, int | None], destination: tuple[bytes, int], protocol: Protocol) -> Flow:
    if len(source[0]) != len(destination[0]):
        raise ValueError("source and destination are of different address families")
    return Flow(origin, *source, *destination, protocol)


def _named(field: str, text: str) -> bytes:
    try:
        return parse_address(text)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None


def _split_endpoint(field: str, text: str) -> tuple[bytes, int | None]:
    """``IP``, ``IP:PORT``, or for IPv6 ``IP``, ``[IP]`` or ``[IP]:PORT``."""
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        malformed = not bracket or colon not in {"", ":"}
    elif text.count(":") == 1:
        address, colon, port = text.partition(":")
        malformed = False
    else:
        address, colon, port, malformed = text, "", "", False
    if malformed or (colon and not (port.isascii() and port.isdecimal() and int(port) < 65536)):
        raise ValueError(f"{field}: {text!r} is not of the form IP:PORT")
    return _named(field, address), int(port) if colon else None
