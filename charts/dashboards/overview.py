"""One look: do messages arrive, how fast, what limits it now, and what is wrong."""

from charts.dashboards.build import (
    NUMBER,
    PER_SECOND,
    SECONDS,
    SHARE,
    YES_NO,
    Page,
    Panel,
    Query,
    Row,
    rate,
    rate_of_all,
    shown,
    stored,
)

_BY = "namespace, provider"
_KEPT = 'result=~"accepted|journalled|held"'
_GOOD_SHARE = ((None, "red"), (0.99, "orange"), (0.999, "green"))


def _within(metric: str, seconds: str, *more: str) -> str:
    below = stored(f"{metric}_bucket", _BY, f'le="{seconds}"', *more, window="1h")
    every = stored(f"{metric}_count", _BY, *more, window="1h")
    return f"sum({below}) / sum({every})"


def _delivered(window: str) -> str:
    final = "smsbridge_messages_final_total"
    by = "namespace, provider, channel, state"
    delivered = stored(final, by, 'state="delivered"', over="increase", window=window)
    return f"sum({delivered}) / sum({stored(final, by, over='increase', window=window)})"


def _in_all(metric: str, by: str) -> str:
    return f"sum({stored(metric, by, over='increase', window='$__range')})"


PAGE = Page(
    name="overview",
    title="Overview",
    description="Whether messages arrive, how fast, what limits it now, and what is wrong.",
    rows=[
        Row(
            "Is it well?",
            [
                Panel(
                    "Unaccounted messages",
                    "Accepted messages that are in no state. It has to be 0; another figure that stays "
                    "for minutes "
                    "is a fault of smsbridge: see the runbook, SmsbridgeUnaccounted.",
                    NUMBER,
                    [Query(f"sum({shown('smsbridge_messages_unaccounted')})", "unaccounted")],
                    kind="stat",
                    width=4,
                    height=4,
                    steps=((None, "red"), (0, "green"), (0.5, "red")),
                ),
                Panel(
                    "Posts kept, 1 h",
                    "Share of the posts of the last hour that were kept, by the sender or in the "
                    "journal. The rest "
                    "is lost: Bitrix24 does not repeat a post. Objective: 99.9 %.",
                    SHARE,
                    [
                        Query(
                            '1 - sum(rate(smsbridge_gateway_accepts_total{result="lost"}[1h])) '
                            "/ sum(rate(smsbridge_gateway_accepts_total[1h]))",
                            "kept",
                        )
                    ],
                    kind="stat",
                    width=4,
                    height=4,
                    decimals=2,
                    steps=_GOOD_SHARE,
                ),
                Panel(
                    "With SMSC within 10 s, 1 h",
                    "Share of the interactive messages of the last hour that SMSC had accepted within 10 "
                    "seconds "
                    "of the door. Objective: 99 %.",
                    SHARE,
                    [
                        Query(
                            _within("smsbridge_time_to_smsc_seconds", "10.0", 'lane="interactive"'), "in time"
                        )
                    ],
                    kind="stat",
                    width=4,
                    height=4,
                    decimals=1,
                    steps=_GOOD_SHARE,
                ),
                Panel(
                    "In the portal within 5 min, 1 h",
                    "Share of the final statuses of the last hour that were written within 5 minutes of "
                    "when they "
                    "might be. Objective: 99 %.",
                    SHARE,
                    [Query(_within("smsbridge_portal_delay_seconds", "300.0"), "in time")],
                    kind="stat",
                    width=4,
                    height=4,
                    decimals=1,
                    steps=_GOOD_SHARE,
                ),
                Panel(
                    "Delivery rate, 1 h",
                    "Of the messages that became final within the last hour, how many were delivered. "
                    "What is usual "
                    "depends on the numbers; a sudden fall is what counts.",
                    SHARE,
                    [Query(_delivered("1h"), "delivered")],
                    kind="stat",
                    width=4,
                    height=4,
                    decimals=1,
                    steps=((None, "red"), (0.5, "orange"), (0.8, "green")),
                ),
                Panel(
                    "Providers that are not ready",
                    "Providers whose condition Ready is not True; `smsbridge provider list` has the "
                    "sentence why.",
                    NUMBER,
                    [Query(f"sum(1 - {shown('smsbridge_provider_ready')})", "not ready")],
                    kind="stat",
                    width=4,
                    height=4,
                    steps=((None, "green"), (1, "red")),
                ),
            ],
        ),
        Row(
            "How much",
            [
                Panel(
                    "Messages at the door",
                    "Posts of the portals by what became of them. `journalled` are kept at the gateway "
                    "until their "
                    "owner can take them; `lost` must not be.",
                    PER_SECOND,
                    [Query(rate_of_all("smsbridge_gateway_accepts_total", "result"), "{{result}}")],
                    stacked=True,
                    width=8,
                ),
                Panel(
                    "Messages at the door, by origin",
                    "Posts that were kept, by where in the portals they come from: a card, a robot, a "
                    "letter, or a service that names no module.",
                    PER_SECOND,
                    [
                        Query(
                            rate_of_all("smsbridge_gateway_accepts_total", "origin", _KEPT),
                            "{{origin}}",
                        )
                    ],
                    stacked=True,
                    width=8,
                ),
                Panel(
                    "Batch throughput",
                    "Numbers a second that SMSC accepted, by provider.",
                    PER_SECOND,
                    [
                        Query(
                            rate("smsbridge_batch_numbers_total", "namespace, provider", 'result="accepted"'),
                            "{{namespace}}/{{provider}}",
                        )
                    ],
                    width=8,
                ),
                Panel(
                    "Funnel",
                    "Messages of the time that is shown: accepted from wherever they came, accepted by "
                    "SMSC, delivered, and "
                    "with their final status in the portal. A step far shorter than the one above is "
                    "where they wait.",
                    NUMBER,
                    [
                        Query(
                            _in_all("smsbridge_messages_accepted_total", "namespace, provider"),
                            "accepted",
                        ),
                        Query(
                            _in_all("smsbridge_time_to_smsc_seconds_count", "namespace, provider, lane"),
                            "with SMSC",
                        ),
                        Query(
                            _in_all(
                                "smsbridge_time_to_delivered_seconds_count", "namespace, provider, channel"
                            ),
                            "delivered",
                        ),
                        Query(
                            _in_all("smsbridge_portal_delay_seconds_count", "namespace, provider"),
                            "in the portal",
                        ),
                    ],
                    kind="bars",
                ),
                Panel(
                    "What binds now",
                    "The limit that holds work back. `batching_linger` is how it should be in quiet "
                    "hours; `pause` "
                    "needs somebody; the portal's limits bind after every large letter.",
                    NUMBER,
                    [
                        Query(
                            shown("smsbridge_binding_limit", "namespace, provider, limit"),
                            "{{namespace}}/{{provider}} {{limit}}",
                        )
                    ],
                    kind="states",
                    steps=((None, "transparent"), (1, "orange")),
                ),
            ],
        ),
        Row(
            "What waits",
            [
                Panel(
                    "Oldest message",
                    "Age of the oldest message that waits to be sent, counted from the door.",
                    SECONDS,
                    [
                        Query(
                            shown("smsbridge_queue_oldest_age_seconds", "namespace, provider, lane"),
                            "{{namespace}}/{{provider}} {{lane}}",
                        )
                    ],
                    width=6,
                ),
                Panel(
                    "Lag of the portals",
                    "How late the oldest status is that waits to be written to a portal.",
                    SECONDS,
                    [Query(shown("smsbridge_portal_outbox_lag_seconds"), "{{namespace}}/{{provider}}")],
                    width=6,
                ),
                Panel(
                    "Journals",
                    "Entries that wait at the gateways because their owner or the store could not take "
                    "them. 0 as a rule.",
                    NUMBER,
                    [Query("sum by (kind) (smsbridge_journal_depth)", "{{kind}}")],
                    width=6,
                ),
                Panel(
                    "Set aside",
                    "Entries that a gateway keeps apart, because their owner refused them for their "
                    "content: see the runbook, SmsbridgeSetAside. 0 as a rule.",
                    NUMBER,
                    [Query("sum by (kind) (smsbridge_journal_set_aside)", "{{kind}}")],
                    width=6,
                ),
                Panel(
                    "Pauses",
                    "1 while messages of a provider wait for this reason; all but `paused` need somebody.",
                    NUMBER,
                    [
                        Query(
                            f"{shown('smsbridge_account_paused', 'namespace, provider, reason')} == 1",
                            "{{namespace}}/{{provider}} {{reason}}",
                        )
                    ],
                    kind="states",
                    steps=((None, "transparent"), (1, "red")),
                ),
                Panel(
                    "Store",
                    "Share of the store's memory in use: from 0.8 on nothing is sent, from 0.9 on posts "
                    "go to the journal.",
                    SHARE,
                    [Query("max(smsbridge_store_memory_ratio)", "memory")],
                    width=6,
                    most=1,
                ),
                Panel(
                    "Store answers",
                    "Whether every sender has an answer of the store.",
                    YES_NO,
                    [Query("min(smsbridge_store_answers)", "answers")],
                    kind="stat",
                    width=6,
                    steps=((None, "red"), (1, "green")),
                ),
            ],
        ),
    ],
)
