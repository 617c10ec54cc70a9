"""The OpenAPI documents of schemas/, and JSON Schema validation against them."""
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
    return {"mem:///" + file: value for file, value in DOCUMENTS.items()} | {
        "mem:///" + file.replace(".openapi", ""): value for file, value in DOCUMENTS.items()}


_STORE = _store()
# Its own "format" checks need packages that are not there; "date-time" is checked by pattern.
_FORMATS = jsonschema.FormatChecker(formats=())
_STAMP = re.compile(r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$")
_MAC = re.compile(r"^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$")
_FORMATS.checks("date-time")(lambda v: not isinstance(v, str) or bool(_STAMP.match(v)))
_FORMATS.checks("mac")(lambda v: not isinstance(v, str) or bool(_MAC.match(v)))


def validator(file, schema):
    """A validator of a piece of `file`."""
    base = "mem:///" + file
    resolver = jsonschema.RefResolver(base, DOCUMENTS[file], store=_STORE)
    return jsonschema.Draft202012Validator(schema, resolver=resolver, format_checker=_FORMATS)


def validator_of(name):
    """A validator of "aggregate#Sliver"."""
    service, _, schema = name.partition("#")
    file = file_of(service)
    return validator(file, DOCUMENTS[file]["components"]["schemas"][schema])


def complaints(check, value):
    return [f"/{'/'.join(map(str, e.absolute_path))}: {e.message[:300]}" for e in check.iter_errors(value)]
