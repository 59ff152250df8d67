"""Takes secrets out of what is given away; rather too much than too little: what only looks like one goes, too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

REMOVED = "(removed)"
"""What stands where a secret stood."""
_SECRET_WORDS = r"token|passw(?:or)?d|secret|api-?_?key|private-?_?key|client-key|-key-data|credential|authorization"
_SECRET_KEY = re.compile(f"(?i){_SECRET_WORDS}")
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?-----END [A-Z0-9 ]+-----", re.DOTALL)
_JSON_WEB_TOKEN = re.compile(r"\beyJ[\w-]{6,}\.[\w-]+\.[\w-]*")
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_BEARER = re.compile(r"(?i)(?<=bearer )\S+")
_NAMED = re.compile(rf"""(?i)(["']?[\w.-]*(?:{_SECRET_WORDS})[\w.-]*["']?\s*[:=]\s*)("[^"]*"|'[^']*'|[^\s,}}\]]+)""")


def scrubbed(text: str) -> str:
    """The text without certificates and keys in PEM, web tokens, users and passwords in URLs, and values of what is
    called a token, password and the like."""
    for pattern in (_PEM, _JSON_WEB_TOKEN, _USER_IN_URL, _BEARER):
        text = pattern.sub(REMOVED, text)
    return _NAMED.sub(_without_value, text)


def without_secrets(content: Any) -> Any:
    """The same for mappings, lists and texts: of a mapping the values of such keys go, whatever they are."""
    if isinstance(content, Mapping):
        return {
            key: REMOVED if _SECRET_KEY.search(str(key)) else without_secrets(value) for key, value in content.items()
        }
    if isinstance(content, list | tuple):
        return [without_secrets(each) for each in content]
    return scrubbed(content) if isinstance(content, str) else content


def _without_value(found: re.Match[str]) -> str:
    """The name, and in the value's place something that leaves JSON whole."""
    name, value = found.groups()
    quote = next((each for each in "\"'" if each in name or each in value), "")
    return f"{name}{quote}{REMOVED}{quote}"
