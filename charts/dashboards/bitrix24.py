"""Writing statuses back: what waits, what the portals' limits allow, errors, tokens and registrations."""

from charts.dashboards.build import (
    NUMBER,
    PER_SECOND,
    REQUESTS_PER_SECOND,
    SECONDS,
    SHARE,
    Page,
    Panel,
    Query,
    Row,
    rate,
    rate_of_all,
    shown,
    stored_quantile,
)

_PROVIDER = "{{namespace}}/{{provider}}"
_BY = "namespace, provider"

PAGE = Page(
    name="bitrix24",
    title="Bitrix24",
    description=(
        "Writing statuses back: what waits, what the portals' limits allow, errors, tokens, registrations."
    ),
    rows=[
        Row(
            "Outbox",
            [
                Panel(
                    "Statuses that wait",
                    "Messages whose portal status waits to be written. After a letter to many numbers it "
                    "drains at the "
                    "speed of the portal's limits.",
                    NUMBER,
                    [Query(shown("smsbridge_portal_outbox_messages"), _PROVIDER)],
                    width=8,
                ),
                Panel(
                    "Lag",
                    "How late the oldest of them is.",
                    SECONDS,
                    [Query(shown("smsbridge_portal_outbox_lag_seconds"), _PROVIDER)],
                    width=8,
                ),
                Panel(
                    "Delay of final statuses",
                    "Median and 95th percentile from when a final status might be written until it was.",
                    SECONDS,
                    [
                        Query(
                            stored_quantile(0.5, "smsbridge_portal_delay_seconds", _BY), f"{_PROVIDER} median"
                        ),
                        Query(
                            stored_quantile(0.95, "smsbridge_portal_delay_seconds", _BY), f"{_PROVIDER} 95 %"
                        ),
                    ],
                    width=8,
                ),
                Panel(
                    "From the door to the portal",
                    "Median and 95th percentile from the door until the final status stood in the "
                    "portal, by lane.",
                    SECONDS,
                    [
                        Query(
                            stored_quantile(0.5, "smsbridge_time_to_portal_seconds", "lane"),
                            "{{lane}} median",
                        ),
                        Query(
                            stored_quantile(0.95, "smsbridge_time_to_portal_seconds", "lane"), "{{lane}} 95 %"
                        ),
                    ],
                    width=8,
                ),
                Panel(
                    "Answers to workflow steps",
                    "What became of answers that a step of a workflow waits for; `over`: it waited no more.",
                    PER_SECOND,
                    [Query(rate("smsbridge_portal_answers_total", "result"), "{{result}}")],
                    width=8,
                ),
                Panel(
                    "Statuses by result",
                    "`not_found` is tried again for 10 minutes; `dropped` was given up: too old, or "
                    "deleted in the portal.",
                    PER_SECOND,
                    [Query(rate("smsbridge_portal_updates_total", "result"), "{{result}}")],
                    stacked=True,
                    width=8,
                ),
            ],
        ),
        Row(
            "Limits",
            [
                Panel(
                    "Operating time used",
                    "Share of the operating time that the portal allows status updates in 10 minutes. "
                    "From 0.8 on they "
                    "are paced; what is above the curve is headroom.",
                    SHARE,
                    [Query(shown("smsbridge_portal_operating_used_ratio"), _PROVIDER)],
                    width=8,
                    most=1,
                ),
                Panel(
                    "Requests used",
                    "Share of the requests in use that the portal takes at once; it refills with two a "
                    "second.",
                    SHARE,
                    [Query(shown("smsbridge_portal_requests_used_ratio"), _PROVIDER)],
                    width=8,
                    most=1,
                ),
                Panel(
                    "Operating time of an update",
                    "What one status update costs in the portal. At 20 ms it takes 40 updates a second "
                    "for hours, at 50 ms 16.",
                    SECONDS,
                    [Query(shown("smsbridge_portal_operating_cost_seconds"), _PROVIDER)],
                    width=8,
                ),
                Panel(
                    "What holds writing back",
                    "The limit of the portal that binds now; it has never bound where nothing is shown.",
                    NUMBER,
                    [
                        Query(
                            shown("smsbridge_binding_limit", f"{_BY}, limit", 'limit=~"portal_.*"'),
                            f"{_PROVIDER} {{{{limit}}}}",
                        )
                    ],
                    kind="states",
                    steps=((None, "transparent"), (1, "orange")),
                ),
                Panel(
                    "Batches of statuses by result",
                    "Requests to the portals. `RateLimited` means that others use up the portal's "
                    "requests; what else is "
                    "not `ok` has a condition of its name.",
                    REQUESTS_PER_SECOND,
                    [Query(rate_of_all("smsbridge_portal_calls_total", "result"), "{{result}}")],
                    stacked=True,
                ),
            ],
        ),
        Row(
            "Tokens and registrations",
            [
                Panel(
                    "Conditions",
                    "1 is True, 0 False, -1 Unknown. PortalAuthorized at 0 needs an administrator of the "
                    "portal.",
                    NUMBER,
                    [
                        Query(
                            shown("smsbridge_provider_condition", f"{_BY}, type"), f"{_PROVIDER} {{{{type}}}}"
                        )
                    ],
                    kind="states",
                    height=10,
                    steps=((None, "orange"), (0, "red"), (1, "green")),
                ),
                Panel(
                    "Tokens",
                    "Renewals within an hour, and the tokens of other administrators that stand in where "
                    "the one in use dies. `GrantRefused` used one of these up; after the last an "
                    "administrator has to open the application.",
                    NUMBER,
                    [
                        Query(
                            "sum by (result) (increase(smsbridge_tokens_refreshed_total[1h]))",
                            "{{result}}, 1 h",
                        ),
                        Query(shown("smsbridge_portal_spare_tokens"), f"{_PROVIDER} spare"),
                    ],
                    height=10,
                ),
                Panel(
                    "Application and CRM events",
                    "What portals posted besides messages, and what became of it.",
                    PER_SECOND,
                    [
                        Query(
                            rate_of_all("smsbridge_gateway_events_total", "event, result"),
                            "{{event}} {{result}}",
                        )
                    ],
                    height=10,
                ),
                Panel(
                    "Answers that are not 200",
                    "Refusals at the public doors, by door and status. 404 are wrong keys, 5xx lost posts.",
                    PER_SECOND,
                    [
                        Query(
                            rate_of_all("smsbridge_gateway_refusals_total", "door, status"),
                            "{{door}} {{status}}",
                        )
                    ],
                    height=10,
                ),
            ],
        ),
    ],
)
