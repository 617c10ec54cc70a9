"""HTTPS calls to the services and agents of a LiveLab, with anybody's certificate."""
import http.client
import json
import ssl
import subprocess
from pathlib import Path


class Caller:
    """Key and certificate in files identity.key and identity.crt (as services, agents and users keep them), or none."""

    def __init__(self, lab, folder=None, authority=None):
        self.lab, self.folder = lab, Path(folder) if folder else None
        self.authority = authority or lab.home / "identity.ca"

    def context(self, version=None):
        context = ssl.create_default_context(cafile=str(self.authority))
        context.check_hostname = False
        context.minimum_version = version or ssl.TLSVersion.TLSv1_3
        if version:
            context.maximum_version = version
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
        if self.folder:
            context.load_cert_chain(self.folder / "identity.crt", self.folder / "identity.key")
        return context

    def call(self, host, port, method, path, body=None, headers=None, timeout=20, version=None):
        """(status, parsed answer or text); (None, the error) when TLS or the connection says no."""
        link = http.client.HTTPSConnection(host, port, timeout=timeout, context=self.context(version))
        headers = dict(headers or {})
        if body is not None:
            body, headers["Content-Type"] = json.dumps(body), "application/json"
        try:
            link.request(method, path, body, headers)
            answer = link.getresponse()
            text = answer.read().decode("utf-8", "replace")
            return answer.status, json.loads(text) if "json" in (answer.getheader("Content-Type") or "") else text
        except (OSError, http.client.HTTPException) as error:
            return None, error
        finally:
            link.close()

    def service(self, name, method, path, body=None, headers=None, **options):
        return self.call(f"10.{200 + self.lab.number}.0.1", PORTS[name], method, path, body, headers, **options)

    def agent(self, host, method, path, body=None, headers=None, **options):
        return self.call(f"10.{200 + self.lab.number}.0.{10 + int(host[1:])}", AGENT_PORT, method, path, body, headers, **options)


PORTS = {"clearinghouse": 8401, "aggregate": 8402, "sliverstore": 8403}
AGENT_PORT = 8404


def operator(lab):
    return Caller(lab, lab.home)


def service(lab, name):
    return Caller(lab, lab.state_dir(name))


def node(lab, host):
    return Caller(lab, lab.root(host) / "var/lib/jogak/nodemgr")


def stranger(lab, folder, urn):
    """Somebody who names himself as he likes, in a certificate of his own authority."""
    folder = Path(folder)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=stranger", "-addext", f"subjectAltName=URI:{urn}", "-keyout", folder / "identity.key",
                    "-out", folder / "identity.crt"], check=True, capture_output=True)
    return Caller(lab, folder)
