"""Texts: how many segments one takes, and the digest that tells equal texts apart from others.

Sizes from SMSC's documentation: 160 Latin characters, or 153 a part when split; 70 Cyrillic, or 67.
GSM-7's extension characters take two septets (GSM 03.38).
"""

import hashlib
import math

MAX_CHARACTERS = 1000  # SMSC's limit for `mes`; we never cut a text

_GSM_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_EXTENSION = frozenset("\f^{}\\[~]|€")


def is_gsm(text: str) -> bool:
    return all(ch in _GSM_BASIC or ch in _GSM_EXTENSION for ch in text)


def segments(text: str) -> int:
    """Billable parts of `text` as an SMS; 0 for an empty one. SMSC's own `cnt` has the last word."""
    if not text:
        return 0
    if is_gsm(text):
        size, whole, part = sum(2 if ch in _GSM_EXTENSION else 1 for ch in text), 160, 153
    else:
        size, whole, part = len(text.encode("utf-16-be")) // 2, 70, 67
    return 1 if size <= whole else math.ceil(size / part)


def digest(text: str) -> str:
    """Equal texts have equal digests; 128 bits, hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
