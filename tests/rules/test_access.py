"""Who may do what: tokens, sessions of people, and what a foreign page can make a browser send."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bridge.settings import SettingsError, load
from streams.access import Access, Asked, Denied, Granted, Scope, is_open
from streams.api_settings import ApiSettings
from streams.origins import is_same

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
READ, OPERATE = "r-secret", "o-secret"
NONCE = "n" * 16
BOTH = Access(SecretStr(READ), SecretStr(OPERATE))
ONLY_READ = Access(SecretStr(READ), None)
ONLY_OPERATE = Access(None, SecretStr(OPERATE))
NEITHER = Access(None, None)


def judged(access: Access, token: str | None = None, method: str = "GET", **asked: object) -> object:
    """The scope that a request gets, or the status and code that it ends with."""
    values = (f"Bearer {token}",) if token is not None else ()
    found = access.judge(Asked(method, "/v1/transactions", **{"authorization": values} | asked), NOW)  # type: ignore[arg-type]
    return found.scope if isinstance(found, Granted) else (found.status, found.code)


@pytest.mark.parametrize(
    ("access", "token", "read", "operate"),
    [
        (BOTH, READ, Scope.READ, (403, "operate-token-needed")),
        (BOTH, OPERATE, Scope.OPERATE, Scope.OPERATE),
        (BOTH, None, (401, "token-missing"), (401, "token-missing")),
        (BOTH, "other", (401, "token-wrong"), (401, "token-wrong")),
        (BOTH, "", (401, "token-wrong"), (401, "token-wrong")),
        (BOTH, READ[:-1], (401, "token-wrong"), (401, "token-wrong")),
        (BOTH, f"{READ}x", (401, "token-wrong"), (401, "token-wrong")),
        (BOTH, "\udcff", (401, "token-wrong"), (401, "token-wrong")),
        (ONLY_READ, READ, Scope.READ, (403, "operate-token-needed")),
        (ONLY_READ, OPERATE, (401, "token-wrong"), (401, "token-wrong")),
        (ONLY_OPERATE, OPERATE, Scope.OPERATE, Scope.OPERATE),
        (ONLY_OPERATE, READ, (401, "token-wrong"), (401, "token-wrong")),
        (NEITHER, None, Scope.OPERATE, Scope.OPERATE),
        (NEITHER, "any", Scope.OPERATE, Scope.OPERATE),
    ],
)
def test_operate_includes_read_and_nothing_else_opens(
    access: Access, token: str | None, read: object, operate: object
) -> None:
    assert [judged(access, token, method) for method in ("GET", "HEAD", "OPTIONS")] == [read] * 3
    assert [judged(access, token, method) for method in ("POST", "PUT", "DELETE", "BREW")] == [operate] * 4


@pytest.mark.parametrize(
    "values",
    [
        (READ,),
        (f"Basic {READ}",),
        (f"Bearer {READ} more",),
        ("Bearer",),
        ("",),
        (f"Bearer {READ}", f"Bearer {READ}"),
        (f"Bearer {READ}", "Bearer other"),
    ],
)
def test_there_is_one_way_to_say_a_token(values: tuple[str, ...]) -> None:
    assert judged(BOTH, authorization=values) == (401, "token-wrong")
    assert judged(BOTH, authorization=(f"bEARER   {READ} ",)) is Scope.READ


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """What was compared in constant time, as far as somebody could look at it."""
    pairs: list[tuple[bytes, bytes]] = []
    in_constant_time = hmac.compare_digest

    def compare(said: str | bytes, known: str | bytes) -> bool:
        one, other = (each.encode() if isinstance(each, str) else each for each in (said, known))
        pairs.append((one, other))
        return in_constant_time(one, other)

    monkeypatch.setattr("streams.access.hmac.compare_digest", compare)
    return pairs


@pytest.mark.parametrize("token", [READ, OPERATE, "other", "", READ[:-1]])
def test_how_long_an_answer_takes_tells_nothing_of_a_token(token: str, compared: list[tuple[bytes, bytes]]) -> None:
    judged(BOTH, token)
    sent, *known = (sha256(each.encode()).digest() for each in (token, READ, OPERATE))
    assert compared == [(sent, each) for each in known], "both, whichever it is, and digests, which are of one length"
    compared.clear()
    BOTH.log_in(token, NOW, 3_600, NONCE)
    assert compared == [(sent, each) for each in known]


def test_nor_does_it_of_a_session_or_its_csrf_token(compared: list[tuple[bytes, bytes]]) -> None:
    session = cookie(BOTH, OPERATE)
    signature = session.rpartition(".")[2]
    csrf = BOTH.csrf_token(session)
    for last in (signature, "0" * 64, signature[:-1] + ("1" if signature[-1] == "0" else "0")):
        compared.clear()
        BOTH.scope_of_session(session.removesuffix(signature) + last, NOW)
        assert compared == [(last.encode(), signature.encode())]
    for said in (csrf, "0" * 64, csrf[:-1], "", None):
        compared.clear()
        judged(BOTH, method="POST", session=session, csrf=said)
        assert compared == [(signature.encode(),) * 2, (csrf.encode(), (said or "").encode())]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/version", "/login", "/assets/pages.css"])
def test_a_few_paths_are_open(path: str) -> None:
    assert is_open(path)
    assert BOTH.judge(Asked("GET", path), NOW) == Granted(None)


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/metrics", "/v1/summary", "/internal/transactions", "/table/", "/openapi.json"),
        *("/livez/", "//livez", "/livezz", "/Livez", "/login/x", "*", ""),
        *("/assets", "/assets/../v1/summary", "/assets//v1"),
    ],
)
def test_everything_else_is_closed(path: str) -> None:
    found = BOTH.judge(Asked("GET", path), NOW)
    assert isinstance(found, Denied)
    assert found.challenge == 'Bearer realm="brh"'


def cookie(access: Access, token: str) -> str:
    found = access.log_in(token, NOW, 3_600, NONCE)
    assert found is not None
    return found


@pytest.mark.parametrize(("token", "scope"), [(READ, Scope.READ), (OPERATE, Scope.OPERATE)])
def test_a_session_may_what_its_token_may_until_it_ends_or_the_token_changes(token: str, scope: Scope) -> None:
    session = cookie(BOTH, token)
    assert token not in session
    assert BOTH.scope_of_session(session, NOW) is scope
    assert judged(BOTH, session=session) is scope
    assert BOTH.scope_of_session(session, NOW + timedelta(seconds=3_599)) is scope
    assert BOTH.scope_of_session(session, NOW + timedelta(seconds=3_600)) is None
    other = Access(SecretStr("x"), SecretStr("y"))
    assert other.scope_of_session(session, NOW) is None
    assert judged(other, session=session) == (401, "session-ended")
    assert NEITHER.scope_of_session(session, NOW) is None


def test_a_wrong_token_logs_nobody_in() -> None:
    for token in ("", "other", READ[:-1]):
        assert BOTH.log_in(token, NOW, 3_600, NONCE) is None
    assert NEITHER.log_in("", NOW, 3_600, NONCE) is None


@given(st.data())
def test_no_other_cookie_is_a_session(data: st.DataObject) -> None:
    session = cookie(BOTH, READ)
    at = data.draw(st.integers(0, len(session) - 1))
    other = data.draw(st.characters().filter(lambda each: each != session[at]))
    assert BOTH.scope_of_session(session[:at] + other + session[at + 1 :], NOW) is None
    assert BOTH.scope_of_session(data.draw(st.text(max_size=200)), NOW) is None


def test_who_may_read_cannot_make_a_session_that_may_more() -> None:
    scope, rest = cookie(BOTH, READ).split(".", 1)
    assert (scope, BOTH.scope_of_session(f"operate.{rest}", NOW)) == ("read", None)
    # Made with the read token, which a reader knows.
    forged = Access(None, SecretStr(READ)).log_in(READ, NOW, 3_600, NONCE)
    assert forged is not None
    assert BOTH.scope_of_session(forged, NOW) is None


def test_a_session_changes_something_only_with_its_own_csrf_token() -> None:
    session, another = cookie(BOTH, OPERATE), BOTH.log_in(OPERATE, NOW, 3_600, "m" * 16)
    assert another is not None
    right = BOTH.csrf_token(session)
    assert right not in session
    assert judged(BOTH, method="POST", session=session, csrf=right) is Scope.OPERATE
    for wrong in (None, "", right[:-1], session, BOTH.csrf_token(another), "\udcff"):
        assert judged(BOTH, method="POST", session=session, csrf=wrong) == (403, "csrf-token-wrong")
    assert judged(BOTH, session=session) is Scope.OPERATE
    reader = cookie(BOTH, READ)
    asked = {"method": "POST", "session": reader, "csrf": BOTH.csrf_token(reader)}
    assert judged(BOTH, **asked) == (403, "operate-token-needed")  # type: ignore[arg-type]
    assert BOTH.csrf_token("junk") == NEITHER.csrf_token(session) == ONLY_READ.csrf_token(session) == ""


def test_a_header_counts_before_a_cookie() -> None:
    assert judged(BOTH, "other", session=cookie(BOTH, READ)) == (401, "token-wrong")


def test_a_program_of_ours_sends_no_more_than_it_needs() -> None:
    assert BOTH.headers(Scope.READ) == ONLY_READ.headers(Scope.OPERATE) == {"Authorization": f"Bearer {READ}"}
    assert BOTH.headers(Scope.OPERATE) == ONLY_OPERATE.headers(Scope.READ) == {"Authorization": f"Bearer {OPERATE}"}
    assert NEITHER.headers(Scope.OPERATE) == {}


@pytest.mark.parametrize("bind", ["127.0.0.1:6066", "localhost:6066", "[::1]:6066", "127.1.2.3:1"])
def test_without_tokens_only_this_machine_is_served(bind: str) -> None:
    assert ApiSettings(api_bind=bind).api_bind == bind


@pytest.mark.parametrize("bind", ["0.0.0.0:6066", "[::]:6066", "10.0.0.1:6066", "brh.example:6066", ":6066"])
def test_without_tokens_nobody_else_is_served(bind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRH_API_BIND", bind)
    with pytest.raises(SettingsError, match="BRH_API_BIND") as caught:
        load(ApiSettings)
    assert "loopback" in str(caught.value) or bind == ":6066"
    monkeypatch.setenv("BRH_API_OPERATE_TOKEN", "")
    with pytest.raises(SettingsError, match="BRH_API_BIND"):
        load(ApiSettings)
    monkeypatch.setenv("BRH_API_OPERATE_TOKEN", OPERATE)
    if bind != ":6066":
        assert load(ApiSettings).api_bind == bind


@pytest.mark.parametrize("wrong", ["a b", "\u00fc", "x" * 513, "a\n"])
def test_a_token_that_no_header_can_hold_is_refused_and_not_shown(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRH_API_READ_TOKEN", wrong)
    with pytest.raises(SettingsError, match="BRH_API_READ_TOKEN") as caught:
        load(ApiSettings)
    assert wrong not in str(caught.value)


def test_a_token_is_in_no_repr() -> None:
    settings = ApiSettings(api_read_token=SecretStr(READ), api_operate_token=SecretStr(OPERATE))
    access = Access(settings.api_read_token, settings.api_operate_token)
    for shown in (repr(settings), str(settings), repr(access), repr(vars(access))):
        assert READ not in shown
        assert OPERATE not in shown


@pytest.mark.parametrize(
    ("bind", "advertised", "url"),
    [
        ("127.0.0.1:6066", "", "http://127.0.0.1:6066"),
        ("[::1]:6066", "", "http://[::1]:6066"),
        ("0.0.0.0:6066", "tracker-1", "http://tracker-1:6066"),
        ("[::]:6066", "fd00::1", "http://[fd00::1]:6066"),
    ],
)
def test_other_trackers_are_told_where_to_ask(bind: str, advertised: str, url: str) -> None:
    settings = ApiSettings(api_read_token=SecretStr(READ), api_bind=bind, api_advertised_host=advertised)
    assert settings.api_url == url


def test_on_all_addresses_it_is_the_name_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    assert ApiSettings(api_read_token=SecretStr(READ), api_bind="0.0.0.0:1").api_url == "http://here:1"


def test_a_browser_says_where_a_page_is_from() -> None:
    assert is_same("https://brh.example", "inner:6066", "same-origin")
    assert is_same("http://Brh.example:6066", "brh.example:6066", None)
    assert not is_same("https://evil.example", "brh.example", "cross-site")
    assert not is_same("null", "brh.example", None)
    assert not is_same("null", "", None)
