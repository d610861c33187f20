"""Messages of one number: what `smsbridge message PHONE` shows."""

import re
from collections.abc import Sequence

from google.protobuf import json_format
from rich.table import Table

from smsbridge.api.v1 import status_pb2
from smsbridge.commands import common
from smsbridge.rpc import enums
from smsbridge.smsc import numbers as smsc_numbers

_PHONE_SHAPE = re.compile(r"\+?[\d\s().-]{7,24}\Z")


def phone_of(text: str) -> str:
    """The MSISDN that somebody typed; empty for what looks like an id."""
    if not _PHONE_SHAPE.match(text):
        return ""
    return smsc_numbers.normalise(text, default_region=common.default_region())


def print_list(found: Sequence[status_pb2.MessageSummary], output: common.Output) -> None:
    if output is common.Output.JSON:
        common.print_json([json_format.MessageToDict(one, preserving_proto_field_name=True) for one in found])
        return
    console = common.wide_console()
    console.print(f"{len(found)} messages to {found[0].recipient}, newest first; one of them whole:")
    console.print(f"smsbridge message {found[0].message_id}", style="bold")
    console.print(as_table(found))


def as_table(found: Sequence[status_pb2.MessageSummary]) -> Table:
    table = common.table("Accepted (UTC)", "State", "Channel", "From", "Provider", "Id", "Why")
    for one in found:
        state, channel = enums.MESSAGE_STATE.to_core(one.state), enums.CHANNEL.to_core(one.channel)
        origin = enums.ORIGIN.to_core(one.origin)
        table.add_row(
            common.utc_time(one.accepted_at_ms),
            state.value if state else "unknown",
            channel.value if channel else "",
            origin.value if origin else "",
            f"{one.namespace}/{one.provider_name}",
            one.message_id,
            one.reason_sentence or one.reason,
        )
    return table
