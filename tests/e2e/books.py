"""Compares the far end's books with ours: what the portal posted, what SMSC took, what every row shows.

All numbers used here are ones that everything is delivered to, and no (phone, text) is ordered twice, so that
the books of all that was ever sent through the sandbox must agree, whatever was disturbed on the way.
"""

from collections import Counter

from smsbridge.core import errors
from smsbridge.sandbox.client import SandboxClient
from tests.e2e.release import DOMAIN, Release
from tests.flow.harness import until

# A killed sender's request rests until it cannot be on the wire any more (30 s), is asked for twice, and the
# portal's statuses go out at two requests a second.
_SETTLE_SECONDS = 300.0
_OURS_SECONDS = 60.0


async def settled(release: Release, sandbox: SandboxClient) -> int:
    """Waits until every row is delivered, then counts: nothing lost, nothing sent twice, nothing unaccounted.
    Gives how many there were.
    """
    seen: Counter[str] = Counter()

    async def delivered() -> bool:
        summary, handovers = await sandbox.summary(DOMAIN), await sandbox.handovers(DOMAIN)
        seen.clear()
        seen.update(summary.by_status)
        return summary.by_status.get("delivered", 0) == handovers.posts

    try:
        await until(delivered, seconds=_SETTLE_SECONDS, what=lambda: f"rows: {dict(seen)}", pause=1)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{await _whereabouts(release, sandbox)}") from None
    handovers, summary = await sandbox.handovers(DOMAIN), await sandbox.summary(DOMAIN)
    posts = handovers.posts
    assert handovers.by_status == {"200": posts}
    assert (summary.by_status, summary.regressions) == ({"delivered": posts}, 0)
    assert await _taken_by_smsc(sandbox) == {"messages": posts, "distinct": posts, "sent_twice": 0}

    async def balanced() -> bool:
        seen.clear()
        try:
            seen.update(await release.books())
        except errors.Away:
            return False
        return dict(seen) == {"accepted": posts, "delivered": posts, "unaccounted": 0}

    await until(balanced, seconds=_OURS_SECONDS, what=lambda: f"{posts} posts, ours: {dict(seen)}", pause=1)
    return posts


async def _whereabouts(release: Release, sandbox: SandboxClient) -> str:
    """Of what is missing: how the door answered, and the first stories."""
    handovers = await sandbox.handovers(DOMAIN)
    told = [
        f"answers at the door: {handovers.by_status}, not taken: {handovers.failed_message_ids[:10]}",
        f"SMSC: {await _taken_by_smsc(sandbox)}, ours: {await release.books()}",
    ]
    for status in ("sent", "queued", "undelivered", "failed"):
        for row in await sandbox.rows(DOMAIN, status=status, limit=3):
            told.append(release.story(row.message_id))
    return "\n".join(told)


async def _taken_by_smsc(sandbox: SandboxClient) -> dict[str, int]:
    """Over all accounts."""
    total: Counter[str] = Counter(messages=0, distinct=0, sent_twice=0)
    for account in (await sandbox.overview()).accounts:
        ledger = await sandbox.ledger(account["login"])
        total.update(
            messages=ledger.messages, distinct=ledger.distinct_phone_text, sent_twice=ledger.sent_twice
        )
    return dict(total)
