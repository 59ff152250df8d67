"""How flags and config keys are written."""

from __future__ import annotations

import pytest

from tcnat import values
from tcnat.values import Address


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("1m", 60),
        ("1m30s", 90),
        ("1h15m30.5s", 4530.5),
        ("500ms", 0.5),
        ("250us", 0.00025),
        ("100µs", 0.0001),
        ("0", 0),
        ("0s", 0),
        (".5s", 0.5),
    ],
)
def test_durations_are_read_as_go_writes_them(text: str, seconds: float) -> None:
    assert values.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "30", "s", "5x", "-1s", "1s 2s", "1s2", "1,5s", "٣s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        values.duration(text)


@pytest.mark.parametrize("text", ["999ms", "0", "40000000h"])
def test_a_map_time_out_is_at_least_a_second_and_fits_the_map(text: str) -> None:
    with pytest.raises(ValueError, match="too short or too long"):
        values.long_duration(text)


@pytest.mark.parametrize("text", ["24h", "1h", "3m", "30s", "500ms", "0s", "90s", "1.5s"])
def test_a_duration_is_written_as_it_is_read(text: str) -> None:
    assert values.format_duration(values.duration(text)) == text


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:1234", Address("127.0.0.1", 1234)),
        ("0.0.0.0", Address("0.0.0.0", 10256)),
        (":80", Address("0.0.0.0", 80)),
        ("[::1]:80", Address("::1", 80)),
        ("[::]", Address("::", 10256)),
        ("127.0.0.1:", Address("127.0.0.1", 10256)),
        ("fd00::5", Address("fd00::5", 10256)),
        ("", None),
    ],
)
def test_addresses_to_listen_at(text: str, address: Address | None) -> None:
    assert values.bind_address(10256)(text) == address


@pytest.mark.parametrize("text", ["localhost:80", "127.0.0.1:x", "127.0.0.1:65536", "1.2.3:80", "[::1"])
def test_what_is_no_address_to_listen_at_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        values.bind_address(10256)(text)


def test_an_address_is_written_with_brackets_where_it_needs_them() -> None:
    assert str(Address("::1", 80)) == "[::1]:80"
    assert str(Address("127.0.0.1", 80)) == "127.0.0.1:80"


def test_networks_are_made_canonical() -> None:
    assert values.cidr("10.244.7.9/16") == "10.244.0.0/16"
    assert values.cidr("FD00:0::1/64") == "fd00::/64"
    assert values.nodeport_address("primary") == "primary"
    with pytest.raises(ValueError, match="not a network"):
        values.cidr("10.0.0.0/33")


def test_switches_and_choices_take_only_their_words() -> None:
    assert values.switch("True") is True
    assert values.switch("false") is False
    with pytest.raises(ValueError, match="neither true nor false"):
        values.switch("yes")
    with pytest.raises(ValueError, match="not one of pass, drop"):
        values.choice("pass", "drop")("reject")


@pytest.mark.parametrize("text", ["1023", "16777217", "-1", "1e6"])
def test_table_sizes_have_limits(text: str) -> None:
    with pytest.raises(ValueError, match=r"out of range|not a whole number"):
        values.table_size(text)
