"""The example for nginx in docs/serve.md, as it stands there, in front of the service."""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import Server
from listening import certificate, listening
from programs import needs_program

from radretrieval.config import Settings

ROOT = Path(__file__).parents[2]
NAME = "radret.hospital.example"
MAIN = """{user}
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
{server}
}}
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def settings_of_page(page: str, port: int) -> dict[str, str]:
    """The settings that the page names behind the example."""
    lines = page.partition("```nginx")[2].partition("```")[2].partition("With users in a file")[0]
    found = {name.lower(): value for name, value in re.findall(r"RADRETRIEVAL_SERVE_(\w+)=(\S+)", lines)}
    assert found.keys() >= {"url", "user_header", "proxies"}
    return found | {"url": found["url"].replace(NAME, f"{NAME}:{port}")}


@pytest.fixture(scope="module")
def proxy(server: Server, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    nginx = needs_program("nginx")
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    folder.chmod(0o755)
    key, cert = certificate(folder, NAME)
    page = (ROOT / "docs" / "serve.md").read_text(encoding="utf-8")
    (folder / "users").write_text("anna:{PLAIN}password of anna\notto:{PLAIN}password of otto\n")
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    with (
        server.database(template=migrated_template) as settings.database_url,
        listening(settings, **settings_of_page(page, port), largest_upload="1 MB") as behind,
    ):
        block = re.findall(r"```nginx\n(.*?)```", page, re.DOTALL)[0]
        for said, here in (
            ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
            ("/etc/ssl/radret.pem", str(cert)),
            ("/etc/ssl/radret.key", str(key)),
            ("/etc/nginx/radret.users", str(folder / "users")),
            ("127.0.0.1:8000", f"127.0.0.1:{behind}"),
        ):
            assert block.count(said) == 1, said
            block = block.replace(said, here)
        file = folder / "nginx.conf"
        file.write_text(MAIN.format(user="user root;" if os.geteuid() == 0 else "", folder=folder, server=block))
        command = [str(nginx), "-p", str(folder), "-c", str(file), "-e", str(folder / "error.log")]
        tried = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
        assert tried.returncode == 0, tried.stderr
        running = subprocess.Popen(command)
        try:
            yield Proxy(port, cert, behind)
        finally:
            running.terminate()
            running.wait(10)


class Proxy:
    """nginx on a port, with the service behind it."""

    def __init__(self, port: int, cert: Path, behind: int) -> None:
        self.port, self.behind = port, behind
        self._context = ssl.create_default_context(cafile=str(cert))

    def ask(self, method: str, path: str, user: str = "", body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        """The status and body of the answer to a user of the proxy."""
        connection = http.client.HTTPSConnection(NAME, self.port, context=self._context, timeout=10)
        deadline = time.monotonic() + 5
        while True:  # nginx comes up while the first test asks
            try:
                plain = socket.create_connection(("127.0.0.1", self.port), 10)
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "nginx does not listen"
                time.sleep(0.05)
        connection.sock = self._context.wrap_socket(plain, server_hostname=NAME)
        if user:
            headers["Authorization"] = f"Basic {b64encode(f'{user}:password of {user}'.encode()).decode()}"
        try:
            connection.request(method, path, body or None, {name.replace("_", "-"): v for name, v in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def test_the_proxy_says_who_it_is_and_its_clients_cannot(proxy: Proxy) -> None:
    assert proxy.ask("GET", "/films/api/session")[0] == 401
    status, said = proxy.ask("GET", "/films/api/session", "otto", X_Remote_User="anna", X_Groups="it")
    assert status == 200
    assert b'"user":"otto","roles":["search"]' in said
    assert b'"roles":["admin","search"]' in proxy.ask("GET", "/films/api/session", "anna")[1]
    assert proxy.ask("GET", "/films/", "otto")[0] == 200
    assert proxy.ask("GET", "/api/session", "otto")[0] == 404  # not below the path


def test_writing_passes_the_proxy(proxy: Proxy) -> None:
    said = proxy.ask("GET", "/films/api/session", "anna")[1].decode()
    token = re.findall(r'"csrf":"(\w+)"', said)[0]
    origin = f"https://{NAME}:{proxy.port}"
    assert proxy.ask("POST", "/films/api/logout", "anna", Origin=origin, X_CSRF_Token=token)[0] == 200
    assert proxy.ask("POST", "/films/api/logout", "anna", Origin=origin)[0] == 403
    assert proxy.ask("POST", "/films/api/logout", "anna", Origin="https://evil.example", X_CSRF_Token=token)[0] == 403


def test_an_upload_that_is_too_large_is_refused_through_the_proxy(proxy: Proxy) -> None:
    form = {"Content_Type": "multipart/form-data; boundary=x"}
    assert proxy.ask("POST", "/films/api/search", "anna", bytes(1_100_000), **form)[0] == 413
