"""The recipes of docs/secrets.md bring the secret from where people keep it, and a refresh works with it.

Vault alone is a stand-in, a server that answers as its KV engine (version 2) does: it can't be installed from the
package registries.
"""

from __future__ import annotations

import json
import pickle
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Iterator

import pytest

from aries_auth import AriesAuth, ConfigurationError, TokenRequestError
from aries_auth.testing import AriesSandbox
from tests.ecosystem.pages import block

pytestmark = [pytest.mark.ci, pytest.mark.usefixtures("no_secret_in_the_environment")]


@pytest.fixture
def no_secret_in_the_environment(aries_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARIES_CLIENT_SECRET")


def recipe(name: str) -> AriesAuth:
    """The `auth` that a recipe of the page makes."""
    module: dict[str, Any] = {"AriesAuth": AriesAuth}
    exec(block("secrets", "python", f"def {name}("), module)
    auth = module["auth"]
    assert isinstance(auth, AriesAuth)
    return auth


def test_without_a_secret_the_error_names_both_variables() -> None:
    with pytest.raises(ConfigurationError, match=r"ARIES_CLIENT_SECRET.*ARIES_CLIENT_SECRET_FILE"):
        AriesAuth().refresh()


def test_from_the_environment(aries_sandbox: AriesSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARIES_CLIENT_SECRET", aries_sandbox.client_secret)
    AriesAuth().refresh()
    assert aries_sandbox.refresh_count == 1


def test_from_a_docker_secret_file(
    aries_sandbox: AriesSandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "aries_client_secret"
    file.write_text(f"{aries_sandbox.client_secret}\n")
    file.chmod(0o444)
    monkeypatch.setenv("ARIES_CLIENT_SECRET_FILE", str(file))
    AriesAuth().refresh()
    assert aries_sandbox.refresh_count == 1


def test_a_kubernetes_secret_that_is_swapped_is_used_from_the_next_refresh_on(
    aries_sandbox: AriesSandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mount = tmp_path / "etc-aries"
    for generation, secret in (("..1", "old"), ("..2", aries_sandbox.client_secret)):
        (mount / generation).mkdir(parents=True)
        (mount / generation / "client-secret").write_text(secret)
    (mount / "..data").symlink_to("..1")
    (mount / "client-secret").symlink_to("..data/client-secret")
    monkeypatch.setenv("ARIES_CLIENT_SECRET_FILE", str(mount / "client-secret"))
    auth = AriesAuth()
    with pytest.raises(TokenRequestError) as caught:
        auth.refresh()
    assert caught.value.error == "invalid_client"
    (mount / "..data_tmp").symlink_to("..2")
    (mount / "..data_tmp").replace(mount / "..data")
    auth.refresh()
    assert aries_sandbox.refresh_count == 1


@pytest.fixture
def keyring() -> Iterator[Any]:
    keyring = pytest.importorskip("keyring")
    from keyring.backend import KeyringBackend

    class Memory(KeyringBackend):
        priority = 1

        def __init__(self) -> None:
            super().__init__()
            self.passwords: dict[tuple[str, str], str] = {}

        def get_password(self, service: str, username: str) -> str | None:
            return self.passwords.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            self.passwords[service, username] = password

    before = keyring.get_keyring()
    keyring.set_keyring(Memory())
    yield keyring
    keyring.set_keyring(before)


def test_from_the_keyring(aries_sandbox: AriesSandbox, keyring: Any) -> None:
    keyring.set_password("aries-auth", "client-secret", aries_sandbox.client_secret)
    recipe("from_keyring").refresh()
    assert aries_sandbox.refresh_count == 1


def test_a_keyring_without_the_secret_says_that_it_returned_none(keyring: Any) -> None:
    with pytest.raises(ConfigurationError, match="returned no text"):
        recipe("from_keyring").refresh()


def test_from_aws_secrets_manager(aries_sandbox: AriesSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    boto3 = pytest.importorskip("boto3")
    moto = pytest.importorskip("moto")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with moto.mock_aws():
        manager = boto3.client("secretsmanager")
        manager.create_secret(Name="aries/client-secret", SecretString="old")
        auth = recipe("from_aws")
        with pytest.raises(TokenRequestError):
            auth.refresh()
        manager.put_secret_value(SecretId="aries/client-secret", SecretString=aries_sandbox.client_secret)
        auth.refresh()
    assert aries_sandbox.refresh_count == 1


def test_aws_that_refuses_is_told_by_its_kind_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("boto3")
    moto = pytest.importorskip("moto")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with moto.mock_aws(), pytest.raises(ConfigurationError, match="raised ResourceNotFoundException"):
        recipe("from_aws").refresh()


@pytest.fixture
def vault(aries_sandbox: AriesSandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    pytest.importorskip("hvac")
    stored = {"data": {"client_secret": aries_sandbox.client_secret}, "metadata": {"version": 1, "destroyed": False}}

    class Vault(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            allowed = self.headers["X-Vault-Token"] == "vault-token"
            found = self.path.partition("?")[0] == "/v1/secret/data/aries"
            body = json.dumps({"data": stored} if allowed and found else {"errors": ["permission denied"]}).encode()
            self.send_response(200 if allowed and found else 403)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Vault) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("VAULT_ADDR", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("VAULT_TOKEN", "vault-token")
        yield
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("vault")
def test_from_vault(aries_sandbox: AriesSandbox) -> None:
    recipe("from_vault").refresh()
    assert aries_sandbox.refresh_count == 1


@pytest.mark.usefixtures("vault")
def test_vault_that_refuses_is_told_by_its_kind_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "another")
    with pytest.raises(ConfigurationError, match="raised Forbidden"):
        recipe("from_vault").refresh()


def secret_of_this_module() -> str:
    return "the-secret"


def test_a_callable_travels_and_a_secret_of_the_environment_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARIES_CLIENT_SECRET", "the-secret")
    for auth in (AriesAuth(client_secret=secret_of_this_module), AriesAuth()):
        assert b"the-secret" not in pickle.dumps(auth)
    assert b"the-secret" in pickle.dumps(AriesAuth(client_secret="the-secret"))


def test_nothing_asks_for_the_secret_while_the_token_is_fresh() -> None:
    asked = []
    auth = AriesAuth(client_secret=lambda: str(asked.append(1)))
    auth.get_token()
    assert asked == []
