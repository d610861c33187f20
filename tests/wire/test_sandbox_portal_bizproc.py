"""The portal stand-in: robots and workflow activities, how they are run, and their answers."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from smsbridge.core import errors
from smsbridge.sandbox.orders import DocumentKind, InstallOrder, RunOrder
from tests.wire import sandbox_portal, sandbox_world
from tests.wire.sandbox_portal import EMPLOYEE, HANDLER, Rest, refused
from tests.wire.sandbox_world import DOMAIN, World

ROBOT = {
    "CODE": "smsc.hlr",
    "HANDLER": HANDLER,
    "NAME": {"ru": "Проверить", "en": "Check"},
    "USE_SUBSCRIPTION": "Y",
    "AUTH_USER_ID": 1,
    "PROPERTIES": {"phone": {"Name": "Phone", "Type": "string", "Required": "Y"}},
    "RETURN_PROPERTIES": {"reachability": {"Name": {"ru": "Доступность"}, "Type": "string"}},
    "DOCUMENT_TYPE": ["crm", "CCrmDocumentLead", "LEAD"],
    "FILTER": {"INCLUDE": [["crm", "CCrmDocumentLead"], ["crm", "CCrmDocumentDeal"]]},
}


@pytest.fixture
async def rest() -> AsyncIterator[Rest]:
    async with sandbox_portal.calling() as rest:
        yield rest


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with sandbox_world.living() as world:
        yield world


@pytest.mark.parametrize("word", ["robot", "activity"])
async def test_added_updated_listed_and_deleted(rest: Rest, word: str) -> None:
    other = "activity" if word == "robot" else "robot"
    assert (await rest.call(f"bizproc.{word}.add", ROBOT))[1]["result"] is True
    assert (await rest.call(f"bizproc.{word}.list"))[1]["result"] == ["smsc.hlr"]
    assert (await rest.call(f"bizproc.{other}.list"))[1]["result"] == []
    change = {"CODE": "smsc.hlr", "FIELDS": {"NAME": "New", "USE_SUBSCRIPTION": "N"}}
    assert (await rest.call(f"bizproc.{word}.update", change))[1]["result"] is True
    kept = rest.application.activities["smsc.hlr"]
    assert (kept.name, kept.use_subscription, kept.handler) == ("New", "N", HANDLER)
    assert list(kept.return_properties) == ["reachability"]
    missing = (400, refused("ERROR_ACTIVITY_NOT_FOUND", "Activity or Robot not found!"))
    assert await rest.call(f"bizproc.{other}.update", change) == missing
    assert await rest.call(f"bizproc.{other}.delete", {"CODE": "smsc.hlr"}) == missing
    assert (await rest.call(f"bizproc.{word}.delete", {"CODE": "smsc.hlr"}))[1]["result"] is True
    assert await rest.call(f"bizproc.{word}.delete", {"CODE": "smsc.hlr"}) == missing


VALIDATION = "ERROR_ACTIVITY_VALIDATION_FAILURE"
REFUSALS: list[tuple[dict[str, Any], str, str]] = [
    ({"CODE": ""}, VALIDATION, "Empty activity code!"),
    ({"CODE": "a b"}, VALIDATION, "Wrong activity code!"),
    ({"HANDLER": "nonsense"}, "ERROR_WRONG_HANDLER_URL", "Wrong handler URL"),
    ({"HANDLER": "ftp://sms.example.com/"}, "ERROR_UNSUPPORTED_PROTOCOL", "Unsupported handler protocol"),
    ({"NAME": ""}, VALIDATION, "Empty activity NAME!"),
    ({"PROPERTIES": "x"}, VALIDATION, "Wrong properties array!"),
    ({"PROPERTIES": {"1st": {"Name": "x"}}}, VALIDATION, "Wrong property key 1st!"),
    ({"PROPERTIES": {"a": {"Type": "string"}}}, VALIDATION, "Empty property NAME a!"),
    ({"RETURN_PROPERTIES": {"b": {}}}, VALIDATION, "Empty property NAME b!"),
    ({"DOCUMENT_TYPE": ["crm", "LEAD"]}, VALIDATION, "Wrong activity DOCUMENT_TYPE!"),
    ({"FILTER": ["b24"]}, VALIDATION, "Wrong activity FILTER!"),
]


@pytest.mark.parametrize(("change", "error", "sentence"), REFUSALS)
async def test_what_is_refused(rest: Rest, change: dict[str, Any], error: str, sentence: str) -> None:
    assert await rest.call("bizproc.robot.add", {**ROBOT, **change}) == (400, refused(error, sentence))
    assert rest.application.activities == {}
    await rest.call("bizproc.robot.add", ROBOT)
    if "CODE" not in change:
        update = {"CODE": "smsc.hlr", "FIELDS": change}
        assert await rest.call("bizproc.robot.update", update) == (400, refused(error, sentence))
        assert rest.application.activities["smsc.hlr"].handler == HANDLER


async def test_nothing_to_do_is_refused(rest: Rest) -> None:
    assert (await rest.call("bizproc.robot.add"))[1] == refused(VALIDATION, "Empty data!")
    await rest.call("bizproc.robot.add", ROBOT)
    assert (await rest.call("bizproc.robot.update", {"CODE": "smsc.hlr"}))[1] == refused(
        VALIDATION, "No fields to update."
    )


async def test_a_code_is_taken_once_by_a_robot_or_an_activity(rest: Rest) -> None:
    await rest.call("bizproc.robot.add", ROBOT)
    taken = (400, refused("ERROR_ACTIVITY_ALREADY_INSTALLED", "Activity or Robot already installed!"))
    assert await rest.call("bizproc.robot.add", ROBOT) == taken
    assert await rest.call("bizproc.activity.add", ROBOT) == taken


async def test_only_an_administrator_registers(rest: Rest) -> None:
    token = rest.pair(EMPLOYEE).access_token
    denied = (403, refused("ACCESS_DENIED", "Access denied!"))
    for verb in ("add", "list"):
        assert await rest.call(f"bizproc.robot.{verb}", ROBOT, token=token) == denied


async def test_an_update_of_the_application_drops_them(world: World) -> None:
    await world.ready()
    await world.rest("bizproc.robot.add", **ROBOT)
    await world.client.update(DOMAIN, InstallOrder())
    assert await world.client.activities(DOMAIN) == {"local.1": []}


async def register(world: World, word: str = "robot", **changes: Any) -> None:
    if not world.token:
        await world.ready()
    given = {**ROBOT, "HANDLER": world.listener.url + "/robots/smsc.hlr", **changes}
    assert (await world.rest(f"bizproc.{word}.add", **given))["result"] is True


async def test_a_run_posts_the_documented_form(world: World) -> None:
    await register(world)
    order = RunOrder(
        code="smsc.hlr", document_id=98, properties={"phone": "+79990000000", "x": "y"}, timeout_seconds=600
    )
    step = await world.client.run(DOMAIN, order)
    path, _, body = world.listener.posts[-1]
    assert path == "/robots/smsc.hlr"
    names = [pair.partition("=")[0].replace("%5B", "[").replace("%5D", "]") for pair in body.split("&")]
    assert names[:12] == [
        "workflow_id",
        "code",
        "document_id[0]",
        "document_id[1]",
        "document_id[2]",
        "document_type[0]",
        "document_type[1]",
        "document_type[2]",
        "event_token",
        "properties[phone]",  # what is not registered is not sent
        "use_subscription",
        "timeout_duration",
    ]
    field = world.listener.field
    assert (field("code"), field("event_token")) == ("smsc.hlr", step.token)
    assert (field("document_id[1]"), field("document_id[2]")) == ("CCrmDocumentLead", "LEAD_98")
    assert (field("document_type[2]"), field("properties[phone]")) == ("LEAD", "+79990000000")
    assert (field("use_subscription"), field("timeout_duration")) == ("Y", "600")
    assert field("auth[user_id]") == "1"
    assert field("auth[refresh_token]")
    assert field("auth[application_token]")
    assert (step.waits, [post.status for post in step.posts]) == (True, [200])


async def test_without_a_user_there_is_no_token_but_the_applications(world: World) -> None:
    await register(world, AUTH_USER_ID=0)
    await world.client.run(DOMAIN, RunOrder(code="smsc.hlr"))
    assert "access_token" not in world.listener.last
    assert world.listener.field("auth[application_token]")
    assert "properties%5Bphone%5D=&" in world.listener.last  # nothing entered: an empty string


async def answered(world: World, token: str, **more: Any) -> Any:
    return await world.rest("bizproc.event.send", event_token=token, **more)


async def test_the_first_answer_counts_with_the_names_that_are_known(world: World) -> None:
    await register(world)
    step = await world.client.run(DOMAIN, RunOrder(code="smsc.hlr"))
    values = {"REACHABILITY": "active", "unknown": "x"}
    assert (await world.rest("bizproc.activity.log", event_token=step.token, log_message="one"))["result"]
    assert (await answered(world, step.token, return_values=values, log_message="two"))["result"] is True
    assert (await answered(world, step.token, return_values={"reachability": "late"}))["result"] is True
    (kept,) = await world.client.steps(DOMAIN)
    assert (kept.waits, kept.timed_out, kept.answers) == (False, False, 2)
    assert (kept.values, kept.log) == ({"reachability": "active"}, ["one", "two"])


async def test_a_step_whose_time_is_over_takes_no_answer(world: World) -> None:
    await register(world)
    step = await world.client.run(DOMAIN, RunOrder(code="smsc.hlr", timeout_seconds=60))
    await world.client.advance(61)
    (over,) = await world.client.steps(DOMAIN)
    assert (over.waits, over.timed_out, over.values) == (False, True, {"IsTimeout": 1})
    assert (await answered(world, step.token, return_values={"reachability": "late"}))["result"] is True
    (over,) = await world.client.steps(DOMAIN)
    assert (over.values, over.answers) == ({"IsTimeout": 1}, 1)


@pytest.mark.parametrize(
    ("registered", "asked", "waits"),
    [("Y", False, True), ("N", True, False), ("", True, True), ("", False, False)],
)
async def test_who_says_whether_it_waits(world: World, registered: str, asked: bool, waits: bool) -> None:
    await register(world, USE_SUBSCRIPTION=registered)
    step = await world.client.run(DOMAIN, RunOrder(code="smsc.hlr", wait=asked))
    assert step.waits is waits
    assert world.listener.field("use_subscription") == ("Y" if waits else "N")


async def test_an_unknown_token_is_denied(world: World) -> None:
    await register(world)
    assert (await answered(world, "5a0d|A1|x.y"))["error"] == "ACCESS_DENIED"


@pytest.mark.parametrize("kind", [DocumentKind.CONTACT, DocumentKind.COMPANY])
async def test_contacts_and_companies_have_activities_only(world: World, kind: DocumentKind) -> None:
    await register(world)
    with pytest.raises(errors.InputError, match="there are no robots on contacts and companies"):
        await world.client.run(DOMAIN, RunOrder(code="smsc.hlr", document=kind))
    await world.rest("bizproc.robot.delete", CODE="smsc.hlr")
    await register(world, "activity")
    await world.client.run(DOMAIN, RunOrder(code="smsc.hlr", document=kind, document_id=5))
    assert world.listener.field("document_id[2]") == f"{kind.upper()}_5"


async def test_what_is_not_registered_is_not_run(world: World) -> None:
    await world.ready()
    with pytest.raises(errors.InputError, match="no robot or activity with this code"):
        await world.client.run(DOMAIN, RunOrder(code="smsc.hlr"))
