"""Look-ups and money: what is known of numbers, what messages and look-ups cost, what they saved."""

from charts.dashboards.build import (
    NUMBER,
    PER_SECOND,
    REQUESTS_PER_SECOND,
    ROUBLES,
    SECONDS,
    SHARE,
    Page,
    Panel,
    Query,
    Row,
    increase,
    own,
    rate,
    rate_of_all,
    shown,
    stored,
)

_PROVIDER = "{{namespace}}/{{provider}}"
_BY = "namespace, provider"
_LOOKUPS = "smsbridge_hlr_lookups_total"
_FREE = 'source=~"cache|delivery"'
_SPENT_1H = increase("smsbridge_cost_roubles_total", _BY, "1h")
_DELIVERED_1H = stored(
    "smsbridge_messages_final_total", _BY, 'state="delivered"', over="increase", window="1h"
)

PAGE = Page(
    name="numbers",
    title="Numbers and money",
    description=(
        "Look-ups and money: what is known of numbers, what messages and look-ups cost, what they saved."
    ),
    rows=[
        Row(
            "Money",
            [
                Panel(
                    "Balance",
                    "What SMSC said last of the account's balance.",
                    ROUBLES,
                    [Query(shown("smsbridge_account_balance_roubles"), _PROVIDER)],
                    width=8,
                ),
                Panel(
                    "Cost of messages, 1 h",
                    "Of what SMSC accepted within an hour. `estimated` is `yes` where SMSC does not tell "
                    "and "
                    "spec.smsc.prices stands in; without prices nothing is shown.",
                    ROUBLES,
                    [
                        Query(
                            increase("smsbridge_cost_roubles_total", "channel, estimated", "1h"),
                            "{{channel}} estimated: {{estimated}}",
                        )
                    ],
                    width=8,
                ),
                Panel(
                    "Cost of a delivered message, 1 h",
                    "What was spent within an hour, over what was delivered in it.",
                    ROUBLES,
                    [Query(f"{_SPENT_1H} / ({_DELIVERED_1H} > 0)", _PROVIDER)],
                    width=8,
                    decimals=2,
                ),
                Panel(
                    "Spent on look-ups, 1 h",
                    "Roubles of an hour, by whether SMSC told the price.",
                    ROUBLES,
                    [
                        Query(
                            increase("smsbridge_hlr_spent_roubles_total", f"{_BY}, estimated", "1h"),
                            f"{_PROVIDER} estimated: {{{{estimated}}}}",
                        )
                    ],
                    width=6,
                ),
                Panel(
                    "Left of today's look-up budget",
                    "What is neither spent nor reserved; it starts anew at midnight in Moscow.",
                    ROUBLES,
                    [Query(f"min by ({_BY}) ({own('smsbridge_hlr_budget_left_roubles')})", _PROVIDER)],
                    width=6,
                ),
                Panel(
                    "Saved by look-ups, 24 h",
                    "What messages would have cost that were not sent because their number does not exist.",
                    ROUBLES,
                    [
                        Query(
                            increase("smsbridge_saved_roubles_total", _BY, "24h"),
                            _PROVIDER,
                        )
                    ],
                    width=6,
                ),
                Panel(
                    "Saved by cascades, today",
                    "What today's messages that went by cascade would have cost more by SMS only; below 0 "
                    "where cascades cost more. It starts anew at midnight in Moscow.",
                    ROUBLES,
                    [Query(shown("smsbridge_cascade_saved_today_roubles"), _PROVIDER)],
                    kind="stat",
                    width=6,
                    decimals=2,
                ),
            ],
        ),
        Row(
            "Look-ups",
            [
                Panel(
                    "Numbers asked about, by outcome",
                    "What was answered: active, unavailable, absent, unknown, or without a result "
                    "pending, refused, failed.",
                    PER_SECOND,
                    [Query(rate(_LOOKUPS, "outcome"), "{{outcome}}")],
                    stacked=True,
                    width=8,
                ),
                Panel(
                    "Share that cost nothing",
                    "Answers from the cache or from a delivery of ours, over all answers.",
                    SHARE,
                    [
                        Query(
                            f"{rate(_LOOKUPS, _BY, _FREE)} / {rate(_LOOKUPS, _BY)}",
                            _PROVIDER,
                        )
                    ],
                    most=1,
                    width=8,
                ),
                Panel(
                    "Requests for look-ups",
                    "Requests to SMSC that buy, by result. `unanswered` of profile `guide` count as spent.",
                    REQUESTS_PER_SECOND,
                    [Query(rate("smsbridge_hlr_requests_total", "result"), "{{result}}")],
                    width=8,
                ),
                Panel(
                    "Results of look-ups",
                    "Results that came by callback, and questions to status.php for those that did not.",
                    PER_SECOND,
                    [
                        Query(rate_of_all("smsbridge_hlr_results_total", "result"), "callback {{result}}"),
                        Query(rate_of_all("smsbridge_hlr_questions_total", "result"), "question {{result}}"),
                    ],
                    width=8,
                ),
                Panel(
                    "Left out, or sent unchecked",
                    "Messages that a look-up kept from being sent, and those that were sent without the "
                    "one that was wanted.",
                    NUMBER,
                    [
                        Query(
                            increase("smsbridge_left_out_total", "reason", "1h"),
                            "left out: {{reason}}",
                        ),
                        Query(
                            increase("smsbridge_unchecked_total", "why", "1h"),
                            "unchecked: {{why}}",
                        ),
                    ],
                    width=8,
                ),
                Panel(
                    "Preferred channels",
                    "Numbers whose preferred channel was asked for, and channels that cascades taught.",
                    PER_SECOND,
                    [
                        Query(
                            rate_of_all("smsbridge_hlr_preferences_asked_total", "result"),
                            "asked: {{result}}",
                        ),
                        Query(
                            rate_of_all("smsbridge_hlr_learned_total", "channel, result"),
                            "learned: {{channel}} {{result}}",
                        ),
                    ],
                    width=8,
                ),
            ],
        ),
        Row(
            "Errands in the CRM",
            [
                Panel(
                    "Errands that wait",
                    "New leads, webhook and workflow steps, and channels that hlr has not done yet.",
                    NUMBER,
                    [
                        Query(
                            shown("smsbridge_hlr_errands_waiting", f"{_BY}, kind"),
                            f"{_PROVIDER} {{{{kind}}}}",
                        )
                    ],
                    width=8,
                ),
                Panel(
                    "Oldest errand",
                    "How long the oldest of them waits. Minutes mean that portal or account cannot be used.",
                    SECONDS,
                    [
                        Query(
                            shown("smsbridge_hlr_errands_oldest_seconds", f"{_BY}, kind"),
                            f"{_PROVIDER} {{{{kind}}}}",
                        )
                    ],
                    width=8,
                ),
                Panel(
                    "How errands end",
                    "What became of them; the words are explained in docs/flows.md.",
                    PER_SECOND,
                    [Query(rate("smsbridge_hlr_errands_total", "kind, end"), "{{kind}} {{end}}")],
                    width=8,
                ),
                Panel(
                    "Errands at the door",
                    "What portals asked for, and what became of it at the gateway. `lost` must not be.",
                    PER_SECOND,
                    [
                        Query(
                            rate_of_all("smsbridge_gateway_errands_total", "kind, result"),
                            "{{kind}} {{result}}",
                        )
                    ],
                ),
                Panel(
                    "Questions for operator and region",
                    "Requests to info.php, which SMSC allows few of in a minute.",
                    REQUESTS_PER_SECOND,
                    [Query(rate("smsbridge_hlr_carrier_requests_total", "result"), "{{result}}")],
                ),
            ],
        ),
        Row(
            "Verifications",
            [
                Panel(
                    "Running",
                    "Verifications of contact bases that are read for a quote, or run.",
                    NUMBER,
                    [Query(f"sum by ({_BY}) ({own('smsbridge_hlr_verifications_running')})", _PROVIDER)],
                    width=6,
                ),
                Panel(
                    "Contacts, leads and companies done",
                    "What became of them: written, unchanged, without_phone, gone or refused by the portal.",
                    PER_SECOND,
                    [Query(rate("smsbridge_hlr_verification_entities_total", "result"), "{{result}}")],
                    width=6,
                ),
                Panel(
                    "Distinct numbers done",
                    "By reachability, or by why there is none: unanswered, pending, refused.",
                    PER_SECOND,
                    [Query(rate("smsbridge_hlr_verification_numbers_total", "outcome"), "{{outcome}}")],
                    width=6,
                ),
                Panel(
                    "Spent by verifications, 24 h",
                    "Out of confirmed quotes; part of what look-ups cost.",
                    ROUBLES,
                    [
                        Query(
                            increase("smsbridge_hlr_verification_spent_roubles_total", _BY, "24h"),
                            _PROVIDER,
                        )
                    ],
                    width=6,
                ),
            ],
        ),
    ],
)
