"""Settings: precedence, types from the environment, and sentences for what is wrong."""

from pathlib import Path

import pydantic
import pytest

from smsbridge.runtime import settings


class Store(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    url: str = pydantic.Field("redis://here", description="Where it is.")
    timeout_seconds: float = pydantic.Field(5.0, gt=0, description="How long (s).")
    hosts: list[str] = pydantic.Field(default_factory=list, description="Others.")
    password: pydantic.SecretStr = pydantic.Field(pydantic.SecretStr(""), description="Password.")


class All(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    store: Store = pydantic.Field(default_factory=Store)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.yaml"


def test_environment_wins_over_file_and_file_over_default(file: Path) -> None:
    file.write_text("store: {url: redis://file, timeout_seconds: 2}\n")
    loaded = settings.load(All, file=file, environ={"SMSBRIDGE_STORE__URL": "redis://environment"})
    assert loaded.store.url == "redis://environment"
    assert loaded.store.timeout_seconds == 2
    assert loaded.store.hosts == []


def test_environment_gives_numbers_lists_and_secrets_of_digits() -> None:
    environ = {
        "SMSBRIDGE_STORE__TIMEOUT_SECONDS": "1.5",
        "SMSBRIDGE_STORE__HOSTS": "[a, b]",
        "SMSBRIDGE_STORE__PASSWORD": "007",
    }
    store = settings.load(All, file=None, environ=environ).store
    assert (store.timeout_seconds, store.hosts) == (1.5, ["a", "b"])
    assert store.password.get_secret_value() == "007"


def test_variables_that_are_not_ours_are_left_alone() -> None:
    environ = {"SMSBRIDGE_SENDER_PORT": "tcp://10.0.0.1:9090", "SMSBRIDGE_LIFELINE": "7", "OTHER__X": "1"}
    assert settings.load(All, file=None, environ=environ) == All()


@pytest.mark.parametrize(
    ("text", "field", "sentence"),
    [
        (
            "store: {timeout_second: 1}",
            "store.timeout_second",
            "no such setting; did you mean timeout_seconds?",
        ),
        ("stroe: {}", "stroe", "no such setting; did you mean store?"),
        (
            "store: {zzzzzz: 1}",
            "store.zzzzzz",
            "no such setting; known here: hosts, password, timeout_seconds, url",
        ),
        ("store: {timeout_seconds: 0}", "store.timeout_seconds", "Input should be greater than 0"),
        ("store: {timeout_seconds: soon}", "store.timeout_seconds", "Input should be a valid number"),
        ("- a", "", "must hold sections"),
        ("store: [", "", "is no YAML"),
    ],
)
def test_what_is_wrong_is_named(file: Path, text: str, field: str, sentence: str) -> None:
    file.write_text(text)
    with pytest.raises(settings.SettingsError) as raised:
        settings.load(All, file=file, environ={})
    assert raised.value.field == field
    assert sentence in raised.value.sentence


def test_a_wrong_secret_is_not_repeated() -> None:
    with pytest.raises(settings.SettingsError) as raised:
        settings.load(All, file=None, environ={"SMSBRIDGE_STORE__PASSWORD": "[hunter2]"})
    assert "hunter2" not in str(raised.value)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(settings.SettingsError, match="No such file"):
        settings.load(All, file=tmp_path / "none.yaml", environ={})


def test_describe_lists_every_setting_with_default_and_words() -> None:
    assert [(d.path, d.type, d.default, d.description) for d in settings.describe(All)] == [
        ("store.url", "str", "redis://here", "Where it is."),
        ("store.timeout_seconds", "float", "5.0", "How long (s)."),
        ("store.hosts", "list[str]", "[]", "Others."),
        ("store.password", "SecretStr", "", "Password."),
    ]
    assert settings.variable("store.url") == "SMSBRIDGE_STORE__URL"


@pytest.mark.parametrize(
    "text",
    [
        "store:\n  password: hunter2: x\n",
        "store: {password: *hunter2}",
        "store: {password: !hunter2 x}",
        "store: {password: 'hunter2",
        "store: {password: %hunter2}",
        "store: {password: @hunter2}",
    ],
)
def test_what_is_no_yaml_is_not_quoted(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(settings.SettingsError, match=r"is no YAML: .* \(line \d, column \d+\)") as caught:
        settings.load(All, file=file, environ={})
    assert "hunter2" not in str(caught.value)
