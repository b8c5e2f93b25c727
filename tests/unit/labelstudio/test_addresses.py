"""Which hosts may be asked."""

from __future__ import annotations

import ipaddress
import time

import pytest

from backend.labelstudio.addresses import AddressGuard, AllowedHosts, is_public
from backend.labelstudio.deadline import finish_by
from backend.labelstudio.shown_url import shown_url
from backend.runtime.errors import FetchError, SettingsError

NONE = AllowedHosts()


def guard(*allowed: str, **names: list[str]) -> AddressGuard:
    """`names`: host (with _ for .) -> addresses."""
    table = {name.replace("_", "."): found for name, found in names.items()}

    def resolver(host: str, port: int) -> list[str]:
        if host not in table:
            raise OSError("unknown")
        return table[host]

    return AddressGuard(AllowedHosts.parse(allowed), resolver)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1",
        "169.254.169.254", "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1",
        "255.255.255.255",
        "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001:db8::1",
        "2001::1", "100::1",
    ],
)  # fmt: skip
def test_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


def test_no_allowed_hosts() -> None:
    assert AllowedHosts.parse([]) == NONE
    assert not NONE.allow_name("localhost", 80)
    assert not NONE.allow_address(ipaddress.ip_address("127.0.0.1"), 80)


def test_allowed_names() -> None:
    allowed = AllowedHosts.parse(["Minio", "files.lan:9000", "büro.example"])
    assert allowed.allow_name("minio", 80)
    assert allowed.allow_name("MINIO", 9000)
    assert allowed.allow_name("files.lan", 9000)
    assert not allowed.allow_name("files.lan", 80)
    assert not allowed.allow_name("x.files.lan", 9000)
    assert allowed.allow_name("xn--bro-hoa.example", 443)


def test_allowed_addresses() -> None:
    allowed = AllowedHosts.parse(["10.0.0.0/8", "127.0.0.1:9000", "[fd00::1]:80", "fd01::/16"])
    ip = ipaddress.ip_address
    assert allowed.allow_address(ip("10.200.0.1"), 1)
    assert allowed.allow_address(ip("::ffff:10.0.0.1"), 1)
    assert allowed.allow_address(ip("127.0.0.1"), 9000)
    assert not allowed.allow_address(ip("127.0.0.1"), 9001)
    assert not allowed.allow_address(ip("11.0.0.1"), 1)
    assert allowed.allow_address(ip("fd00::1"), 80)
    assert not allowed.allow_address(ip("fd00::1"), 81)
    assert allowed.allow_address(ip("fd01::7"), 81)


@pytest.mark.parametrize(
    "entry",
    ["", "*", "*.lan", "http://minio", "minio/", "minio:", "minio:0", "minio:99999", "minio:http",
     "user@minio", "a b", "[::1]:x"],
)  # fmt: skip
def test_allowed_host_not_understood(entry: str) -> None:
    with pytest.raises(SettingsError):
        AllowedHosts.parse([entry])


def test_public_name_passes_and_stays_what_was_checked() -> None:
    assert guard(a_example=["93.184.216.34"]).addresses("a.example", 80) == ["93.184.216.34"]


def test_one_private_address_among_public_ones_refuses_the_name() -> None:
    with pytest.raises(FetchError, match=r"10\.0\.0\.1.*LABELVINO_ALLOWED_HOSTS"):
        guard(a_example=["93.184.216.34", "10.0.0.1"]).addresses("a.example", 80)


def test_unknown_and_empty_names() -> None:
    with pytest.raises(FetchError, match="not known"):
        guard().addresses("a.example", 80)
    with pytest.raises(FetchError, match="not known"):
        guard(a_example=[]).addresses("a.example", 80)


def test_allowed_name_may_be_private() -> None:
    assert guard("minio:9000", minio=["10.0.0.9"]).addresses("minio", 9000) == ["10.0.0.9"]
    with pytest.raises(FetchError):
        guard("minio:9000", minio=["10.0.0.9"]).addresses("minio", 80)


def test_allowed_network_counts_for_what_a_name_resolves_to() -> None:
    assert guard("10.0.0.0/8", minio=["10.0.0.9"]).addresses("minio", 80) == ["10.0.0.9"]


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0x7f.1", "127.1", "017700000001"])
def test_odd_spellings_are_checked_as_what_they_mean(host: str) -> None:
    with pytest.raises(FetchError, match=r"127\.0\.0\.1, not a public"):
        AddressGuard(NONE).addresses(host, 80)


def test_is_for_proxy() -> None:
    asked = guard("minio", minio=["10.0.0.9"], a_example=["8.8.8.8"], evil=["127.0.0.1"])
    assert asked.is_for_proxy("a.example", 80)
    assert asked.is_for_proxy("only-the-proxy.knows", 80)
    assert not asked.is_for_proxy("minio", 80)
    with pytest.raises(FetchError):
        asked.is_for_proxy("evil", 80)
    with pytest.raises(FetchError):
        asked.is_for_proxy("169.254.169.254", 80)


def test_a_slow_name_server_ends_with_the_deadline() -> None:
    def slow(host: str, port: int) -> list[str]:
        time.sleep(0.6)
        return ["8.8.8.8"]

    started_s = time.monotonic()
    with finish_by(started_s + 0.1), pytest.raises(TimeoutError):
        AddressGuard(NONE, slow).addresses("a.example", 80, timeout_s=5)
    assert time.monotonic() - started_s < 0.5


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", ""),
        ("/data/upload/1/a.jpg", "/data/upload/1/a.jpg"),
        ("/data/local-files/?d=a/b.jpg", "/data/local-files/?d=a/b.jpg"),
        ("/data/local-files/?d=a.jpg&token=geheim", "/data/local-files/?d=a.jpg***"),
        ("https://b.s3/k.jpg?X-Amz-Signature=geheim", "https://b.s3/k.jpg?***"),
        ("https://u:geheim@h/a@2x.jpg", "https://***@h/a@2x.jpg"),
        ("https://u:geh@eim@h/a", "https://***@h/a"),
        ("https:\\\\u:geheim@h/a", "https:\\\\***@h/a"),
        ("https:/u:geheim@h/a", "https:/***@h/a"),
        ("//u:geheim@h/a", "//***@h/a"),
        ("https://u:ge/he?im@h/a", "https://***@h/a"),
        ("http://h:8080/a@2x.jpg", "http://h:8080/a@2x.jpg"),
        ("http://[::1]:80/a@2x.jpg", "http://[::1]:80/a@2x.jpg"),
        ("http://h/a\nERROR forged", "http://h/a\ufffdERROR forged"),
        ("data:image/png;base64,AAAA", "data:image/png,\u2026 (26 characters)"),
        ("s3://b/k ä.jpg", "s3://b/k ä.jpg"),
        ("https://h/" + "h" * 300, "https://h/" + "h" * 190 + "\u2026"),
        ("/9j/4AAQSkZJRgABAQ" + "h" * 300, "/9j/4AAQSkZJRgAB\u2026"),  # a JPEG without its data:
    ],
)
def test_shown_url(url: str, shown: str) -> None:
    assert shown_url(url) == shown
