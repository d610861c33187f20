"""The picture of `smsbridge top`, from what roles and /metrics say."""

import io

import pytest
from rich.console import Console

from smsbridge import cli
from smsbridge.api.v1 import sender_pb2, status_pb2
from smsbridge.commands import figures, top_view
from smsbridge.commands.figures import Figures
from smsbridge.commands.top_view import Sample

AT = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC
PAGE = """\
# TYPE smsbridge_batches_total counter
smsbridge_batches_total{namespace="crm",provider="smsc",channel="sms",result="accepted",role="sender"} 10
smsbridge_batches_total{namespace="crm",provider="smsc",channel="viber",result="accepted",role="sender"} 2
smsbridge_batches_total{namespace="crm",provider="smsc",channel="sms",result="error_9",role="sender"} 3
# TYPE smsbridge_batch_numbers_total counter
smsbridge_batch_numbers_total{namespace="crm",provider="smsc",channel="sms",result="accepted"} 1000
smsbridge_batch_numbers_total{namespace="crm",provider="smsc",channel="sms",result="error_9"} 7
# TYPE smsbridge_binding_limit gauge
smsbridge_binding_limit{namespace="crm",provider="smsc",limit="account_permits",role="sender"} 1
smsbridge_binding_limit{namespace="crm",provider="smsc",limit="pause",role="sender"} 0
# TYPE smsbridge_loop_errors_total counter
smsbridge_loop_errors_total{loop="pump",role="sender"} 0
# TYPE smsbridge_status_loop_errors_total counter
smsbridge_status_loop_errors_total{loop="poll"} 2
# TYPE smsbridge_portal_calls_total counter
smsbridge_portal_calls_total{result="ok",role="status"} 50
smsbridge_portal_calls_total{result="QUERY_LIMIT_EXCEEDED",role="status"} 1
# TYPE smsbridge_gateway_accepts_total counter
smsbridge_gateway_accepts_total{origin="card",result="accepted"} 9
smsbridge_gateway_accepts_total{origin="card",result="duplicate"} 9
smsbridge_gateway_accepts_total{origin="card",result="set_aside"} 1
smsbridge_gateway_accepts_total{origin="robot",result="set_aside"} 1
smsbridge_gateway_accepts_total{origin="card",result="lost"} 1
# TYPE smsbridge_gateway_callbacks_total counter
smsbridge_gateway_callbacks_total{result="receipt"} 9
smsbridge_gateway_callbacks_total{result="false_signature"} 4
# TYPE smsbridge_hlr_requests_total counter
smsbridge_hlr_requests_total{namespace="crm",provider="smsc",result="answered"} 9
smsbridge_hlr_requests_total{namespace="crm",provider="smsc",result="unanswered"} 1
# TYPE smsbridge_rpc_client_calls_total counter
smsbridge_rpc_client_calls_total{method="/smsbridge.v1.SenderService/Submit",code="OK"} 9
smsbridge_rpc_client_calls_total{method="/smsbridge.v1.SenderService/Submit",code="UNAVAILABLE"} 2
smsbridge_rpc_client_calls_total{method="/smsbridge.v1.StatusService/GetLedger",code="UNAVAILABLE"} 1
"""


def queue(**changes: object) -> sender_pb2.QueueDescription:
    lanes = [
        sender_pb2.LaneDepth(lane="interactive", waiting=2, oldest_age_ms=3_400),
        sender_pb2.LaneDepth(lane="bulk", waiting=9_300, oldest_age_ms=240_000),
    ]
    fields = {
        "provider_uid": "u1",
        "namespace": "crm",
        "name": "smsc",
        "lanes": lanes,
        "sending": 100,
        **changes,
    }
    return sender_pb2.QueueDescription(**fields)  # type: ignore[arg-type]


def ledgers(**changes: object) -> status_pb2.GetLedgerResponse:
    fields = {
        "provider_uid": "u1", "namespace": "crm", "name": "smsc", "accepted": 14_000, "sent": 400,
        "final": {"delivered": 4_000, "undelivered": 150, "failed": 40, "expired": 8, "outcome_unknown": 2},
        "portal_outbox": 25, "portal_lag_ms": 2_000, **changes,
    }  # fmt: skip
    one = status_pb2.Ledger(**fields)  # type: ignore[arg-type]
    return status_pb2.GetLedgerResponse(ledgers=[one], unaccounted=one.unaccounted, journalled=3)


