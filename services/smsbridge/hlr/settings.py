"""Settings of the hlr role."""

from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field


class VerificationSettings(BaseModel):
    """The verification of contact bases."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    at_once: int = Field(default=4, ge=1, description="Verifications that one process works at.")
    idle_seconds: float = Field(
        default=2.0,
        gt=0,
        description="How often verifications that nobody works at are looked for, and how soon one that was "
        "cancelled stops (s).",
    )
    lease_seconds: float = Field(
        default=30.0, gt=0, description="One whose process is silent for so long is another's (s)."
    )
    pages_guide: int = Field(
        default=3, ge=1, description="Pages of 50 in hand at a time, profile guide: one number a request."
    )
    pages_http: int = Field(
        default=20, ge=1, description="The same, profile http, where results come long after the request."
    )
    numbers_at_once: int = Field(
        default=2,
        ge=1,
        description="Look-ups of one verification at a time, profile guide: who else looks a number up waits "
        "behind them.",
    )
    look_again_seconds: float = Field(
        default=1.0, gt=0, description="How often results that come later are looked for (s)."
    )
    result_seconds: float = Field(
        default=600.0, gt=0, description="A number without a result for so long is left out (s)."
    )
    writes_at_once: int = Field(default=4, ge=1, description="Requests that write, at a time.")
    linger_seconds: float = Field(
        default=5.0, gt=0, description="A request that writes waits so long until it is full (s)."
    )
    retry_seconds: float = Field(
        default=1.0, gt=0, description="First pause where the portal or the store is away; doubles (s)."
    )
    retry_most_seconds: float = Field(default=60.0, gt=0, description="The longest such pause (s).")
    pause_seconds: float = Field(
        default=15.0, gt=0, description="How often a paused one looks whether its cause is gone (s)."
    )
    watch_seconds: float = Field(
        default=0.5, gt=0, description="How often those who watch are told what changed (s)."
    )
    most_numbers: int = Field(default=1_000_000, ge=1, description="Numbers of a file.")
    kept_days: float = Field(default=30.0, gt=0, description="An ended one can be read for so long (days).")
    unconfirmed_days: float = Field(
        default=7.0, gt=0, description="One that nobody confirms is kept for so long (days)."
    )


class HlrSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    listen: str = Field(
        default="127.0.0.1:7104", description="HOST:PORT of the gRPC server, for the other roles only."
    )
    default_region: str = Field(
        default="RU",
        min_length=2,
        max_length=2,
        description="Country of the CRM's phones that are written without a country code; as the sender's.",
    )
    preference_days: float = Field(
        default=90.0,
        gt=0,
        description="How long a learned channel counts (days): people who missed Viber once come back to it.",
    )
    max_numbers: int = Field(
        default=1000, ge=1, le=1000, description="Numbers of one question; more is a caller's mistake."
    )
    wait_most_seconds: float = Field(
        default=60.0, ge=0, description="The longest that one question is kept waiting for results (s)."
    )
    assumed_price: Decimal = Field(
        default=Decimal("0.50"),
        ge=0,
        description="Roubles reserved for a look-up where neither the account nor `smsc.prices.hlr` tells.",
    )
    price_kept_seconds: float = Field(
        default=86_400.0, gt=0, description="How long a price that the account told is believed (s)."
    )
    post_total_seconds: float = Field(
        default=20.0,
        gt=0,
        description="Hard total time-out of one request; the client's own is not longer (s).",
    )
    margin_seconds: float = Field(
        default=10.0, gt=0, description="A process may stand still so long around a request (s)."
    )
    permit_seconds: float = Field(
        default=120.0, gt=0, description="How long a look-up waits for its turn at the account (s)."
    )
    unanswered_rest_seconds: float = Field(
        default=600.0,
        ge=0,
        description="A number whose look-up may have been made, and nobody can tell, is not asked about for "
        "so long (s).",
    )
    failed_rest_seconds: float = Field(
        default=30.0,
        ge=0,
        description="A number whose look-up was refused is not tried again for so long (s).",
    )
    duplicate_rest_seconds: float = Field(
        default=65.0, ge=0, description="The same, where SMSC called it a duplicate (s)."
    )
    unknown_kept_seconds: float = Field(
        default=3600.0,
        gt=0,
        description="A result that tells nothing of the number is not bought again for so long (s).",
    )
    first_question_seconds: float = Field(
        default=5.0, gt=0, description="Results that come later are asked for so long after the request (s)."
    )
    details_seconds: float = Field(
        default=0.3, ge=0, description="The region is asked for so long after a callback told the rest (s)."
    )
    question_most_seconds: float = Field(
        default=300.0, gt=0, description="The longest pause between two questions (s)."
    )
    second_ask_seconds: float = Field(
        default=10.0, gt=0, description="Second question about a look-up that was not answered (s)."
    )
    late_ask_seconds: float = Field(
        default=180.0,
        gt=0,
        description="Third question, not before so long after the request: only then it was not made (s).",
    )
    give_up_seconds: float = Field(
        default=3600.0, gt=0, description="A result that has not come by then will not come (s)."
    )
    question_lease_seconds: float = Field(
        default=30.0, gt=0, description="How long a question is one replica's (s)."
    )
    idle_seconds: float = Field(
        default=1.0, gt=0, description="How often results that are due are looked for (s)."
    )
    measure_seconds: float = Field(default=15.0, gt=0, description="How often budgets are measured (s).")
    telephony_sources: list[str] = Field(
        default=["CALL"],
        description="Values of SOURCE_ID that mark a lead from a call, for `crm.enrichLeads: calls`; a line "
        "with a source of its own in the CRM is to be added.",
    )
    step_answer_seconds: float = Field(
        default=600.0,
        gt=0,
        description="A workflow's step whose result has not come by then is answered without (s).",
    )
    errand_lease_seconds: float = Field(
        default=240.0, gt=0, description="How long taken errands are one replica's (s)."
    )
    errand_wait_seconds: float = Field(
        default=10.0,
        ge=0,
        description="How long new leads wait for results before others have their turn (s).",
    )
    step_wait_seconds: float = Field(
        default=2.0, ge=0, description="The same of workflows' steps, which wait for nothing else (s)."
    )
    errand_pause_seconds: float = Field(
        default=1.0,
        gt=0,
        description="When results of errands are looked for again; a little later each time (s).",
    )
    errand_retry_seconds: float = Field(
        default=5.0, gt=0, description="First pause of an errand that could not be done; doubles (s)."
    )
    errand_retry_most_seconds: float = Field(default=300.0, gt=0, description="The longest such pause (s).")
    errand_idle_seconds: float = Field(
        default=5.0,
        gt=0,
        description="How often errands are looked for that another replica took and left (s).",
    )
    held_check_seconds: float = Field(
        default=5.0,
        gt=0,
        description="How often an errand with a foreign application token is compared again (s).",
    )
    changed_linger_seconds: float = Field(
        default=2.0,
        ge=0,
        description="A changed contact is read so long after its event: several changes are one look (s).",
    )
    own_update_seconds: float = Field(
        default=60.0,
        gt=0,
        description="The event of an update that we made ourselves is expected for so long (s).",
    )
    hand_rest_seconds: float = Field(
        default=60.0,
        gt=0,
        description="Nothing is concluded from a contact's channel so soon after we wrote it: what was read "
        "may be older (s).",
    )
    carrier_kept_seconds: float = Field(
        default=604_800.0,
        gt=0,
        description="How long an operator that info.php told is believed (s).",
    )
    carrier_requests_per_minute: int = Field(
        default=80,
        ge=11,
        le=95,
        description="Requests of an account to info.php in a minute; SMSC allows 100.",
    )
    stop_grace_seconds: float = Field(default=5.0, gt=0, description="Time to answer what is in hand (s).")
    verification: VerificationSettings = Field(
        default=VerificationSettings(), description="The verification of contact bases."
    )
