"""What the control API takes: the things a person or a portal would do. The client builds the same models."""

from enum import StrEnum
from typing import Any

from pydantic import Field, model_validator

from smsbridge.sandbox.settings import Model


class MessageOrigin(StrEnum):
    """Which part of the portal sends; decides fields, author, and when the row is there."""

    CARD = "card"
    ROBOT = "robot"  # the provider was chosen explicitly
    DEFAULT_ROBOT = "default_robot"  # ":default:": no module_id, no document
    MARKETING = "marketing"
    OTP = "otp"  # no author, so no auth at all


class InstallOrder(Model):
    client_id: str = Field(default="", description="which application; empty: the only one")
    url: str = Field(default="", description="install URL; empty: the last one used")
    user_id: int = Field(default=1, description="who installs")
    new_application_token: bool = Field(default=False, description="give it another application token")


class UninstallOrder(Model):
    client_id: str = Field(default="", description="which application; empty: the only one")
    clean: bool = Field(default=False, description="the user asked to remove the data")


class SendOrder(Model):
    client_id: str = Field(default="", description="which application; empty: the only one")
    code: str = Field(default="", description="sender's CODE; empty: the only one")
    origin: MessageOrigin = Field(default=MessageOrigin.CARD, description="where it comes from")
    phone: str = Field(default="+79990000000", description="message_to, as the portal has it")
    text: str = Field(default="Test", description="message_body")
    author_id: int | None = Field(default=None, description="author; empty: 7, or 1 of a letter; 0: none")
    copies: int = Field(default=1, ge=1, description="posts of the same message_id: the job's re-picks")


class PhoneRange(Model):
    prefix: str = Field(default="+7999", description="what every number begins with")
    start: int = Field(default=0, ge=0, description="the first number behind the prefix")
    count: int = Field(ge=1, description="how many, one after another")
    digits: int = Field(default=7, ge=1, le=11, description="digits behind the prefix")


class BroadcastOrder(Model):
    """Many messages; `{n}` in the text is the message's number, from 0."""

    client_id: str = Field(default="", description="which application; empty: the only one")
    code: str = Field(default="", description="sender's CODE; empty: the only one")
    origin: MessageOrigin = Field(default=MessageOrigin.MARKETING, description="where they come from")
    phones: list[str] = Field(default_factory=list, description="to whom; or `range`")
    range: PhoneRange | None = Field(default=None, description="to whom; or `phones`")
    text: str = Field(default="Test", description="message_body; `{n}` makes every text another one")
    author_id: int | None = Field(default=None, description="author; empty: 7, or 1 of a letter; 0: none")
    concurrency: int = Field(default=32, ge=1, le=512, description="posts under way at once")
    per_second: float = Field(default=0.0, ge=0, description="no faster than this; 0: as fast as it goes")

    @model_validator(mode="after")
    def _one_source(self) -> "BroadcastOrder":
        if bool(self.phones) == (self.range is not None):
            raise ValueError("give either `phones` or `range`")
        return self


class EventOrder(Model):
    client_id: str = Field(default="", description="which application; empty: the only one")
    event: str = Field(default="ONCRMLEADADD", description="bound event")
    entity_id: int = Field(default=1, ge=1, description="data[FIELDS][ID]")
    user_id: int = Field(default=0, ge=0, description="who caused it; 0: a robot, so no tokens")


class EntitiesOrder(Model):
    """New contacts, leads or companies, as people or telephony make them."""

    range: PhoneRange | None = Field(default=None, description="one for each number")
    phones: list[list[str]] = Field(default_factory=list, description="one for each item, with these phones")
    fields: dict[str, Any] = Field(default_factory=dict, description="their fields, by the CRM's names")
    user_id: int = Field(default=0, ge=0, description="who made them; 0: a robot or telephony, so no tokens")
    quiet: bool = Field(default=False, description="tell no handler: they were there before")

    @model_validator(mode="after")
    def _one_source(self) -> "EntitiesOrder":
        if bool(self.phones) == (self.range is not None):
            raise ValueError("give either `phones` or `range`")
        return self


class EntityOrder(Model):
    """A change by hand."""

    fields: dict[str, Any] = Field(
        description="what is written, by the CRM's names; lists by their XML_ID too"
    )
    user_id: int = Field(default=1, ge=0, description="who; 0: a robot, so no tokens")


class DocumentKind(StrEnum):
    LEAD = "lead"
    DEAL = "deal"
    CONTACT = "contact"  # these two are for activities alone
    COMPANY = "company"


class RunOrder(Model):
    client_id: str = Field(default="", description="which application; empty: the only one")
    code: str = Field(description="CODE of the robot or activity")
    document: DocumentKind = Field(default=DocumentKind.LEAD, description="what its workflow runs on")
    document_id: int = Field(default=1, ge=1, description="id of that")
    properties: dict[str, str | list[str]] = Field(
        default_factory=dict, description="what its author entered"
    )
    wait: bool = Field(
        default=True, description="wait for the answer, where the registration leaves that open"
    )
    timeout_seconds: int = Field(default=0, ge=0, description="how long it waits; 0: for ever")
    copies: int = Field(default=1, ge=1, description="posts of the same step")


class RenameOrder(Model):
    domain: str = Field(min_length=3, description="the portal's new domain")


class DropRowsOrder(Model):
    message_ids: list[str] = Field(default_factory=list, description="which rows; empty: all")


class AdvanceOrder(Model):
    seconds: float = Field(gt=0, description="moves the sandbox's clock forward")


class CallbackOrder(Model):
    """Any call to the status handler: an incoming SMS (`mes`), a confirmation (`waitcall`), a forgery."""

    fields: dict[str, str] = Field(description="parameters; the signature is added unless it is among them")
