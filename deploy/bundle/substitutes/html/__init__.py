"""In the bundle: what ``http.server`` uses, without the table of all of HTML5's named characters."""

_NAMED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_QUOTES = str.maketrans({'"': "&quot;", "'": "&#x27;"})


def escape(text: str, quote: bool = True) -> str:
    """The text with what HTML would take for markup replaced."""
    text = text.translate(_NAMED)
    return text.translate(_QUOTES) if quote else text
