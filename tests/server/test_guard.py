"""Who may not come does not come in, and learns nothing."""

from __future__ import annotations

import http.client

import httpx
import pytest

from worlds.serving import TOKEN, Server

FILES = "/api/v1/files"


def ask(server: Server, path: str = FILES, **headers: str) -> httpx.Response:
    """The answer to a request that knows the token, unless the headers say otherwise."""
    return httpx.get(server.address + path, headers={"Authorization": f"Bearer {TOKEN}", **headers})


def test_with_the_token_one_comes_in(server: Server) -> None:
    assert ask(server).status_code == 200


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer wrong", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Token {TOKEN}", "Basic !!!"],
)
def test_without_the_token_nobody_does(server: Server, value: str) -> None:
    response = ask(server, Authorization=value)
    assert (response.status_code, response.json()["code"]) == (401, "TOKEN_WRONG")


def test_the_token_in_an_address_opens_nothing(server: Server) -> None:
    assert httpx.get(f"{server.address}{FILES}?t={TOKEN}&token={TOKEN}").status_code == 401
    assert httpx.get(f"{server.address}/t/{TOKEN}{FILES}").status_code == 401
    assert httpx.get(f"{server.address}/t/{server.settings.dialect_token}{FILES}").status_code == 401


def test_the_token_of_other_viewers_opens_no_files(server: Server) -> None:
    assert ask(server, Authorization=f"Bearer {server.settings.dialect_token}").status_code == 401


def test_who_guesses_has_to_wait(server: Server) -> None:
    statuses = [ask(server, Authorization=f"Bearer {number}").status_code for number in range(25)]
    assert statuses[:20] == [401] * 20
    assert set(statuses[20:]) == {429}
    assert ask(server).status_code == 200  # who knows the token is let in all the same


def test_who_guesses_passwords_has_to_wait_too(server: Server) -> None:
    def login(password: str) -> httpx.Response:
        return httpx.post(f"{server.address}/auth/token", data={"username": "me", "password": password})

    for number in range(15):
        ask(server, Authorization=f"Bearer {number}")
    answers = [login(str(number)) for number in range(8)]
    assert [each.status_code for each in answers] == [401] * 5 + [429] * 3  # one count for both ways
    assert answers[-1].headers["retry-after"] == "60"
    assert ask(server, Authorization="Bearer wrong").status_code == 429
    assert login(TOKEN).json()["token_type"] == "bearer"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "user@127.0.0.1", "localhost.evil.example"])
def test_another_name_for_this_machine_is_refused(server: Server, host: str) -> None:
    assert ask(server, Host=host).status_code in (400, 421)


def test_two_names_at_once_are_refused(server: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.settings.port, timeout=10)
    connection.putrequest("GET", FILES, skip_host=True)
    connection.putheader("Host", f"127.0.0.1:{server.settings.port}")
    connection.putheader("Host", "evil.example")
    connection.putheader("Authorization", f"Bearer {TOKEN}")
    connection.endheaders()
    response = connection.getresponse()
    response.read()
    connection.close()
    assert response.status == 400


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}])
def test_pages_of_others_may_not_call(server: Server, headers: dict[str, str]) -> None:
    response = ask(server, **headers)
    assert (response.status_code, response.json()["code"]) == (403, "ORIGIN_FOREIGN")
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_link_from_another_site_opens_the_page_and_nothing_else(server: Server, site: str) -> None:
    assert ask(server, **{"Sec-Fetch-Site": site}).status_code == 403
    assert ask(server, "/", **{"Sec-Fetch-Site": site}).status_code == 200


def test_every_answer_carries_the_strict_headers(server: Server) -> None:
    for path in ("/", FILES, "/nothing", "/assets/main.js"):
        headers = ask(server, path).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers
        assert "set-cookie" not in headers


def test_long_headers_are_refused(server: Server) -> None:
    assert ask(server, **{"X-Meta": "x" * 9000}).status_code == 431


def test_what_needs_no_token_says_nothing(server: Server) -> None:
    assert httpx.get(f"{server.address}/healthz").json() == {"ok": True}
    assert httpx.get(f"{server.address}/assets/%2e%2e/service.py").status_code in (401, 404)
    assert httpx.get(f"{server.address}/assets/nothing.js").status_code == 404
