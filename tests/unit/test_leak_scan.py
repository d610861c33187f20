"""The scan of the flow tests finds what is planted, in every form, and nothing where nothing is."""

import base64
import json
import urllib.parse
from pathlib import Path

import pytest

from smsbridge.sandbox import phones, server, smsc_account
from smsbridge.sandbox.tokens import Grant
from tests.flow import harness, leaks

PHONE, LOOKED_UP = "+79990000001", "79161234567"
TEXT, NEVER_SENT = "Ваш код для входа: 4821, никому не говорите", "Заказ {n} готов"
KEY = "abcdefghijklmnopqrstuvwxyz234567"
MASTER = base64.b64encode(bytes(range(32))).decode()
CLEAN = """\
{"event": "look_up_given_up", "provider": "crm/smsc", "timestamp": "2026-11-22T07:01:49.123456Z"}
{"message_id": "0123456789abcdef0123456789abcdef", "to": "7999*****01", "detail": "at 1763794909.123456"}
smsbridge_accepted_total{role="gateway",namespace="crm",provider="smsc"} 20.0
process_start_time_seconds 1.7637949097e+09
the key is needed, and a password; the token was refused
"""


@pytest.fixture
def passed(tmp_path: Path) -> leaks.Passed:
    settings = harness.sandbox_settings()
    settings.accounts[0].api_key, settings.accounts[0].callback.secret = "an-api-key", "a-callback-secret"
    settings.accounts[0].callback.url = f"http://127.0.0.1/smsc/crm/smsc/{KEY}/callback"
    sandbox = server.Sandbox(settings)
    sandbox.portals.tokens.issue(Grant("client", "member", 1), now=0, seconds=60)
    portal = sandbox.portals.by_domain[harness.DOMAIN]
    row = portal.new_row(message_id="m", phone=PHONE, origin="card", author_id=1, now=0, text=NEVER_SENT)
    portal.insert(row, status="sent", now=0)
    portal.steps["1|a-step-token"] = portal.steps.get("x")  # type: ignore[assignment]
    account = sandbox.smsc.accounts["guide"]
    account.totals.look_ups[LOOKED_UP] += 1
    kind = phones.Kind.SMS
    account.remember(smsc_account.Message(1, None, PHONE[1:], TEXT, "", kind, 0, account.balance, 1))
    found = leaks.of_sandbox(sandbox)
    (tmp_path / "master.key").write_text(f"{MASTER}\n")
    (tmp_path / "valkey-password").write_text("a-store-password")
    found.add_data(tmp_path)
    return found


def word(passed: leaks.Passed, kind: str) -> str:
    return sorted(passed._words[kind])[0]


def test_nothing_is_found_where_nothing_is(passed: leaks.Passed) -> None:
    assert passed.found_in_log(CLEAN) == set()


@pytest.mark.parametrize(
    "kind",
    [
        *("text", "access token", "refresh token", "application token", "step's token", "client secret"),
        *("password", "API key", "callback secret", "URL key", "master key", "store password"),
    ],
)
def test_each_kind_is_found(passed: leaks.Passed, kind: str, tmp_path: Path) -> None:
    assert passed.kinds() >= {kind, "phone"}
    leaking = f"{CLEAN}x{word(passed, kind)}y"
    assert passed.found(leaking) == {kind}
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "one.log").write_text(leaking)
    (tmp_path / "other.log").write_text(leaking)
    assert passed.found_in_logs(tmp_path, but=frozenset({"other.log"})) == [f"{kind} in sub/one.log"]


@pytest.mark.parametrize(
    "leaking",
    [
        TEXT,
        TEXT[:20],
        TEXT[-20:],
        "Заказ 5 готов",
        json.dumps({"a": TEXT}),
        json.dumps(json.dumps({"a": TEXT})),
        ascii(TEXT),
        urllib.parse.quote(TEXT),
        urllib.parse.quote_plus(TEXT),
    ],
)
def test_a_text_is_found_in_every_form(passed: leaks.Passed, leaking: str) -> None:
    assert passed.found(f"{CLEAN} {leaking} ") == {"text"}


@pytest.mark.parametrize(
    "leaking",
    [
        PHONE,
        LOOKED_UP,
        "89990000001",
        "9990000001",
        "+7 (999) 000-00-01",
        "+7.999.000.00.01",
        "a79990000001",
        "_79990000001_",
        "id-79990000001",
        "%2B79990000001",
        "%3D79990000001",
        "1,79990000001,2",
        "79990000001 12",
        r"\u043279990000001",
    ],
)
def test_a_phone_is_found_in_every_form(passed: leaks.Passed, leaking: str) -> None:
    assert passed.found(f"{CLEAN} {leaking}") == {"phone"}


def test_in_a_log_a_phone_of_nobody_is_found_too(passed: leaks.Passed) -> None:
    assert passed.found("to 79997654321") == set()
    assert passed.found_in_log("to 79997654321") == {"phone"}


def test_a_stack_looks_at_its_logs_its_commands_and_its_metrics(tmp_path: Path) -> None:
    settings = harness.sandbox_settings()
    stack = harness.Stack(tmp_path, server.Sandbox(settings), [harness.Plan()], {})
    stack.data.mkdir()
    stack.urls.append(f"http://127.0.0.1/smsc/crm/smsc/{KEY}/callback")
    stack.printed.append(("provider show", f"/smsc/crm/smsc/{KEY}/callback"))
    stack.check_leaks(CLEAN)

    (tmp_path / "smsbridge.log").write_text("its psw is secret-guide")
    (stack.data / "valkey.log").write_text("sandbox-client-secret")
    stack.printed += [("provider show, error", KEY), ("report", "secret-http"), ("report", "fine")]
    with pytest.raises(AssertionError) as caught:
        stack.check_leaks(f"x{{password='{settings.accounts[0].password}'}} 1")
    for place in (
        *("client secret in data/valkey.log", "password in smsbridge.log", "URL key in provider show, error"),
        *("password in report", "password in metrics"),
    ):
        assert f"'{place}'" in str(caught.value)
    assert "URL key in provider show'" not in str(caught.value)
