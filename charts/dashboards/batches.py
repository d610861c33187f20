"""From the queue to SMSC: batches, their filling and their results, and what holds sending back."""

from charts.dashboards.build import (
    NUMBER,
    PER_SECOND,
    REQUESTS_PER_SECOND,
    SECONDS,
    SHARE,
    YES_NO,
    Page,
    Panel,
    Query,
    Row,
    own,
    quantile,
    rate,
    shown,
    stored,
)

_PROVIDER = "{{namespace}}/{{provider}}"
_BY = "namespace, provider"
_OWN = own("").strip()

PAGE = Page(
    name="batches",
    title="Batches and queue",
    description="From the queue to SMSC: batches, their filling and results, and what holds sending back.",
    rows=[
        Row(
            "Queue",
            [
                Panel(
                    "Messages that wait",
                    "Messages that wait to be claimed, by lane.",
                    NUMBER,
                    [
                        Query(
                            shown("smsbridge_queue_depth_messages", f"{_BY}, lane"),
                            f"{_PROVIDER} {{{{lane}}}}",
                        )
                    ],
                    width=8,
                ),
                Panel(
                    "Oldest message",
                    "Its age, counted from the door. Interactive messages should be seconds old.",
                    SECONDS,
                    [
                        Query(
                            shown("smsbridge_queue_oldest_age_seconds", f"{_BY}, lane"),
                            f"{_PROVIDER} {{{{lane}}}}",
                        )
                    ],
                    width=8,
                ),
                Panel(
                    "What holds sending back",
                    "The limit that binds: a pause, the store's memory, the account's permits, or only "
                    "the linger.",
                    NUMBER,
                    [
                        Query(
                            shown(
                                "smsbridge_binding_limit",
                                f"{_BY}, limit",
                                'limit=~"pause|store_memory|account_permits|batching_linger"',
                            ),
                            f"{_PROVIDER} {{{{limit}}}}",
                        )
                    ],
                    kind="states",
                    width=8,
                    steps=((None, "transparent"), (1, "orange")),
                ),
            ],
        ),
        Row(
            "Batches",
            [
                Panel(
                    "Numbers by result",
                    "Numbers in requests to send.php, by what became of the request.",
                    PER_SECOND,
                    [
                        Query(
                            rate("smsbridge_batch_numbers_total", "channel, result"), "{{channel}} {{result}}"
                        )
                    ],
                    stacked=True,
                ),
                Panel(
                    "Requests by result",
                    "Requests to send.php. `error_` with a number is SMSC's own code; `uncertain` was "
                    "not answered.",
                    REQUESTS_PER_SECOND,
                    [Query(rate("smsbridge_batches_total", "channel, result"), "{{channel}} {{result}}")],
                    stacked=True,
                ),
                Panel(
                    "Numbers in a request",
                    "Mean and median. A letter fills requests with 100; single messages, and different "
                    "texts in profile "
                    "`guide`, go one by one.",
                    NUMBER,
                    [
                        Query(
                            f"{rate('smsbridge_batch_size_numbers_sum', _BY)} / "
                            f"{rate('smsbridge_batch_size_numbers_count', _BY)}",
                            f"{_PROVIDER} mean",
                        ),
                        Query(
                            quantile(0.5, "smsbridge_batch_size_numbers", _BY, _OWN), f"{_PROVIDER} median"
                        ),
                    ],
                    most=100,
                ),
                Panel(
                    "How long SMSC takes to answer",
                    "Median and 95th percentile of send.php. At 20 s a request counts as not answered.",
                    SECONDS,
                    [
                        Query(
                            quantile(0.5, "smsbridge_send_duration_seconds", _BY, _OWN), f"{_PROVIDER} median"
                        ),
                        Query(
                            quantile(0.95, "smsbridge_send_duration_seconds", _BY, _OWN), f"{_PROVIDER} 95 %"
                        ),
                    ],
                ),
            ],
        ),
        Row(
            "What is put off, and what is uncertain",
            [
                Panel(
                    "Uncertain batches",
                    "Batches of which nobody knows yet whether SMSC took them. One that stays is held: "
                    "see the runbook.",
                    NUMBER,
                    [Query(shown("smsbridge_uncertain_batches"), _PROVIDER)],
                    width=8,
                ),
                Panel(
                    "How they were settled",
                    "`adopted`: SMSC had it. `repeated`: it had not. `split`: it was refused. `held`: it "
                    "cannot be known.",
                    PER_SECOND,
                    [Query(rate("smsbridge_uncertain_settled_total", "how"), "{{how}}")],
                    width=8,
                ),
                Panel(
                    "Duplicates",
                    "Messages that came once more and were not taken again, and numbers put off because "
                    "the same text "
                    "had just been sent to them.",
                    PER_SECOND,
                    [
                        Query(stored("smsbridge_duplicates_total", _BY), f"{_PROVIDER} known already"),
                        Query(rate("smsbridge_held_apart_total", _BY), f"{_PROVIDER} put off"),
                    ],
                    width=8,
                ),
            ],
        ),
        Row(
            "Store",
            [
                Panel(
                    "Memory",
                    "Share of maxmemory in use. From 0.8 on nothing is claimed, from 0.9 on posts go to "
                    "the journal.",
                    SHARE,
                    [Query("max(smsbridge_store_memory_ratio)", "memory")],
                    most=1,
                ),
                Panel(
                    "Gets data to disk",
                    "What the store says of its log of writes and its snapshots. A log that cannot be "
                    "written stops it.",
                    YES_NO,
                    [Query("min by (check) (smsbridge_store_persistence_ok)", "{{check}}")],
                    kind="stat",
                    steps=((None, "red"), (1, "green")),
                ),
            ],
        ),
    ],
)
