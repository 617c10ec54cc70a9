"""Documents made from a schema: good ones by its rules, and others by changing a piece of a good one."""
import copy
import re
import string

import documents as doc

_ALPHABET = string.ascii_letters + string.digits + "._-"
# Texts for "pattern": those that match are taken. A pattern that none matches needs a line here.
_SAMPLES = [
    "urn:publicid:IDN+lab.jogak+user+ann", "urn:publicid:IDN+lab.jogak:p1+slice+s1",
    "01234567-89ab-4def-8123-456789abcdef", "0123456789abcdef" * 4, "0", "7fab", "52:4a:00:01:02:03",
    "https://127.0.0.1:8402", "https://store.example.org/x", "https://[::1]:1",
    "127.0.0.1", "a.example.org", "10.0.0.1/24", "fd00::1/64",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 ann@host", "ecdsa-sha2-nistp256 AAAA==",
    "", "ann@example.org", "eth0", "a", "not_found", "x", "slice-1", "Z9", "node-1", "x.y_z",
]
_FORMATS = {
    "date-time": ["2026-01-02T03:04:05Z", "2024-02-29T23:59:59.123Z", "2026-01-02T03:04:05+02:00"],
    "mac": ["52:4a:00:01:02:03"], "cidr": ["10.0.0.1/24", "fd00::1/64"], "ipv4": ["10.0.0.1"],
}


def _text(schema, random):
    if "format" in schema:
        return random.choice(_FORMATS[schema["format"]])
    if "pattern" in schema:
        low, high = schema.get("minLength", 0), schema.get("maxLength", 4096)
        return random.choice([t for t in _SAMPLES if re.search(schema["pattern"], t) and low <= len(t) <= high])
    low, high = schema.get("minLength", 0), schema.get("maxLength", 64)
    length = random.choice([low, high, random.randint(low, min(high, low + 20))])
    return "".join(random.choice(_ALPHABET + "é ✓\n\"\\") for _ in range(min(length, 4000)))


def _number(schema, random):
    low, high = schema.get("minimum", -5), schema.get("maximum", 10**6)
    return random.choice([low, high, random.randint(low, high)])


def good(file, schema, random, depth=0):
    """A value that obeys the schema (if it has no allOf, not and the like)."""
    file, schema = doc.follow(file, schema)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return random.choice(schema["enum"])
    for key in "oneOf", "anyOf":
        if key in schema:
            return good(file, random.choice(schema[key]), random, depth)
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "string":
        return _text(schema, random)
    if kind in ("integer", "number"):
        return _number(schema, random) + (0.25 if kind == "number" and "maximum" not in schema else 0)
    if kind == "null":
        return None
    if kind == "boolean":
        return random.random() < 0.5
    if kind == "array":
        low = schema.get("minItems", 0)
        count = random.randint(low, min(schema.get("maxItems", 3), low + (3 if depth < 4 else 0)))
        return [good(file, schema.get("items", {}), random, depth + 1) for _ in range(count)]
    made = {}
    for name, inner in schema.get("properties", {}).items():
        if name in schema.get("required", []) or random.random() < 0.6:
            made[name] = good(file, inner, random, depth + 1)
    return made


def _places(value, path=()):
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from _places(inner, path + (key,))


_STRANGE = [None, True, False, 0, -1, 1, 1.0, 1.5, -0.0, 1e3, 2**31, 2**53, 2**63 - 1, -2**63, 1e300, "", "x", "a" * 64, "a" * 256,
            "ü" * 63, "ü" * 64, "10.0.0.0/33", "2026-02-30T00:00:00Z", "2026-01-02T03:04:05", "2026-13-01T00:00:00Z",
            "52:4a:00:01:02", "52-4a-00-01-02-03", "node 1", "node\n", "-x", "UPPER", [], {}, [[]], {"a": 1}, ["x"] * 600]


def changed(value, random):
    """A copy with one piece replaced, removed, added or doubled."""
    value = copy.deepcopy(value)
    places = [p for p in _places(value) if p]
    if not places or random.random() < 0.15:
        if isinstance(value, dict) and random.random() < 0.7:
            value[random.choice(["extra", "Name", "$ref", "", "ä"])] = random.choice(_STRANGE)
            return value
        return random.choice(_STRANGE)
    path = random.choice(places)
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    key, deed = path[-1], random.random()
    if deed < 0.5:
        holder[key] = random.choice(_STRANGE)
    elif deed < 0.7:
        del holder[key]
    elif deed < 0.85 and isinstance(holder[key], str):
        holder[key] = random.choice([holder[key] * 2, holder[key] + "\n", holder[key] + "x" * 300, holder[key][1:],
                                     holder[key].upper(), " " + holder[key], holder[key] + "é"])
    elif isinstance(holder[key], int) and not isinstance(holder[key], bool):
        near = [-holder[key], holder[key] + 1, holder[key] - 1, float(holder[key]), holder[key] + 0.5]
        holder[key] = random.choice([n for n in near if abs(n) < 2**63])  # what is beyond, no service reads
    elif isinstance(holder[key], list):
        holder[key] = holder[key] * random.choice([2, 40])
    elif isinstance(holder[key], dict):
        holder[key]["more"] = random.choice(_STRANGE)
    return value
