"""One POST to send.php, in our words. The wire modules turn it into SMSC's."""

from dataclasses import dataclass

from smsbridge.core import errors, message, msisdn


@dataclass(frozen=True, slots=True)
class SendRequest:
    client_id: str  # ours, up to 40 of A-Za-z0-9.-_
    numbers: tuple[tuple[str, str], ...]  # (MSISDN, text); never one number twice
    channel: message.Channel
    fallback_seconds: int | None = None  # profile guide: SMSC itself falls back to SMS after this wait
    valid_seconds: int | None = (
        None  # profile http: how long it may be tried; rounded up to a minute, 24 h at most
    )
    sender_id: str = ""  # empty: the account's

    @property
    def single_text(self) -> str | None:
        """The text that all numbers share, or None."""
        texts = {text for _, text in self.numbers}
        return next(iter(texts)) if len(texts) == 1 else None

    def check(self) -> None:
        """Raises `InputError` for what would make a request that SMSC misreads."""
        phones = [phone for phone, _ in self.numbers]
        if not phones:
            raise errors.InputError("a request needs at least one number", field="numbers")
        if not all(msisdn.is_msisdn(phone) for phone in phones):
            raise errors.InputError("every number must be an MSISDN", field="numbers")
        if len(set(phones)) != len(phones):
            raise errors.InputError("a number may be in one request only once", field="numbers")
        if not 0 < len(self.client_id) <= 40 or not _is_plain(self.client_id):
            raise errors.InputError("must be 1 to 40 of A-Z a-z 0-9 . - _", field="client_id")


def _is_plain(text: str) -> bool:
    return text.isascii() and all(ch.isalnum() or ch in ".-_" for ch in text)
