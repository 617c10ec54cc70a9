"""Who calls in the contract tests: one identity of each type, and the checks of every answer."""
import os
import re

import documents as doc
import roles
from testbed import Identity, Testbed

SERVICES = ("clearinghouse", "sliverstore", "aggregate")
# What stands in the place of a path's parameter when nothing needs to be there.
PARAMETERS = {"digest": "0" * 64, "slice": "p1:nothing", "service": "am:nothing", "name": "nothing"}
NOBODY = "01234567-89ab-4def-8123-456789abcdef"


class Cast:
    """A testbed with an operator, a user, a node and the services' own identities."""

    def __init__(self, testbed: Testbed):
        self.testbed = testbed
        self.user = testbed.member("user", "ann")
        self.node = testbed.member("node", "node-1")
        self.operator_credential = testbed.credential(testbed.operator)
        self.by_role = {roles.OPERATOR: testbed.operator, roles.USER: self.user, roles.NODE: self.node,
                        roles.AGGREGATE: self._service("aggregate"), roles.STORE: self._service("sliverstore")}

    def _service(self, name):
        state = self.testbed.state(name)
        identity = Identity(state, "identity", self.testbed.authority)
        assert os.path.exists(identity.certificate)
        return identity

    def allowed(self, operation):
        """(identity, credential) of somebody who may call it; operators when they may."""
        bits = roles.of(operation)
        for role, identity in self.by_role.items():
            if bits & role or bits & roles.ANYONE:
                return identity, self.operator_credential if role == roles.OPERATOR else None
        raise KeyError(operation["operationId"])

    def outsiders(self, operation):
        """Identities whose type may not call it at all."""
        bits = roles.of(operation)
        for role, identity in self.by_role.items():
            if not bits & (role | roles.ANYONE | (roles.USER if role == roles.OPERATOR else 0)):
                yield identity


def concrete(path):
    return re.sub(r"{(\w+)}", lambda m: PARAMETERS.get(m[1], NOBODY), path)


def url(testbed, service, path):
    return testbed.url(service) + concrete(path)


def methods_of(service, path):
    """All methods that a concrete path has, whichever templates it fits."""
    found = set()
    for method, template, _, _ in doc.operations(service):
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), concrete(path)):
            found.add(method)
    return found


_PROBLEM = doc.validator_of("common#Problem")


def problem(answer, status):
    """Complaints about an answer that should be a problem of this status (or one of these)."""
    got, headers, body = answer
    wanted = status if isinstance(status, tuple) else (status,)
    if got not in wanted:
        return [f"status {got}, not {status}: {body!r}"[:300]]
    if headers.get("content-type", "") != "application/problem+json":
        return [f"content type {headers.get('content-type')}"]
    wrong = doc.complaints(_PROBLEM, body)
    if body.get("status") != got:
        wrong.append(f"the body says status {body.get('status')}, the answer {got}")
    if not body.get("detail"):
        wrong.append("no detail")
    if "jogak-request-id" not in headers:
        wrong.append("no request id")
    return wrong


def described(service, method, path, answer):
    """Complaints about an answer that its document does not describe."""
    status, headers, body = answer
    operation = doc.DOCUMENTS[doc.file_of(service)]["paths"][path][method.lower()]
    responses = operation["responses"]
    if status >= 400:
        return problem(answer, status)
    if str(status) not in responses:
        return [f"status {status} is not described: {body!r}"[:300]]
    file, response = doc.follow(doc.file_of(service), responses[str(status)])
    content = response.get("content", {})
    if not content:
        return [] if not body else [f"a body where none is described: {body!r}"[:300]]
    kind = headers.get("content-type", "").partition(";")[0]
    if kind not in content:
        return [f"content type {kind!r}, described: {sorted(content)}"]
    if kind != "application/json":
        return []
    return doc.complaints(doc.validator(file, content[kind]["schema"]), body)
