"""Loads the Lua scripts and runs them: one round trip each, by digest.

A script is its own file behind shared ones: `prelude_common.lua` always, `prelude_rollup.lua` and
`prelude.lua` for the provider tag, and what a group of scripts shares besides (`prelude_batch.lua`,
`prelude_delivery.lua`, `prelude_errands.lua`, `prelude_numbers.lua`, `prelude_verifications.lua`); its first
line says which. The times that scripts need are written in front as constants, so that every process runs the
same text.
"""

import hashlib
import json
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class StoreTimes(BaseModel):
    """Times that scripts need. Every process of a deployment must have the same."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    op_kept_ms: int = Field(
        900_000, description="How long the answer of an operation is kept for its repeat (ms)."
    )
    record_kept_ms: int = Field(
        15 * 86_400_000, description="A message's record and story, after it is final (ms)."
    )
    text_kept_ms: int = Field(
        86_400_000, description="A text, after the last message that uses it is final (ms)."
    )
    dedupe_kept_ms: int = Field(
        30 * 86_400_000, description="How long a repeated message_id is recognised (ms)."
    )
    portal_quiet_ms: int = Field(
        10_000,
        description="Nothing is written to the portal so soon after acceptance: its own SENT would win (ms).",
    )
    portal_queued_after_ms: int = Field(
        60_000, description="The portal is told `queued` where a message has waited so long (ms)."
    )
    portal_flight_ms: int = Field(
        70_000, description="An unanswered portal write rests so long before the newest is written (ms)."
    )
    first_poll_ms: int = Field(
        60_000, description="SMSC is asked so long after acceptance, then doubling (ms)."
    )
    poll_most_ms: int = Field(3_600_000, description="The longest pause between two questions (ms).")
    close_extra_ms: int = Field(86_400_000, description="An attempt closes so long after its validity (ms).")
    close_most_ms: int = Field(72 * 3_600_000, description="The latest close, counted from acceptance (ms).")
    alive_kept_ms: int = Field(
        7 * 86_400_000, description="A delivered SMS proves for so long that its number can be reached (ms)."
    )
    rollup_kept_ms: int = Field(
        400 * 86_400_000, description="What reports are made of, after the day that it belongs to (ms)."
    )
    token_hold_ms: int = Field(
        900_000,
        description="A message with a foreign application token is held so long, then compared again (ms).",
    )


EVENTS_KEPT = 50
# Upper bounds (ms) of the classes in which the store counts how old messages were at each stage.
AGE_BOUNDS_MS = (
    500,
    1000,
    2500,
    5000,
    10_000,
    30_000,
    60_000,
    300_000,
    900_000,
    3_600_000,
    14_400_000,
    86_400_000,
)
PHONE_MESSAGES_KEPT = 20  # messages of one number that are found by it
UNPLACED_MOST = 100_000  # final messages that wait for their carrier and region
ROLLUP_NAMES_MOST = 300  # carriers, or regions, of one provider's day
_MESSAGES = ("prelude_common", "prelude_rollup", "prelude")  # what the provider tag's scripts share
FINAL_RANK = 5  # core.delivery.FINAL_RANK; a test compares the two
_BOUNDS = {
    "EVENTS_KEPT": EVENTS_KEPT,
    "PHONE_MESSAGES_KEPT": PHONE_MESSAGES_KEPT,
    "UNPLACED_MOST": UNPLACED_MOST,
    "ROLLUP_NAMES_MOST": ROLLUP_NAMES_MOST,
    "FINAL_RANK": FINAL_RANK,
    "AGE_BOUNDS_MS": f"{{{', '.join(map(str, AGE_BOUNDS_MS))}}}",
}


class ScriptText:
    """The text and digest of one script."""

    __slots__ = ("sha", "text")

    def __init__(self, name: str, times: StoreTimes) -> None:
        folder = resources.files("smsbridge.store")
        body = (folder / f"{name}.lua").read_text(encoding="utf-8")
        flags, body = _take_flags(body)
        shared = "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in _preludes(body))
        constants = {**{k.upper(): v for k, v in times.model_dump().items()}, **_BOUNDS}
        head = "\n".join(f"local {name} = {value}" for name, value in constants.items())
        self.text = f"{flags}{head}\n{shared}\n{body}"
        self.sha = hashlib.sha1(self.text.encode()).hexdigest()  # noqa: S324 - EVALSHA's own digest


def _preludes(body: str) -> tuple[str, ...]:
    """Which shared files stand in front; a script's first line says what it works on."""
    if body.startswith("-- provider tag, verifications"):
        return "prelude_common", "prelude_verifications"
    for part in ("batch", "delivery"):
        if body.startswith(f"-- provider tag, {part}"):
            return *_MESSAGES, f"prelude_{part}"
    for start, part in (("account tag, numbers", "numbers"), ("provider tag, errands", "errands")):
        if body.startswith(f"-- {start}"):
            return "prelude_common", f"prelude_{part}"
    return _MESSAGES if body.startswith("-- provider tag") else ("prelude_common",)


def _take_flags(body: str) -> tuple[str, str]:
    """A first line `#!lua flags=...` stays first."""
    if not body.startswith("#!"):
        return "", body
    flags, _, rest = body.partition("\n")
    return flags + "\n", rest


def encode(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def decode(answer: bytes | str | None) -> Any:
    """What a script answered as JSON; None for nothing."""
    return None if answer is None else json.loads(answer)
