"""`smsbridge tryout`: one message through the sandbox from end to end, as a person would send the first one.

For `helm test` and for whoever wants to see that an installation works; it touches the sandbox only.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from smsbridge.commands import common, local
from smsbridge.core import errors
from smsbridge.core.provider import Provider
from smsbridge.provisioning import state as states
from smsbridge.provisioning import urls
from smsbridge.provisioning.conditions import Type
from smsbridge.sandbox.client import SandboxClient
from smsbridge.sandbox.orders import SendOrder
from smsbridge.store.registry import Registry

_PHONE = "+79990000000"  # its ending makes the stand-in deliver
_TEXT = "smsbridge tryout"
_PAUSE_SECONDS = 1.0
_DELIVERED = "delivered"

T = TypeVar("T")


def tryout(
    sandbox: Annotated[
        str, typer.Option("--sandbox", metavar="URL", help="Address of a running `smsbridge sandbox`.")
    ],
    provider: Annotated[
        str, typer.Option("--provider", metavar="NAMESPACE/NAME", help="A provider on that sandbox.")
    ],
    data: common.Data = None,
    config: local.ConfigFile = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1, help="How long all steps together may take.")
    ] = 120.0,
) -> None:
    """Install a provider in the sandbox's portal, send one message, and wait until it is delivered."""
    asyncio.run(_tryout(sandbox, provider, data=data, config=config, seconds=seconds))


async def _tryout(url: str, name: str, *, data: Path | None, config: Path | None, seconds: float) -> None:
    async with AsyncExitStack() as ending:
        at = await ending.enter_async_context(local.opened(data=data, config=config))
        client = await ending.enter_async_context(SandboxClient(f"{url.rstrip('/')}/sandbox"))
        trial = _Trial(client, Registry(at.store, at.keyring), name=name, seconds=seconds)
        found = await trial.provider()
        addresses = urls.of(found, at.keyring)
        await trial.install(found, install_url=addresses.install, callback_url=addresses.callback)
        await trial.send(found)


class _Trial:
    """The steps in their order; each raises `common.Failed` with a sentence where it waits in vain."""

    def __init__(self, sandbox: SandboxClient, registry: Registry, *, name: str, seconds: float) -> None:
        self._sandbox = sandbox
        self._registry = registry
        self._name = name
        self._seconds = seconds
        self._deadline = asyncio.get_running_loop().time() + seconds

    async def provider(self) -> Provider:
        _say(f"waiting for provider {self._name}")

        async def known() -> Provider | None:
            contents = await self._registry.load()
            living = (one for one in contents.providers.values() if not one.removed)
            return next((one for one in living if f"{one.namespace}/{one.name}" == self._name), None)

        return await self._until(
            known,
            lambda: (
                f"provider {self._name} was not published; see its conditions, and whether somebody "
                "follows its manifest"
            ),
        )

    async def install(self, provider: Provider, *, install_url: str, callback_url: str) -> None:
        """As an administrator does: the callback URL to SMSC, the application into the portal."""
        domain = provider.portal.domain
        _say(f"setting the callback URL of account {provider.account.login}")
        callback = {"url": callback_url}
        await self._until(
            lambda: self._done(self._sandbox.change_account(provider.account.login, callback=callback)),
            lambda: "the sandbox does not answer; check --sandbox",
        )
        _say(f"installing the application in {domain}")
        answers: list[int] = []

        async def taken() -> bool:
            report = await self._sandbox.install(domain, url=install_url)
            answers[:] = [post.status for post in report.posts]
            return set(answers) == {200}

        await self._until(
            taken,
            lambda: (
                f"the gateway did not take the installation (HTTP {answers}; 0: nobody answered); "
                f"check spec.publicUrl {provider.public_url}"
            ),
        )

        async def registered() -> bool:
            senders = await self._sandbox.senders(domain)
            known = {str(one["code"]) for of_application in senders.values() for one in of_application}
            return provider.code.lower() in {code.lower() for code in known}

        await self._until(registered, lambda: f"{provider.code} was not registered in {domain}")
        _say(f"registered as {provider.code}")

    async def send(self, provider: Provider) -> None:
        domain = provider.portal.domain
        order = SendOrder(code=provider.code, phone=_PHONE, text=_TEXT)
        (message_id,) = (await self._sandbox.send(domain, order)).message_ids
        _say(f"sent message {message_id} from a card")
        seen = "nothing"

        async def delivered() -> bool:
            nonlocal seen
            rows = await self._sandbox.rows(domain, message_id=message_id)
            if rows and rows[0].status != seen:
                seen = rows[0].status
                _say(f"the portal shows {seen}")
            return seen == _DELIVERED

        await self._until(
            delivered,
            lambda: (
                f"the portal shows {seen} for message {message_id}, not {_DELIVERED}; "
                f"see `smsbridge message {message_id}`"
            ),
        )

    async def _done(self, action: Awaitable[None]) -> bool:
        await action
        return True

    async def _until(self, look: Callable[[], Awaitable[T | None]], sentence: Callable[[], str]) -> T:
        """What `look` finds; nobody answering counts as nothing found yet."""
        away = ""
        while True:
            try:
                if found := await look():
                    return found
                away = ""
            except errors.Away as error:
                away = f" ({error.sentence})"
            if asyncio.get_running_loop().time() + _PAUSE_SECONDS > self._deadline:
                why = away or await self._condition()
                common.fail(f"{sentence()}; gave up after {self._seconds:.0f} s{why}")
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _condition(self) -> str:
        """What the provider says of itself, where it is not well."""
        try:
            body = (await self._registry.states()).get(self._name)
        except errors.Away:
            return ""
        ready = states.from_json(body or {}).find(Type.READY)
        return f" ({ready.message})" if ready is not None and ready.message else ""


def _say(line: str) -> None:
    """At once: in a pod the log is all there is to see."""
    print(line, flush=True)
