"""Real services on loopback: the clearing house, a store and an aggregate, in a directory of their own.

    with Testbed() as t:
        status, headers, body = t.call(t.operator, "GET", t.url("clearinghouse") + "/v1/users")

Identities (Identity) enrol with one-time tokens, as people, services and nodes do. Nothing runs as root that
was not started so; everything ends with the block.
"""
import base64
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../../.."))
BUILD = os.environ.get("JOGAK_BUILD", os.path.join(ROOT, "build"))
SERVICES = ("clearinghouse", "sliverstore", "aggregate")
TYPES = {"sliverstore": "ss", "aggregate": "am"}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Identity:
    """A key and a certificate in files; a TLS context that shows them."""

    def __init__(self, folder, name, authority):
        self.key, self.certificate = (os.path.join(folder, f"{name}.{end}") for end in ("key", "crt"))
        self.authority, self.urn = authority, None

    def request(self):
        """Makes the key and returns a signing request."""
        subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key],
                       check=True, capture_output=True)
        return subprocess.run(["openssl", "req", "-new", "-key", self.key, "-subj", "/CN=x"], check=True,
                              capture_output=True, text=True).stdout

    def context(self):
        context = anonymous_context(self.authority)
        context.load_cert_chain(self.certificate, self.key)
        return context


def anonymous_context(authority):
    context = ssl.create_default_context(cafile=authority)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def read_token(text):
    text = text.strip()
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


class Testbed:
    def __init__(self, programs=None, config=None):
        """programs: {service: path} in place of the built one; config: {service: further lines}."""
        self.folder = tempfile.mkdtemp(prefix="jogak-testbed.")
        self.programs, self.config = programs or {}, config or {}
        self.ports = {name: free_port() for name in SERVICES}
        self.processes, self.identities = {}, {}
        self.authority = os.path.join(self.folder, "ca.crt")
        self.operator = None

    def __enter__(self):
        try:
            self._start_all()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def url(self, service):
        return f"https://127.0.0.1:{self.ports[service]}"

    def state(self, service):
        return os.path.join(self.folder, service)

    def log(self, service):
        with open(os.path.join(self.folder, service + ".log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    # --- start and stop ---
    def _start_all(self):
        self._configure("clearinghouse", "[authority]\nname = test.jogak\n")
        self.start("clearinghouse")
        connection = http.client.HTTPSConnection("127.0.0.1", self.ports["clearinghouse"], timeout=10,
                                                 context=ssl._create_unverified_context())  # it tells who to trust
        connection.request("GET", "/v1/ca")
        with open(self.authority, "wb") as f:
            f.write(connection.getresponse().read())
        connection.close()
        with open(os.path.join(self.state("clearinghouse"), "operator.token"), encoding="utf-8") as f:
            self.operator = self.enrol("operator", f.read())
        self._configure("sliverstore", "")
        self._configure("aggregate", f"[aggregate]\nstore_url = {self.url('sliverstore')}\nnode_lost_ms = 600000\n")
        for name, kind in TYPES.items():
            with open(os.path.join(self.state(name), "token"), "w", encoding="utf-8") as f:
                f.write(self.token(kind, name))
            self.start(name)

    def _configure(self, name, more):
        os.makedirs(self.state(name), mode=0o700)
        with open(os.path.join(self.folder, name + ".conf"), "w", encoding="utf-8") as f:
            f.write(f"[service]\nlisten_address = 127.0.0.1\nlisten_port = {self.ports[name]}\n"
                    f"state_dir = {self.state(name)}\nenroll_token = {self.state(name)}/token\n"
                    f"{more}{self.config.get(name, '')}")

    def start(self, name):
        program = self.programs.get(name) or os.path.join(BUILD, name, "jogak-" + name)
        log = open(os.path.join(self.folder, name + ".log"), "ab")
        self.processes[name] = subprocess.Popen(
            [program, "--config", os.path.join(self.folder, name + ".conf")],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        log.close()
        until = time.monotonic() + 15
        while not self._listens(name):
            if self.processes[name].poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{name} does not serve:\n{self.log(name)[-2000:]}")
            time.sleep(0.02)

    def _listens(self, name):
        with socket.socket() as s:
            s.settimeout(1)
            return s.connect_ex(("127.0.0.1", self.ports[name])) == 0

    def alive(self, name):
        return self.processes[name].poll() is None

    def end(self, name):
        """Asks one to end; its exit status."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def stop(self):
        for name in reversed(list(self.processes)):
            self.end(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- identities ---
    def enrol(self, name, token):
        identity, told = Identity(self.folder, name, self.authority), read_token(token)
        body = {"secret": told["secret"], "csr": identity.request()}
        status, _, answer = self.call(None, "POST", told["url"] + "/v1/enroll", body)
        if status != 200:
            raise RuntimeError(f"enrolment of {name}: {status} {answer}")
        with open(identity.certificate, "w", encoding="utf-8") as f:
            f.write(answer["certificate"])
        identity.urn = answer["urn"]
        self.identities[name] = identity
        return identity

    def token(self, kind, name):
        status, _, answer = self.call(self.operator, "POST", self.url("clearinghouse") + "/v1/enrollments",
                                      {"type": kind, "name": name})
        if status != 201:
            raise RuntimeError(f"token for {kind} {name}: {status} {answer}")
        return answer["token"]

    def member(self, kind, name):
        """A new user, node or service of that name, enrolled."""
        if kind == "user":
            self.call(self.operator, "POST", self.url("clearinghouse") + "/v1/users", {"name": name})
        return self.enrol(name, self.token(kind, name))

    def credential(self, identity, slice_name=None):
        """The text for Jogak-Credential: of a slice, or an operator's for everything."""
        path = f"/v1/slices/{slice_name}/credential" if slice_name else "/v1/credential"
        status, _, answer = self.call(identity, "GET", self.url("clearinghouse") + path)
        if status != 200:
            raise RuntimeError(f"credential: {status} {answer}")
        return answer["credential"]

    # --- calls ---
    def context(self, identity):
        return identity.context() if identity else anonymous_context(self.authority)

    def call(self, identity, method, url, body=None, headers=None, credential=None):
        """(status, headers in lower case, body: JSON when it is, else bytes). A dict or list is sent as JSON."""
        host, _, path = url.removeprefix("https://").partition("/")
        connection = http.client.HTTPSConnection(host, timeout=30, context=self.context(identity))
        headers = dict(headers or {})
        if credential:
            headers["Jogak-Credential"] = credential
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, "/" + path, body, headers)
            response = connection.getresponse()
            raw, got = response.read(), {k.lower(): v for k, v in response.getheaders()}
        finally:
            connection.close()
        is_json = got.get("content-type", "").partition(";")[0] in ("application/json", "application/problem+json")
        return response.status, got, json.loads(raw) if is_json and raw else raw

    def connect(self, service, identity=None):
        """A TLS socket to it."""
        plain = socket.create_connection(("127.0.0.1", self.ports[service]), 10)
        return self.context(identity).wrap_socket(plain, server_hostname="127.0.0.1")
