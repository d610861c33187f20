"""`smsbridge message`, `cancel` and `send`: one message, by hand."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from google.protobuf import json_format
from rich.table import Table
from ulid import ULID

from smsbridge.api.v1 import sender_pb2, status_pb2
from smsbridge.commands import common, found
from smsbridge.core import errors, message
from smsbridge.core.message import Route
from smsbridge.rpc import clients, enums
from smsbridge.rpc import errors as rpc_errors
from smsbridge.rpc import message as rpc_message
from smsbridge.runtime import rpc

Id = Annotated[str, typer.Argument(metavar="ID", help="The message's id, as the portal or `send` named it.")]


Wanted = Annotated[
    str,
    typer.Argument(
        metavar="ID|PHONE", help="The message's id, as the portal or `send` named it, or a number."
    ),
]


def show(
    wanted: Wanted,
    data: common.Data = None,
    address: common.Address = "",
    provider: common.ProviderName = "",
    output: common.OutputOption = common.Output.TABLE,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it again at each change, until it is final.")
    ] = False,
) -> None:
    """Where a message is, why, and what happens next; of a number its newest messages.

    `--address` is the status role's.
    """
    status_address = common.address_of("status", data=data, address=address)
    asyncio.run(_show(wanted, status_address, provider=provider, output=output, watch=watch))


async def _show(wanted: str, address: str, *, provider: str, output: common.Output, watch: bool) -> None:
    async with rpc.channel(address) as channel:
        client = clients.StatusClient(channel)
        uid = await _uid_by_ledger(client, provider) if provider else ""
        message_id = wanted
        if phone := found.phone_of(wanted):
            messages = await _of_phone(client, wanted, phone, uid)
            if len(messages) != 1:
                found.print_list(messages, output)
                return
            message_id, uid = messages[0].message_id, messages[0].provider_uid
        if not watch:
            _print_record(await client.get_message(message_id, provider_uid=uid), output)
            return
        async for record in client.watch_message(message_id, provider_uid=uid):
            _print_record(record, output)


async def _of_phone(
    client: clients.StatusClient, wanted: str, phone: str, uid: str
) -> Sequence[status_pb2.MessageSummary]:
    """The messages of a number. Digits alone may be an id as well, and that goes first."""
    if wanted.isdecimal():
        try:
            record = await client.get_message(wanted, provider_uid=uid)
        except rpc_errors.NotFound:
            pass
        else:
            named = status_pb2.MessageSummary(message_id=wanted, provider_uid=record.provider_uid)
            return [named]
    messages = await client.find_messages(phone, provider_uid=uid)
    if not messages:
        raise errors.Refused("nobody knows a message to this number; it may be older than 15 days")
    return messages


def cancel(
    message_id: Id,
    data: common.Data = None,
    address: common.Address = "",
    provider: common.ProviderName = "",
) -> None:
    """Take a queued message back. `--address` is the sender's."""
    sender_address = common.address_of("sender", data=data, address=address)
    asyncio.run(_cancel(message_id, sender_address, provider=provider))


async def _cancel(message_id: str, address: str, *, provider: str) -> None:
    async with rpc.channel(address) as channel:
        client = clients.SenderClient(channel)
        known = await _by_queue(client)
        uid = common.choose(known, provider).uid
        state = await client.cancel(uid, message_id)
    print(state.value)


def send(
    to: Annotated[str, typer.Option("--to", metavar="PHONE", help="A phone, as people write it.")],
    text: Annotated[str, typer.Option("--text", help="At most 1,000 characters.")],
    data: common.Data = None,
    address: common.Address = "",
    provider: common.ProviderName = "",
    channel: Annotated[
        Route | None, typer.Option("--channel", help="Instead of what the provider's routing says.")
    ] = None,
    wait_seconds: Annotated[
        int,
        typer.Option(
            "--wait", min=0, metavar="SECONDS", help="Cascade: before the second channel; 0: as configured."
        ),
    ] = 0,
    key: Annotated[
        str, typer.Option("--key", help="Your own key: what was sent with it once is not sent again.")
    ] = "",
    output: common.OutputOption = common.Output.TABLE,
) -> None:
    """Send one message. `--address` is the sender's. Prints its id."""
    sender_address = common.address_of("sender", data=data, address=address)
    outgoing = rpc_message.Outgoing(
        provider_uid="",
        message_id="",
        recipient=to,
        text=text,
        origin=message.Origin.MANUAL,
        accepted_at_ms=round(datetime.now(UTC).timestamp() * 1000),
        report_to=message.ReportTo.NOBODY,
        dedupe_key=key or str(ULID()),
        route=channel,
        wait_seconds=wait_seconds,
    )
    asyncio.run(_send(rpc_message.to_proto(outgoing), sender_address, provider=provider, output=output))


