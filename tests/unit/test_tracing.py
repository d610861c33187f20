"""The trace of a message: its id, its way through gRPC metadata, and its line in the log."""

import json
import subprocess
import sys

import pydantic
import pytest

from smsbridge.runtime import tracing

MESSAGE = "65575980fa531ac284c2ee68f81ebebd"
OTHER = "0c1e9f0a4b6d47f2a9c1b2d3e4f50617"


def test_a_message_id_of_the_portal_is_its_trace_id() -> None:
    assert tracing.id_of(MESSAGE) == tracing.id_of(MESSAGE.upper()) == MESSAGE


@pytest.mark.parametrize("message_id", ["", "42", "0" * 32, MESSAGE[:-1], f"{MESSAGE}0", "g" * 32])
def test_another_one_becomes_a_trace_id_that_is_always_the_same(message_id: str) -> None:
    found = tracing.id_of(message_id)
    assert found == tracing.id_of(message_id) != tracing.id_of(f"{message_id}.")
    assert (len(found), int(found, 16) > 0) == (32, True)


@pytest.mark.parametrize(("trace_id", "root"), [(MESSAGE, MESSAGE[16:]), (f"{1:016x}{0:016x}", f"{1:016x}")])
def test_the_root_span_s_id_follows_from_the_trace_id_and_is_never_zero(trace_id: str, root: str) -> None:
    assert tracing.root_of(trace_id) == root


def test_metadata_carry_the_trace_that_is_worked_at() -> None:
    assert tracing.metadata() == ()
    with tracing.within(MESSAGE):
        with tracing.within(OTHER):
            assert tracing.from_metadata(tracing.metadata()) == OTHER
        assert tracing.metadata() == (("traceparent", f"00-{MESSAGE}-{MESSAGE[16:]}-01"),)
    assert (tracing.current(), tracing.metadata()) == ("", ())


@pytest.mark.parametrize(
    "value",
    ["", "00", f"01-{MESSAGE}-{MESSAGE[16:]}-01", f"00-{'0' * 32}-{MESSAGE[16:]}-01", b"x", f"00-{MESSAGE}"],
)
def test_what_is_no_traceparent_is_passed_over(value: str | bytes) -> None:
    assert tracing.from_metadata([("other", "x"), ("traceparent", value)]) == ""
    assert tracing.from_metadata(None) == ""


def test_what_is_logged_names_the_trace() -> None:
    code = (
        "import structlog\n"
        "from smsbridge.core import msisdn\n"
        "from smsbridge.runtime import logging, tracing\n"
        "logging.configure(logging.LoggingSettings(), mask=msisdn.mask, process='sender')\n"
        "log = structlog.get_logger()\n"
        f"with tracing.within({MESSAGE!r}):\n"
        "    log.info('lease_taken')\n"
        "log.info('lease_taken')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line.get("trace_id") for line in lines] == [MESSAGE, None]


def test_without_a_collector_nothing_is_made_and_the_exporter_is_not_loaded() -> None:
    code = (
        "import sys\n"
        "from smsbridge.runtime import tracing\n"
        "import smsbridge.cli, smsbridge.targets.one, smsbridge.targets.roles\n"
        "tracing.configure(tracing.TracingSettings(), process='sender')\n"
        "tracing.span(tracing.Span.SEND, 'm', channel='sms')\n"
        "assert not tracing.are_made()\n"
        "print([name for name in sys.modules if 'otlp' in name or name == 'smsbridge.runtime.spans'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4318", "http://", "ftp://collector", "http://a b"])
def test_an_endpoint_is_an_address(endpoint: str) -> None:
    with pytest.raises(pydantic.ValidationError, match="endpoint"):
        tracing.TracingSettings(endpoint=endpoint)
