"""Own keys: what is kept opens nothing, and what is no key is none."""

import hmac
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.access.api_keys import ID_BYTES, SECRET_BYTES, new_key, parse_authorization

NOW = datetime(2026, 11, 28, tzinfo=UTC)
SHAPE = r"weir_(?:([a-z2-7]{2,103})_)?([a-z2-7]{16})_([A-Za-z0-9_-]{43})"
TEXT, KEPT = new_key(bytes(range(ID_BYTES + SECRET_BYTES)), "acme", "checkout", NOW)


def test_a_key_opens_by_its_secret_and_only_a_hash_of_it_is_kept() -> None:
    parsed = parse_authorization(f"Bearer {TEXT}")
    assert parsed is not None
    key_id, secret, tenant = parsed
    assert tenant == "acme" and key_id == KEPT.id
    assert KEPT.refusal(secret, NOW) is None
    assert secret not in repr(KEPT) and TEXT not in repr(KEPT)


@pytest.mark.parametrize(
    "header",
    [
        None, "", "Bearer", "Bearer ", TEXT, f"Basic {TEXT}", f"Bearer {TEXT}x", f"Bearer {TEXT[:-1]}", "Bearer sk-1",
        f"Bearer {TEXT.upper()}", "Bearer weir__", f"Bearer {TEXT}, Bearer {TEXT}", "Bearer \x00",
        f"AWS4-HMAC-SHA256 Credential={TEXT}",
    ],
)  # fmt: skip
def test_a_header_of_another_shape_holds_no_key(header: str | None) -> None:
    assert parse_authorization(header) is None


@pytest.mark.parametrize("tenant", ["acme", "eu/Acme_1@2", "sub:x", "x" * 64, "123456789012/role+a=b,c"])
def test_a_key_names_its_tenant_whatever_a_tenant_may_be_called(tenant: str) -> None:
    text, _ = new_key(bytes(range(ID_BYTES + SECRET_BYTES)), tenant, "checkout", NOW)
    parsed = parse_authorization(f"Bearer {text}")
    assert parsed is not None and parsed.tenant == tenant


def test_a_key_without_a_tenant_or_with_one_that_is_no_text_says_of_none() -> None:
    head, _, rest = TEXT.removeprefix("weir_").partition("_")
    for begin in ("", "77777777_", "aaa_"):
        parsed = parse_authorization(f"Bearer weir_{begin}{rest}")
        assert parsed is not None and parsed.tenant is None, begin
    assert parse_authorization(f"Bearer weir_{head}1_{rest}") is None


@given(st.from_regex(SHAPE, fullmatch=True), st.integers(0, 160), st.sampled_from([*"aZ2-_ \n", "weir_", ""]))
def test_a_header_holds_a_key_where_its_text_has_the_shape_of_one(text: str, at: int, put: str) -> None:
    for written in (text, text[:at] + put + text[at:], text[:at] + put + text[at + 1 :]):
        expected = re.fullmatch(SHAPE, written.strip())
        parsed = parse_authorization(f"Bearer {written}")
        assert (parsed is not None) == (expected is not None)
        if parsed is not None and expected is not None:
            assert (parsed.id, parsed.secret) == (expected[2], expected[3])
            assert expected[1] is not None or parsed.tenant is None


def test_spaces_and_the_schemes_capitals_are_as_http_has_them() -> None:
    assert parse_authorization(f"  bearer   {TEXT} ") == parse_authorization(f"Bearer {TEXT}")


@pytest.mark.parametrize(
    ("change", "at", "says"),
    [
        ({"expires_at": NOW}, NOW, "expired"),
        ({"expires_at": NOW + timedelta(seconds=1)}, NOW, None),
        ({"revoked_at": NOW}, NOW, "revoked"),
        ({"revoked_at": NOW + timedelta(days=1)}, NOW, None),
        # A clock that jumps back opens nothing that a key's day closed.
        ({"expires_at": NOW - timedelta(days=1)}, NOW, "expired"),
    ],
)
def test_a_key_opens_until_it_expires_or_is_revoked(
    change: dict[str, datetime], at: datetime, says: str | None
) -> None:
    parsed = parse_authorization(f"Bearer {TEXT}")
    assert parsed is not None
    reason = KEPT._replace(**change).refusal(parsed[1], at)
    assert reason is None if says is None else says in str(reason)


def test_a_wrong_secret_is_refused_without_saying_what_is_wrong() -> None:
    revoked = KEPT._replace(revoked_at=NOW)
    assert (
        revoked.refusal("x" * 43, NOW) == KEPT.refusal("x" * 43, NOW) == "expected a key that was made here"
    )


def test_keys_are_made_from_all_of_their_random_bytes() -> None:
    with pytest.raises(ValueError, match="expected 42 bytes, got 41"):
        new_key(b"x" * 41, "acme", "n", NOW)
    texts = {new_key(bytes([i] * 42), "acme", "n", NOW)[0] for i in range(256)}
    assert len(texts) == 256


@pytest.mark.parametrize("change", [{}, {"revoked_at": NOW}, {"expires_at": NOW}])
@pytest.mark.parametrize("right", [True, False])
def test_a_secret_is_compared_once_in_constant_time_whatever_else_is_wrong_with_its_key(
    right: bool, change: dict[str, datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def noted(a: str, b: str) -> bool:
        compared.append((len(a), len(b)))
        return compare(a, b)

    monkeypatch.setattr("weir.access.api_keys.hmac.compare_digest", noted)
    parsed = parse_authorization(f"Bearer {TEXT}")
    assert parsed is not None
    KEPT._replace(**change).refusal(parsed[1] if right else "x" * 43, NOW)
    assert compared == [(64, 64)]  # of hashes, so that not even a length shows
