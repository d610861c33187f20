"""The command line's manners: exit codes, one sentence for what is wrong, nothing secret on the screen."""

import json
from pathlib import Path

import pytest

from smsbridge import cli


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    return int(ended.value.code or 0)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = capsys.readouterr().out
    messages = ("message", "cancel", "send", "hlr", "verify")
    for command in ("run", "sandbox", "demo", "provider", *messages, "config", "journal"):
        assert f" {command} " in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "everything"),
        ("message", "m1"),
        ("send", "--to", "79991234567"),
        ("hlr", "--address", "127.0.0.1:1"),
        ("hlr", "79991234567"),
        ("verify", "--source", "contacts"),
        ("verify", "--address", "127.0.0.1:1"),
        ("verify", "--source", "contacts", "--list", "--address", "127.0.0.1:1"),
        ("run", "all", "--public", "localhost"),
        ("sandbox", "--listen", "localhost"),
    ],
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert run(*arguments) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("message", "m1", "--address", "127.0.0.1:1"), "the status does not answer (UNAVAILABLE)"),
        (("cancel", "m1", "--address", "127.0.0.1:1"), "the sender does not answer (UNAVAILABLE)"),
        (("hlr", "89991234567", "--address", "127.0.0.1:1"), "the hlr does not answer (UNAVAILABLE)"),
        (("verify", "--list", "--address", "127.0.0.1:1"), "the hlr does not answer (UNAVAILABLE)"),
        (("verify", "--source", "{empty}/no.csv", "--address", "127.0.0.1:1"), "--source: is neither one of"),
        (
            ("hlr", "89991234567", "me", "--address", "127.0.0.1:1"),
            "NUMBER: number 2 is no phone number",
        ),
        (
            ("hlr", "89991234567", "--max-age", "1", "--address", "127.0.0.1:1"),
            "--max-age: is no duration; write a number with its unit",
        ),
        (("message", "m1", "--data", "{empty}"), "no stack was started in {empty}"),
        (("provider", "list", "--data", "{empty}"), "no stack was started in {empty}"),
        (("journal", "drain", "{empty}", "--data", "{empty}"), "no stack was started in {empty}"),
        (("run", "sender", "--data", "{empty}"), "no stack was started in {empty}"),
        (("config", "check", "--config", "{empty}/none.yaml"), "cannot read {empty}/none.yaml"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    assert run(*(part.format(empty=tmp_path) for part in arguments)) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f"smsbridge: {sentence.format(empty=tmp_path)}")
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_config_check_names_the_wrong_setting_and_the_right_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("hlr: {preference_day: 30}\n")
    assert run("config", "check", "--config", str(file)) == 1
    assert capsys.readouterr().err == (
        "smsbridge: hlr.preference_day: no such setting; did you mean preference_days?\n"
    )
    file.write_text("hlr: {preference_days: 30}\n")
    assert run("config", "check", "--config", str(file)) == 0


def test_config_show_explains_every_setting_and_shows_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("store: {password: hunter2}\nhlr: {preference_days: 30}\n")
    assert run("config", "show", "--config", str(file), "--output", "json") == 0
    printed = capsys.readouterr().out
    assert "hunter2" not in printed
    rows = {row["path"]: row for row in json.loads(printed)}
    assert rows["store.password"]["value"] == "(secret)"
    assert rows["hlr.preference_days"]["value"] == "30.0"
    assert rows["hlr.preference_days"]["default"] == "90.0"
    assert rows["hlr.preference_days"]["variable"] == "SMSBRIDGE_HLR__PREFERENCE_DAYS"
    assert [path for path, row in rows.items() if not row["description"]] == []
