"""What must not be given away is taken out, and what surrounds it stays."""

from __future__ import annotations

import json

import pytest

from tcnat.scrub import REMOVED, scrubbed, without_secrets

PLANTED = "hunter2-planted"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"token: {PLANTED}", f"token: {REMOVED}"),
        (f"bearer_token={PLANTED}, more", f"bearer_token={REMOVED}, more"),
        (f'{{"password": "{PLANTED}", "port": 80}}', f'{{"password": "{REMOVED}", "port": 80}}'),
        (f"https://admin:{PLANTED}@10.0.0.1:6443/api", f"https://{REMOVED}@10.0.0.1:6443/api"),
        (f"https://{PLANTED}@10.0.0.1", f"https://{REMOVED}@10.0.0.1"),
        (f"Authorization: Bearer {PLANTED}", f"Authorization: {REMOVED} {REMOVED}"),
        (f"a eyJhbGciOi.{PLANTED}.c2ln b", f"a {REMOVED} b"),
        (f"x -----BEGIN RSA PRIVATE KEY-----\n{PLANTED}\n-----END RSA PRIVATE KEY----- y", f"x {REMOVED} y"),
        ("default/secret-store is served at 10.96.0.1:80", "default/secret-store is served at 10.96.0.1:80"),
    ],
)
def test_a_secret_goes_and_the_rest_stays(text: str, left: str) -> None:
    assert scrubbed(text) == left


def test_a_document_loses_the_values_of_secret_keys_however_deep() -> None:
    document = {"users": [{"name": "me", "user": {"token": [PLANTED], "client-key-data": 7}}], "v": 4}
    assert without_secrets(document) == {
        "users": [{"name": "me", "user": {"token": REMOVED, "client-key-data": REMOVED}}],
        "v": 4,
    }


def test_json_stays_json() -> None:
    text = json.dumps({"token": 12345, "password": PLANTED, "name": "secret-store", "secretName": None})
    assert json.loads(scrubbed(text))["name"] == "secret-store"
