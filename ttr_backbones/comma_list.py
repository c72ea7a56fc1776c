"""Lists of a command line: words with commas between them."""

from __future__ import annotations


def comma_parts(text: str) -> list[str]:
    """Take a list apart, without the blanks around its words."""
    return [part.strip() for part in text.split(",")]


def comma_list(text: str) -> list[str]:
    """Take a list apart; what is named twice counts once."""
    return list(dict.fromkeys(comma_parts(text)))
