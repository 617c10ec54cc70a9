"""The OpenAPI documents of schemas/, and JSON Schema validation against them."""
import datetime
import ipaddress
import os
import re

import jsonschema
import yaml

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../.."))
FOLDER = os.path.join(ROOT, "schemas")
SERVICES = ("clearinghouse", "aggregate", "sliverstore", "nodemgr")
METHODS = ("get", "put", "post", "patch", "delete")
COMPONENTS = "#/components/schemas/"


class _Loader(yaml.SafeLoader):
    """Refuses a mapping that names a key twice, which YAML forbids and PyYAML lets pass."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(k, deep=True) for k, _ in node.value]
        twice = {k for k in keys if keys.count(k) > 1}
        if twice:
            raise ValueError(f"{node.start_mark}: twice the same key: {twice}")
        return super().construct_mapping(node, deep)


# Dates and "yes" stay what they are in JSON: texts.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, rx) for tag, rx in rows if not tag.endswith(("timestamp", ":bool"))]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def _load():
    found = {}
    for file in sorted(os.listdir(FOLDER)):
        if file.endswith(".yaml"):
            with open(os.path.join(FOLDER, file), encoding="utf-8") as f:
                found[file] = yaml.load(f, _Loader)  # a subclass of SafeLoader
    return found


DOCUMENTS = _load()  # by file name


def file_of(service):
    """Service "aggregate" has "aggregate.openapi.yaml"; a document without routes is "common.yaml"."""
    name = f"{service}.openapi.yaml"
    return name if name in DOCUMENTS else f"{service}.yaml"


def resolve(file, ref):
    """What a $ref found in `file` leads to: (file, value). Raises KeyError."""
    target, _, pointer = ref.partition("#")
    if target:
        file = target if target in DOCUMENTS else target.replace(".yaml", ".openapi.yaml")
    value = DOCUMENTS[file]
    for token in pointer.lstrip("/").split("/") if pointer else []:
        value = value[token.replace("~1", "/").replace("~0", "~")]
    return file, value


def follow(file, value):
    """value, or what its $ref leads to."""
    while isinstance(value, dict) and "$ref" in value:
        file, value = resolve(file, value["$ref"])
    return file, value


def operations(service):
    """(METHOD, path, operation, path's parameters) of every operation."""
    for path, item in DOCUMENTS[file_of(service)]["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path, item[method], item.get("parameters", [])


def schema_name(service, ref):
    """ "common.yaml#/components/schemas/Urn" as the route tables name it: "common#Urn". """
    target, _, pointer = ref.partition("#")
    base = target.replace(".openapi.yaml", "").replace(".yaml", "") or service
    assert ("#" + pointer).startswith(COMPONENTS), ref
    return f"{base}#{pointer[len(COMPONENTS) - 1:]}"


def _store():
    return {"https://jogak.invalid/" + file: value for file, value in DOCUMENTS.items()} | {
        "https://jogak.invalid/" + file.replace(".openapi", ""): value for file, value in DOCUMENTS.items()}


_STORE = _store()
# Its own checks of formats need packages that are not there; these are ours, from the RFCs.
_FORMATS = jsonschema.FormatChecker(formats=())
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.A)
_MAC = re.compile("[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")


def _is_stamp(text):  # RFC 3339, section 5.6
    parts = _STAMP.fullmatch(text)
    if not parts:
        return False
    try:
        datetime.datetime.fromisoformat(f"{parts[1]}T{parts[2]}")
    except ValueError:
        return False
    return True


def _is_cidr(text):
    address, _, prefix = text.partition("/")
    if not re.fullmatch("0|[1-9][0-9]{0,2}", prefix):
        return False
    try:
        return int(prefix) <= ipaddress.ip_address(address).max_prefixlen and "%" not in address
    except ValueError:
        return False


def _is_ipv4(text):
    try:
        return bool(ipaddress.IPv4Address(text))
    except ValueError:
        return False


for _name, _test in {"date-time": _is_stamp, "mac": _MAC.fullmatch, "cidr": _is_cidr, "ipv4": _is_ipv4}.items():
    _FORMATS.checks(_name)(lambda v, test=_test: not isinstance(v, str) or bool(test(v)))


def _pattern(_validator, pattern, value, _schema):
    # ECMA's "$" is the end of the text; Python's also stands before a last newline.
    if isinstance(value, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), value):
        yield jsonschema.ValidationError(f"{value!r} does not match {pattern!r}")


_Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": _pattern})


def validator(file, schema):
    """A validator of a piece of `file`."""
    base = "https://jogak.invalid/" + file
    resolver = jsonschema.RefResolver(base, DOCUMENTS[file], store=_STORE)
    return _Validator(schema, resolver=resolver, format_checker=_FORMATS)


def validator_of(name):
    """A validator of "aggregate#Sliver"."""
    service, _, schema = name.partition("#")
    file = file_of(service)
    return validator(file, DOCUMENTS[file]["components"]["schemas"][schema])


def complaints(check, value):
    return [f"/{'/'.join(map(str, e.absolute_path))}: {e.message[:300]}" for e in check.iter_errors(value)]
