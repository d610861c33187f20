"""User fields of the portal's CRM: looked for, created, and read so that enumerations can be written.

The values of an enumeration are ids of list items, which differ from portal to portal: they are told apart by
XML_ID. An error of these methods has an empty code and the portal's own words, nothing else; a field that is
there already is such an error, so look first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from smsbridge.bitrix24 import answers, batch, forms
from smsbridge.core.errand import EntityType

MAX_NAME = 50  # with its prefix UF_CRM_


class FieldType(StrEnum):
    STRING = "string"
    ENUMERATION = "enumeration"
    DATETIME = "datetime"


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """A field as it should be. `labels` by language; `options` of an enumeration: the text by XML_ID."""

    name: str
    type: FieldType
    labels: Mapping[str, str]
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UserField:
    """A field as the portal has it. `type` is the portal's word; `options`: item ids by XML_ID."""

    name: str
    type: str
    multiple: bool = False
    options: Mapping[str, str] = field(default_factory=dict)

    def option_of(self, value: object) -> str:
        """The XML_ID of what an entity has in this field; empty for nothing and for items without one."""
        item_id = answers.text_of(value)
        return next((xml_id for xml_id, known in self.options.items() if known == item_id), "")


def list_command(entity: EntityType, name: str) -> batch.Command:
    """Asks for one field by its name."""
    return batch.Command(f"crm.{entity}.userfield.list", {"filter": {"FIELD_NAME": name}})


def read(listed: object, name: str) -> UserField | None:
    """The field of that name in the result of `list_command`; None where the portal has none."""
    for item in answers.as_list(listed):
        entry = answers.as_map(item)
        if answers.text_of(entry.get("FIELD_NAME")) == name:
            return UserField(
                name,
                answers.text_of(entry.get("USER_TYPE_ID")),
                multiple=answers.text_of(entry.get("MULTIPLE")) == "Y",
                options=_options(entry.get("LIST")),
            )
    return None


def add_command(entity: EntityType, spec: FieldSpec) -> batch.Command:
    """Its result is the field's id. Only an administrator of the CRM may."""
    fields: dict[str, forms.Param] = {
        "FIELD_NAME": spec.name,
        "USER_TYPE_ID": spec.type.value,
        "XML_ID": spec.name,
        "MULTIPLE": "N",
        "MANDATORY": "N",
        "SHOW_FILTER": "Y",
        "EDIT_FORM_LABEL": dict(spec.labels),
        "LIST_COLUMN_LABEL": dict(spec.labels),
        "LIST_FILTER_LABEL": dict(spec.labels),
    }
    if spec.options:
        fields["LIST"] = [
            {"VALUE": text, "XML_ID": xml_id, "SORT": 100 * number}
            for number, (xml_id, text) in enumerate(spec.options.items(), start=1)
        ]
    return batch.Command(f"crm.{entity}.userfield.add", {"fields": fields})


def _options(listed: object) -> dict[str, str]:
    """What was made by hand without an XML_ID cannot be told apart."""
    items = [answers.as_map(item) for item in answers.as_list(listed)]
    by_xml_id = {answers.text_of(item.get("XML_ID")): answers.text_of(item.get("ID")) for item in items}
    return {xml_id: item_id for xml_id, item_id in by_xml_id.items() if xml_id and item_id}
