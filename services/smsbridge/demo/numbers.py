"""What the demo does with numbers: verifies a base, enriches a lead, answers a robot, and skips Viber."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console

from smsbridge.core.message import Route
from smsbridge.demo import orders, stack
from smsbridge.sandbox.client import SandboxClient
from smsbridge.sandbox.expected import reachability
from smsbridge.sandbox.orders import BroadcastOrder, EntitiesOrder, MessageOrigin, RunOrder

_SECONDS = 60.0
_REACHABILITY, _OPERATOR, _CHANNEL = "UF_CRM_SMS_REACH", "UF_CRM_OPERATOR", "UF_CRM_SMS_CHANNEL"


class NumbersReport(BaseModel):
    """`good` is the word that the exit code follows, too."""

    model_config = ConfigDict(hide_input_in_errors=True)

    contacts: int = Field(description="contacts of the portal that were verified")
    contacts_wrong: int = Field(description="of these, those whose fields show something else than is true")
    look_ups: int = Field(description="look-ups that SMSC made for all of this")
    looked_up_again: int = Field(description="of these, numbers that had been looked up before")
    spent_roubles: Decimal = Field(description="what the verification cost, by its own word")
    saves_roubles: Decimal = Field(description="what a letter to the base costs less without dead numbers")
    lead_operator: str = Field(description="what a call's new lead shows as mobile operator")
    robot_answer: str = Field(description="what the robot that checks a number was answered")
    learnt: int = Field(description="contacts that show SMS as learnt channel")
    viber_skipped: int = Field(description="numbers of the second letter that went by SMS at once")
    letters: int = Field(description="numbers of each of the two letters")

    @property
    def good(self) -> bool:
        as_they_should = (self.contacts_wrong, self.looked_up_again) == (0, 0)
        skipped = self.learnt == self.viber_skipped == self.letters
        return as_they_should and skipped and bool(self.lead_operator) and self.robot_answer == "active"


class Numbers:
    def __init__(self, running: stack.Stack, console: Console) -> None:
        self._stack = running
        self._sandbox: SandboxClient = running.sandbox
        self._console = console

    async def run(self) -> NumbersReport:
        verified = await self._verify()
        lead = await self._lead()
        robot = await self._robot()
        learnt = await self._learn()
        skipped = await self._skip()
        ledgers = [await self._sandbox.ledger(plan.login) for plan in orders.PROVIDERS]
        return NumbersReport(
            contacts=int(str(verified["entities"])),
            contacts_wrong=await self._wrong(),
            look_ups=sum(one.look_ups for one in ledgers),
            looked_up_again=sum(one.looked_up_again for one in ledgers),
            spent_roubles=Decimal(str(verified["spent"])),
            saves_roubles=Decimal(str(verified["saves"] or 0)),
            lead_operator=lead,
            robot_answer=robot,
            learnt=learnt,
            viber_skipped=skipped,
            letters=len(orders.NOT_ON_VIBER),
        )

    async def _verify(self) -> Mapping[str, object]:
        await self._contacts(orders.base_phones())
        self._console.print(f"Verifying {orders.BASE_CONTACTS:,} contacts".replace(",", " "))
        arguments = ("--source", "contacts", "--yes", "--provider", orders.VERIFIES, "--output", "json")
        code, output = await stack.output("verify", *arguments, "--data", str(self._stack.data))
        if code != 0:
            raise stack.DemoFailed(f"the verification ended with {code}: {output.strip()[-500:]}")
        return dict(json.loads(output))

    async def _wrong(self) -> int:
        """Contacts of the base that do not show what is true of their numbers."""
        found = await self._sandbox.entities(orders.DOMAIN, "contact")
        shown = {one.phones[0]: one.user_fields.get(_REACHABILITY) for one in found}
        return sum(shown.get(phone) != reachability(phone) for phone in orders.base_phones())

    async def _lead(self) -> str:
        self._console.print("A call makes a lead")
        call = EntitiesOrder(phones=[[orders.LEAD_PHONE]], fields={"SOURCE_ID": "CALL"})
        await self._sandbox.create_entities(orders.DOMAIN, "lead", call)

        async def operator() -> str:
            (lead,) = await self._sandbox.entities(orders.DOMAIN, "lead")
            return str(lead.user_fields.get(_OPERATOR) or "")

        return str(await self._until(operator, what="the operator of a call's lead"))

    async def _robot(self) -> str:
        self._console.print("A robot checks a number")
        order = RunOrder(code=f"{orders.PROVIDERS[0].code}.hlr", properties={"phone": orders.ROBOT_PHONE})
        token = (await self._sandbox.run(orders.DOMAIN, order)).token

        async def answer() -> str:
            (step,) = [one for one in await self._sandbox.steps(orders.DOMAIN) if one.token == token]
            return str(step.values.get("reachability") or "")

        return str(await self._until(answer, what="the answer to a robot"))

    async def _learn(self) -> int:
        """The first letter: not on Viber, so each number gets an SMS after all, and its contact shows it."""
        count = len(orders.NOT_ON_VIBER)
        await self._contacts(orders.NOT_ON_VIBER)
        self._console.print(f"A letter by cascade to {count} numbers that are not on Viber")
        await self._letter(orders.CASCADE_TEXTS[0])

        async def learnt() -> int:
            found = await self._sandbox.entities(orders.DOMAIN, "contact")
            known = sum(one.user_fields.get(_CHANNEL) == Route.SMS.value for one in found)
            return known if known == count else 0

        return int(await self._until(learnt, what="the learnt channel of every contact"))

    async def _skip(self) -> int:
        """The second letter: how many of its numbers went by SMS without Viber."""
        self._console.print("A second letter to the same numbers")
        login = orders.PROVIDERS[1].login
        before = len(await self._sandbox.sends(login))
        await self._letter(orders.CASCADE_TEXTS[1])

        async def sent() -> int:
            new = (await self._sandbox.sends(login))[before:]
            if sum(len(one.phones) for one in new) < len(orders.NOT_ON_VIBER):
                return 0
            return 1 + sum(len(one.phones) for one in new if one.channel == Route.SMS.value)

        return int(await self._until(sent, what="the second letter at SMSC")) - 1

    async def _contacts(self, phones: Sequence[str]) -> None:
        """They were there before: no handler is told."""
        order = EntitiesOrder(phones=[[phone] for phone in phones], quiet=True)
        await self._sandbox.create_entities(orders.DOMAIN, "contact", order)

    async def _letter(self, text: str) -> None:
        order = BroadcastOrder(
            code=orders.PROVIDERS[1].code,
            origin=MessageOrigin.MARKETING,
            phones=list(orders.NOT_ON_VIBER),
            text=text,
        )
        letter = (await self._sandbox.broadcast(orders.DOMAIN, order)).broadcast_id

        async def posted() -> bool:
            return (await self._sandbox.broadcast_progress(letter)).done

        await self._until(posted, what="a letter's last post")

    async def _until(self, read: stack.Read, *, what: str) -> Any:
        return await stack.until(read, what=what, directory=self._stack.directory, seconds=_SECONDS)