def shown(before: Sample | None, now: Sample) -> str:
    console = Console(file=io.StringIO(), width=200, highlight=False)
    console.print(top_view.picture(before, now))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_page_is_read() -> None:
    found = figures.read(PAGE)

    assert found.batches == {"crm/smsc": 12}
    assert found.numbers == {"crm/smsc": 1000}
    assert found.binding == {"crm/smsc": ("account_permits",)}
    assert found.errors == {
        "requests to SMSC: error_9": 3,
        "status, loop poll": 2,
        "requests to the portal: QUERY_LIMIT_EXCEEDED": 1,
        "messages at the door: set_aside": 2,
        "messages at the door: lost": 1,
        "calls from SMSC: false_signature": 4,
        "look-ups at SMSC: unanswered": 1,
        "calls between roles: UNAVAILABLE": 3,
    }


def test_pages_of_several_processes_are_one() -> None:
    one = Figures({"crm/a": 1}, {"crm/a": 10}, {"crm/a": ("pause",)}, {"x": 1})
    other = Figures({"crm/a": 2, "crm/b": 1}, {}, {"crm/a": ("pause", "linger")}, {"x": 1, "y": 1})
    assert figures.together([one, other]) == Figures(
        {"crm/a": 3, "crm/b": 1}, {"crm/a": 10}, {"crm/a": ("pause", "linger")}, {"x": 2, "y": 1}
    )


def test_a_page_that_is_none_is_no_figure() -> None:
    with pytest.raises(ValueError, match=r"."):
        figures.read("<html>not found</html>\n<br>")


def test_a_picture_of_work() -> None:
    before = Sample(AT, [queue()], ledgers(), Figures({"crm/smsc": 10}, {"crm/smsc": 800}, {}, {"x": 1}))
    now = Sample(
        AT + 2,
        [queue()],
        ledgers(),
        Figures({"crm/smsc": 14}, {"crm/smsc": 1_200}, {"crm/smsc": ("account_permits",)}, {"x": 4, "y": 9}),
    )

    text = shown(before, now)

    assert "2026-09-21 14:13:22 UTC   14000 accepted, 3 in journals, 0 unaccounted" in text
    cells = [
        cell.strip() for cell in next(line for line in text.splitlines() if "crm/smsc" in line).split("│")
    ]
    assert cells[1:-1] == [
        "crm/smsc", "2, 3 s", "9300, 4 min", "0", "100", "400", "4000", "198", "2.0", "200.0", "25, 2 s",
        "SMSC's limit of requests at a time",
    ]  # fmt: skip
    assert "errors since the start: y 9 (+9); x 4 (+3)" in text


def test_what_binds_is_said() -> None:
    stopped = queue(pause_reason="money", next_probe_at_ms=round(AT * 1000) + 60_000, uncertain=2)
    [line] = top_view.lines(
        None,
        Sample(
            AT,
            [stopped],
            ledgers(portal_lag_ms=90_000),
            Figures(binding={"crm/smsc": ("pause", "newer_word")}),
        ),
    )

    assert line.binds == (
        "no money, next probe 14:14:20",
        "newer word",
        "2 uncertain batches",
        "the portal is written to late",
    )
    assert (line.batches_per_second, line.numbers_per_second) == (None, None)


def test_what_is_away_is_said_and_the_rest_is_shown() -> None:
    text = shown(
        None, Sample(AT, [], ledgers(unaccounted=1), None, ("the sender does not answer (UNAVAILABLE)",))
    )
    assert "the sender does not answer" in text
    assert "1 unaccounted (a fault: see the runbook)" in text
    assert "4000" in text
    text = shown(None, Sample(AT, [queue()], None, None, ("the status does not answer (UNAVAILABLE)",)))
    assert "9300, 4 min" in text


def test_a_process_that_began_anew_makes_no_negative_rate() -> None:
    before = Sample(AT, [queue()], ledgers(), Figures({"crm/smsc": 500}, {"crm/smsc": 50_000}))
    now = Sample(AT + 1, [queue()], ledgers(), Figures({"crm/smsc": 1}, {"crm/smsc": 100}))
    [line] = top_view.lines(before, now)
    assert (line.batches_per_second, line.numbers_per_second) == (0.0, 0.0)


def test_a_removed_provider_and_its_successor_are_two_lines() -> None:
    second = status_pb2.Ledger(provider_uid="u2", namespace="crm", name="smsc", accepted=1)
    both = ledgers()
    both.ledgers.append(second)
    assert [line.label for line in top_view.lines(None, Sample(AT, [queue()], both))] == ["crm/smsc"] * 2


def test_once_without_a_stack_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["top", "--once", "--sender", "127.0.0.1:1", "--status", "127.0.0.1:1"])
    assert ended.value.code == 1
    assert "the sender does not answer (UNAVAILABLE); the status does not" in capsys.readouterr().err
