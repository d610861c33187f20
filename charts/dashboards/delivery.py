"""What became of messages: by channel and provider, how long it took, and why some did not arrive."""

from charts.dashboards.build import (
    NUMBER,
    PER_SECOND,
    SECONDS,
    SHARE,
    Page,
    Panel,
    Query,
    Row,
    rate,
    rate_of_all,
    shown,
    stored,
    stored_quantile,
)

_FINAL = "smsbridge_messages_final_total"
_PROVIDER = "{{namespace}}/{{provider}}"


def _share(by: str) -> str:
    inner = "namespace, provider, channel, state"
    delivered = stored(_FINAL, inner, 'state="delivered"', over="increase", window="1h")
    return (
        f"sum by ({by}) ({delivered}) / sum by ({by}) ({stored(_FINAL, inner, over='increase', window='1h')})"
    )


PAGE = Page(
    name="delivery",
    title="Delivery",
    description=(
        "What became of messages: by channel and provider, how long it took, why some did not arrive."
    ),
    rows=[
        Row(
            "Outcome",
            [
                Panel(
                    "Final states",
                    "Messages that became final, by state.",
                    PER_SECOND,
                    [Query(stored(_FINAL, "state"), "{{state}}")],
                    stacked=True,
                ),
                Panel(
                    "Delivery rate by channel, 1 h",
                    "Delivered over all that are final, by the channel that did it.",
                    SHARE,
                    [Query(_share("channel"), "{{channel}}")],
                    most=1,
                ),
                Panel(
                    "Delivery rate by provider, 1 h",
                    "Delivered over all that are final. One that falls alone points at its numbers or "
                    "its account.",
                    SHARE,
                    [Query(_share("namespace, provider"), _PROVIDER)],
                    most=1,
                ),
                Panel(
                    "Not delivered, by reason",
                    "Other final states than delivered; the reasons are explained in docs/flows.md.",
                    PER_SECOND,
                    [
                        Query(
                            stored("smsbridge_messages_failed_total", "state, reason"), "{{state}} {{reason}}"
                        )
                    ],
                    stacked=True,
                ),
            ],
        ),
        Row(
            "How long",
            [
                Panel(
                    "From the door to SMSC",
                    "Median and 95th percentile until SMSC had accepted a message, by lane. It includes "
                    "the linger, "
                    "in which messages wait for others of their kind.",
                    SECONDS,
                    [
                        Query(
                            stored_quantile(0.5, "smsbridge_time_to_smsc_seconds", "lane"), "{{lane}} median"
                        ),
                        Query(
                            stored_quantile(0.95, "smsbridge_time_to_smsc_seconds", "lane"), "{{lane}} 95 %"
                        ),
                    ],
                ),
                Panel(
                    "From the door to the handset",
                    "Median and 90th percentile until we knew that a message was delivered, by channel.",
                    SECONDS,
                    [
                        Query(
                            stored_quantile(0.5, "smsbridge_time_to_delivered_seconds", "channel"),
                            "{{channel}} median",
                        ),
                        Query(
                            stored_quantile(0.9, "smsbridge_time_to_delivered_seconds", "channel"),
                            "{{channel}} 90 %",
                        ),
                    ],
                ),
            ],
        ),
        Row(
            "Cascades and receipts",
            [
                Panel(
                    "Steps of cascades",
                    "Further channels that smsbridge itself tried, and messages for which SMSC told that "
                    "it went on to SMS.",
                    PER_SECOND,
                    [
                        Query(
                            rate("smsbridge_cascade_legs_total", "namespace, provider"), f"{_PROVIDER} ours"
                        ),
                        Query(
                            rate("smsbridge_cascade_fallbacks_total", "namespace, provider"),
                            f"{_PROVIDER} SMSC's",
                        ),
                    ],
                    width=8,
                ),
                Panel(
                    "Receipts",
                    "Receipts as they were kept: `parked` came before the sender's report and wait for it.",
                    PER_SECOND,
                    [Query(rate_of_all("smsbridge_receipts_total", "result"), "{{result}}")],
                    stacked=True,
                    width=8,
                ),
                Panel(
                    "Receipts that nobody knows",
                    "Ids of SMSC with parked receipts, and those that were given up within a day because "
                    "the sender never told of them: somebody else uses the account, or its callback "
                    "address belongs to another installation too.",
                    NUMBER,
                    [
                        Query("max(smsbridge_receipts_parked)", "waiting"),
                        Query("max(increase(smsbridge_receipts_unmatched_total[24h]))", "given up, 24 h"),
                    ],
                    width=8,
                ),
                Panel(
                    "What receipts did",
                    "What callbacks and answers of status.php did: `changed` moved a message, `same` was "
                    "known already.",
                    PER_SECOND,
                    [
                        Query(
                            rate("smsbridge_receipts_applied_total", "source, result"),
                            "{{source}} {{result}}",
                        )
                    ],
                ),
                Panel(
                    "Calls of SMSC at the door",
                    "What SMSC's callbacks held. `false_signature` and `malformed` are refused receipts: "
                    "somebody else "
                    "calls, or the callback secret differs.",
                    PER_SECOND,
                    [Query(rate_of_all("smsbridge_gateway_callbacks_total", "result"), "{{result}}")],
                ),
                Panel(
                    "Attempts without an outcome",
                    "Attempts that SMSC has and that nobody has said anything final of.",
                    NUMBER,
                    [Query(shown("smsbridge_status_polls_waiting"), _PROVIDER)],
                    width=8,
                ),
                Panel(
                    "Questions to status.php",
                    "Asked where no receipt came. Many of them mean that callbacks get lost.",
                    PER_SECOND,
                    [Query(rate_of_all("smsbridge_status_questions_total", "result"), "{{result}}")],
                    width=8,
                ),
                Panel(
                    "Closed, unknown and pretended",
                    "Attempts that closed without an outcome, codes that SMSC does not describe, and "
                    "receipts of an "
                    "account in test mode. All should be 0.",
                    PER_SECOND,
                    [
                        Query(
                            rate("smsbridge_attempts_closed_total", "namespace, provider"),
                            f"{_PROVIDER} closed",
                        ),
                        Query(
                            rate_of_all("smsbridge_receipts_unknown_codes_total", "profile"),
                            "{{profile}} unknown code",
                        ),
                        Query(
                            rate("smsbridge_receipts_test_mode_total", "namespace, provider"),
                            f"{_PROVIDER} test mode",
                        ),
                    ],
                    width=8,
                ),
            ],
        ),
    ],
)
