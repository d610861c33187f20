"""Tells applications what happened in a portal's CRM: one post for each change and handler, never repeated.

No throttling either: ten thousand new leads are ten thousand posts. `_AT_ONCE` stands for the queue's
workers.
"""

import asyncio

from smsbridge.sandbox.crm import Raised
from smsbridge.sandbox.orders import EventOrder
from smsbridge.sandbox.portal import Portal
from smsbridge.sandbox.portal_app import Portals
from smsbridge.sandbox.portal_events import Events

_AT_ONCE = 64


class CrmEvents:
    def __init__(self, portals: Portals, events: Events) -> None:
        self._events = events
        self._tasks: set[asyncio.Task[None]] = set()
        self._workers = asyncio.Semaphore(_AT_ONCE)
        portals.on_changed = self.tell

    def tell(self, portal: Portal) -> None:
        """Begins to post what was raised since; an application that is not fully installed hears nothing."""
        for raised in portal.crm.take_raised():
            for application in portal.applications.values():
                bound = any(binding["event"] == raised.event for binding in application.bindings)
                if bound and application.installed:
                    task = asyncio.create_task(self._post(portal, raised, application.client_id))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

    async def _post(self, portal: Portal, raised: Raised, client_id: str) -> None:
        order = EventOrder(
            client_id=client_id, event=raised.event, entity_id=raised.entity_id, user_id=raised.user_id
        )
        async with self._workers:
            if not portal.applications[client_id].present:  # uninstalled meanwhile
                return
            report = await self._events.crm_event(portal, order, depth=raised.depth + 1)
        for post in report.posts:
            portal.crm.told[raised.event, str(post.status)] += 1

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
