"""Who may call: what the documents say, as the bits of common/route.h."""
import re

ANYONE, USER, OPERATOR, AGGREGATE, NODE, STORE, CLEARINGHOUSE = 1, 2, 4, 8, 16, 32, 64
PEOPLE = USER | OPERATOR
EVERYBODY = PEOPLE | AGGREGATE | NODE | STORE | CLEARINGHOUSE
# What the documents say of callers, in words or as lists of words. Who belongs to a slice or project is one
# of the users or an operator; the handler looks more closely.
WORDS = {
    "anyone": ANYONE, "user": USER, "operator": OPERATOR, "node": NODE, "aggregate": AGGREGATE, "store": STORE,
    "users": PEOPLE, "operators": OPERATOR, "nodes": NODE, "aggregates": AGGREGATE, "stores": STORE,
    "services": AGGREGATE | STORE, "everybody signed in": EVERYBODY, "the user": PEOPLE,
    "its members": PEOPLE, "its leads": PEOPLE, "its leads and members": PEOPLE,
    "the project's leads and members": PEOPLE,
}


def of(operation):
    """The bits that the document gives, or None when it says nothing."""
    said = operation.get("x-jogak-roles", operation.get("x-roles"))
    if said is None:
        return None
    words = said if isinstance(said, list) else re.split(r", ", said)
    bits = 0
    for word in words:
        bits |= WORDS[word]
    return bits