async def _send(
    outgoing: sender_pb2.OutgoingMessage, address: str, *, provider: str, output: common.Output
) -> None:
    async with rpc.channel(address) as channel:
        client = clients.SenderClient(channel)
        outgoing.provider_uid = common.choose(await _by_queue(client), provider).uid
        (answer,) = await client.submit([outgoing])
    result = enums.SUBMITTED.required(answer.result, field="result")
    if output is common.Output.JSON:
        common.print_json({"result": result, "message_id": answer.message_id, "reason": answer.reason})
    elif answer.message_id:
        print(answer.message_id)
    if result not in {enums.Submitted.ACCEPTED, enums.Submitted.DUPLICATE, enums.Submitted.HELD}:
        common.fail(_sentence(answer.reason) or f"not taken: {result.value.replace('_', ' ')}")


async def _by_queue(client: clients.SenderClient) -> list[common.Named]:
    queues = await client.describe_queue()
    return [common.Named(queue.provider_uid, queue.namespace, queue.name) for queue in queues]


async def _uid_by_ledger(client: clients.StatusClient, provider: str) -> str:
    ledgers = (await client.get_ledger()).ledgers
    known = [common.Named(one.provider_uid, one.namespace, one.name) for one in ledgers]
    return common.choose(known, provider).uid


def _sentence(reason: str) -> str:
    """A closed word of core as a sentence; a word of a newer sender as it is."""
    try:
        return message.REASON_SENTENCES[message.Reason(reason)]
    except ValueError:
        return reason


def _print_record(record: status_pb2.MessageRecord, output: common.Output) -> None:
    if not record.message_id:
        raise errors.Refused("nobody knows this message")
    if output is common.Output.JSON:
        common.print_json(json_format.MessageToDict(record, preserving_proto_field_name=True))
        return
    console = common.wide_console()
    state = enums.MESSAGE_STATE.to_core(record.state)
    word = state.value if state else "unknown"
    # An older status role says less.
    console.print(record.headline or f"{word}{_because(record)}", style="bold")
    console.print(f"{record.message_id}  to {record.recipient}  by {record.namespace}/{record.provider_name}")
    console.print(f"state: {word}{_cost(record)}")
    if record.next_step:
        console.print(record.next_step)
    if told := _told(record):
        console.print(told)
    if record.attempts:
        console.print(_attempts(record))
    if record.events:
        console.print(_events(record))


def _because(record: status_pb2.MessageRecord) -> str:
    why = record.reason_sentence or record.reason
    return f": {why}" if why else ""


def _cost(record: status_pb2.MessageRecord) -> str:
    if not record.cost:
        return ""
    part = record.cost_estimated
    estimated = (
        "" if part in ("", "0.00") else " (estimated)" if part == record.cost else f" ({part} estimated)"
    )
    return f", cost: {record.cost} roubles{estimated}"


def _told(record: status_pb2.MessageRecord) -> str:
    """What portal or workflow step was told, and is to be; empty where there is nothing to say."""
    step = enums.REPORT_TO.to_core(record.report_to) in message.STEP_REPORTS
    if step and record.step_told_at_ms and not record.portal_written:
        return f"told the workflow step nothing: it waited no more{_when(record.step_told_at_ms)}"
    if not (record.portal_written or record.portal_wanted):
        return ""
    told = (record.portal_written or "nothing yet") + _when(record.step_told_at_ms)
    wanted = f", to be told: {record.portal_wanted}" if record.portal_wanted else ""
    return f"told the {'workflow step' if step else 'portal'}: {told}{wanted}"


def _when(unix_ms: int) -> str:
    return f" at {common.utc_time(unix_ms)} UTC" if unix_ms else ""


def _attempts(record: status_pb2.MessageRecord) -> Table:
    table = common.table("Attempt", "Channel", "State", "SMSC id", "Segments", "Cost", "Reason")
    for one in record.attempts:
        cost = f"{one.cost}{' (estimated)' if one.cost_estimated else ''}" if one.cost else ""
        by = _channel(one.delivered_by) or _channel(one.channel)
        table.add_row(str(one.number), by, one.state, one.smsc_id, str(one.segments or ""), cost, one.reason)
    return table


def _events(record: status_pb2.MessageRecord) -> Table:
    table = common.table("Time (UTC)", "Event", "What happened")
    table.box = None  # sentences need the room
    table.columns[0].no_wrap = True
    for event in record.events:
        detail = ", ".join(f"{name}={value}" for name, value in sorted(event.detail.items()))
        told = event.sentence or detail
        table.add_row(f"{common.utc_time(event.at_ms)}.{event.at_ms % 1000:03d}", event.what, told)
    return table


def _channel(number: int) -> str:
    word = enums.CHANNEL.to_core(number)
    return word.value if word else ""
