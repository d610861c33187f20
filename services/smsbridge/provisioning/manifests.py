"""Reads `SmscProvider` and `Secret` documents from YAML, follows the references and checks everything.

One bad resource does not stop the others: what is good comes out as `Declared`, what is bad as an error
that names
resource, field and mending. Reading the file again, and what a change means, is `service`'s business.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pydantic
import yaml

from smsbridge.core import errors
from smsbridge.provisioning import convert, explain, spec_rules
from smsbridge.provisioning import spec as specs
from smsbridge.runtime import settings

MAX_BYTES = 4 * 1024 * 1024
DEFAULT_NAMESPACE = "default"
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\Z")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
_UID = re.compile(r"[A-Za-z0-9-]{1,64}\Z")
_DOCUMENT_KEYS = ("apiVersion", "kind", "metadata", "spec", "status")


@dataclass(frozen=True, slots=True)
class ResourceError:
    """`label` is NAMESPACE/NAME, empty where the resource cannot be told; `where` says which document.

    `generation` is the resource's own where it has one (Kubernetes counts, a file does not).
    """

    label: str
    where: str
    field: str
    sentence: str
    generation: int = 0

    @property
    def of_secret(self) -> bool:
        """Something is missing in a Secret, not in the resource itself."""
        return self.field in (convert.APP_SECRET, convert.ACCOUNT_SECRET)

    def __str__(self) -> str:
        at = f"{self.field}: " if self.field else ""
        return f"{self.label or self.where}: {at}{self.sentence}"


@dataclass(frozen=True, slots=True)
class Manifests:
    """`namespaces`: those that were looked into; None for all. Of others nothing is known."""

    declared: tuple[convert.Declared, ...] = ()
    errors: tuple[ResourceError, ...] = ()
    namespaces: frozenset[str] | None = None

    def looked_into(self, namespace: str) -> bool:
        return self.namespaces is None or namespace in self.namespaces

    @property
    def labels(self) -> frozenset[str]:
        """Of every SmscProvider that is there, good or bad: what is not among them was removed."""
        return frozenset(d.label for d in self.declared) | frozenset(e.label for e in self.errors if e.label)

    @property
    def complete(self) -> bool:
        """False where some document cannot even be named: then nothing may be taken for removed."""
        return all(error.label for error in self.errors)


@dataclass(frozen=True, slots=True)
class _Document:
    where: str
    body: Mapping[str, Any]
    kind: str
    namespace: str
    name: str
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"{self.namespace}/{self.name}"


class _Bad(Exception):
    """What is wrong with one document; `found` is (field, sentence)."""

    def __init__(self, *found: tuple[str, str]) -> None:
        super().__init__(found)
        self.found = found


def read(text: str | bytes) -> Manifests:
    """Never raises for what is in `text`."""
    if len(text) > MAX_BYTES:
        return Manifests(errors=(ResourceError("", "file", "", "is over 4 MiB; split it"),))
    found: list[ResourceError] = []
    documents: list[_Document] = []
    try:
        for number, body in enumerate(yaml.load_all(text, Loader=_Loader), start=1):
            if body is None:
                continue
            try:
                documents.append(_document(body, where=f"document {number}"))
            except _Bad as bad:
                found += [ResourceError("", f"document {number}", *item) for item in bad.found]
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        found.append(ResourceError("", "file", "", f"is no YAML: {settings.yaml_problem(error)}"))
    secrets = _secrets(documents, found)
    declared = tuple(_providers([d for d in documents if d.kind == specs.KIND], secrets, found))
    return Manifests(declared, tuple(found))


def declare(
    spec: Mapping[str, Any] | None, *, source: convert.Source, secrets: Mapping[str, convert.Secret]
) -> convert.Declared | list[errors.InputError]:
    """One resource from its spec; `secrets` by name, of the resource's namespace. Also the operator's way
    in.
    """
    try:
        parsed = specs.SmscProviderSpec.model_validate(spec if spec is not None else {})
    except pydantic.ValidationError as error:
        return explain.explain(specs.SmscProviderSpec, error, at="spec")
    found = spec_rules.check(parsed)
    references = {
        convert.APP_SECRET: parsed.portal.app_secret_ref.name,
        convert.ACCOUNT_SECRET: parsed.smsc.account_secret_ref.name,
    }
    for at, name in references.items():
        if name not in secrets:
            found.append(errors.InputError(_no_secret(name, source.namespace, secrets), field=at))
    if found:
        return found
    app, account = (secrets[name] for name in references.values())
    found = convert.check_secrets(parsed, app, account)
    return found or convert.declared(parsed, source=source, app=app, account=account)


def decode_secret(body: Mapping[str, Any]) -> dict[str, str]:
    """`data` (base64) under `stringData`. Raises InputError that names the key, never the value."""
    result: dict[str, str] = {}
    for key, value in _map(body, "data").items():
        try:
            result[str(key)] = base64.b64decode(str(value or ""), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError) as error:
            sentence = "is no base64 of a text; encode it, or write it under stringData"
            raise errors.InputError(sentence, field=f"data.{key}") from error
    for key, value in _map(body, "stringData").items():
        if not isinstance(value, str):
            raise errors.InputError("must be a text; put it in quotes", field=f"stringData.{key}")
        result[str(key)] = value
    # Editors and `echo` leave a line's end behind the value; no login or key has one.
    return {key: value.rstrip("\r\n") for key, value in result.items()}


def _document(body: Any, *, where: str) -> _Document:
    if not isinstance(body, dict):
        raise _Bad(("", "is no resource; it needs apiVersion, kind, metadata and spec"))
    kind = body.get("kind")
    if kind not in (specs.KIND, "Secret"):
        raise _Bad(("kind", f"must be {specs.KIND} or Secret"))
    version = specs.API_VERSION if kind == specs.KIND else "v1"
    if body.get("apiVersion") != version:
        raise _Bad(("apiVersion", f"must be {version} for {kind}"))
    metadata = body.get("metadata")
    if not isinstance(metadata, dict):
        raise _Bad(("metadata", "is required: {name: ..., namespace: ...}"))
    name, namespace = metadata.get("name"), metadata.get("namespace", DEFAULT_NAMESPACE)
    if not isinstance(name, str) or not _NAME.match(name):
        raise _Bad(("metadata.name", "must be lower-case letters, digits, - and ., up to 253"))
    if not isinstance(namespace, str) or not _NAMESPACE.match(namespace):
        raise _Bad(("metadata.namespace", "must be lower-case letters, digits and -, up to 63"))
    return _Document(where, body, kind, namespace, name, metadata)


def _secrets(documents: list[_Document], found: list[ResourceError]) -> dict[str, dict[str, convert.Secret]]:
    """By namespace and name. A bad Secret counts as missing, with its own error."""
    result: dict[str, dict[str, convert.Secret]] = {}
    for document in documents:
        if document.kind != "Secret":
            continue
        where = f"{document.where}, Secret {document.label}"
        of_namespace = result.setdefault(document.namespace, {})
        if document.name in of_namespace:
            found.append(ResourceError("", where, "", "is there twice; keep one"))
            continue
        try:
            of_namespace[document.name] = decode_secret(document.body)
        except errors.InputError as error:
            found.append(ResourceError("", where, error.field, bare(error)))
    return result


def _providers(
    documents: list[_Document],
    secrets: Mapping[str, Mapping[str, convert.Secret]],
    found: list[ResourceError],
) -> Iterator[convert.Declared]:
    seen: set[str] = set()
    for document in documents:
        if document.label in seen:
            found.append(
                ResourceError(document.label, document.where, "metadata.name", "is there twice; keep one")
            )
            continue
        seen.add(document.label)
        try:
            yield _provider(document, secrets.get(document.namespace, {}))
        except _Bad as bad:
            found += [ResourceError(document.label, document.where, *item) for item in bad.found]


def _provider(document: _Document, secrets: Mapping[str, convert.Secret]) -> convert.Declared:
    unknown = [str(key) for key in document.body if key not in _DOCUMENT_KEYS]
    if unknown:
        raise _Bad(*((key, "is not known" + explain.nearest(key, _DOCUMENT_KEYS)) for key in unknown))
    uid = document.metadata.get("uid", "")
    if uid and (not isinstance(uid, str) or not _UID.match(uid)):
        raise _Bad(("metadata.uid", "must be letters, digits and -, up to 64; leave it out to get one"))
    spec = document.body.get("spec")
    if not isinstance(spec, dict):
        raise _Bad(("spec", "is required: a map of fields, see docs/resource.md"))
    source = convert.Source(document.namespace, document.name, uid)
    result = declare(spec, source=source, secrets=secrets)
    if isinstance(result, convert.Declared):
        return result
    raise _Bad(*((error.field, bare(error)) for error in result))


def bare(error: errors.InputError) -> str:
    """The sentence without the field in front of it."""
    return error.sentence.removeprefix(f"{error.field}: ")


def _no_secret(name: str, namespace: str, known: Mapping[str, convert.Secret]) -> str:
    hint = explain.nearest(name, sorted(known)) if known else "; add a Secret document"
    return f"there is no Secret {name} in namespace {namespace}{hint}"


def _map(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = body.get(key) or {}
    if not isinstance(value, dict):
        raise errors.InputError("must be a map of keys and values", field=key)
    return value


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice instead of taking the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is not None and key != "<<" and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, "a key is there twice", key_node.start_mark
                )
            seen.add(str(key))
        return super().construct_mapping(node, deep=deep)
