"""No URL that came through the API leads to anything but a public machine, or one that the operator allows."""

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from undercroft.egress.guard import Guard, is_public, parse_url
from undercroft.egress.origin import Origin
from undercroft.errors import AddressRefused, UpstreamUnreachable

PUBLIC = "93.184.216.34"

REFUSED = [
    # The machine itself, in every spelling that the C library reads.
    "https://127.0.0.1/", "https://127.0.0.1:443/", "https://127.1/", "https://127.0.1/", "https://2130706433/",
    "https://0x7f000001/", "https://0x7f.0.0.1/", "https://0x7f.1/", "https://0177.0.0.1/", "https://017700000001/",
    "https://0177.0.0.01/", "https://127.0.0.1./", "https://127.00.0.1/", "https://0/", "https://0.0.0.0/",
    "https://localhost/", "https://LOCALHOST/", "https://localhost./", "https://me.localhost/", "https://127.255.0.9/",
    "https://[::1]/", "https://[::]/", "https://[0:0:0:0:0:0:0:1]/", "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/", "https://[::127.0.0.1]/", "https://[0000::1]:443/", "https://[::1%25lo]/",
    # The same in other scripts: digits, letters and dots that become plain ones.
    "https://１２７.０.０.１/", "https://127。0。0。1/", "https://①②⑦.⓪.⓪.①/", "https://ｌｏｃａｌｈｏｓｔ/",  # noqa: RUF001
    # Private networks and what stands beside them.
    "https://10.0.0.1/", "https://172.16.0.1/", "https://172.31.255.255/", "https://192.168.1.1/",
    "https://100.64.0.1/", "https://198.18.0.1/", "https://192.0.2.1/", "https://198.51.100.1/", "https://203.0.113.9/",
    "https://224.0.0.1/", "https://255.255.255.255/", "https://240.0.0.1/", "https://192.88.99.1/",
    "https://[fc00::1]/", "https://[fd12:3456::1]/", "https://[fe80::1]/", "https://[fec0::1]/", "https://[ff02::1]/",
    "https://[2001:db8::1]/", "https://[3fff::1]/", "https://[100::1]/",
    # Ways through which IPv6 reaches IPv4.
    "https://[::ffff:10.0.0.1]/", "https://[64:ff9b::10.0.0.1]/", "https://[64:ff9b:1::1]/", "https://[2002:7f00:1::]/",
    "https://[2002:a00:1::1]/", "https://[2001:0:7f00:1::]/", "https://[::ffff:0:127.0.0.1]/",
    # Where clouds tell a machine its secrets.
    "https://169.254.169.254/latest/meta-data/", "https://[::ffff:169.254.169.254]/", "https://169.254.170.2/",
    "https://[fd00:ec2::254]/", "https://100.100.100.200/", "https://168.63.129.16/", "https://192.0.0.192/",
    "https://2852039166/", "https://0xa9fea9fe/", "https://0251.0376.0251.0376/",
    # Not https, not its port.
    "http://example.com/", "http://93.184.216.34/", "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/",
    "unix:/run/docker.sock", "javascript:alert(1)", "//example.com/", "example.com/hook", "https:/example.com",
    "https://example.com:22/", "https://example.com:8443/", "https://example.com:6379/", "https://example.com:0/",
    "https://example.com:99999/", "https://example.com:x/",
    # What two readers of a URL read differently.
    "https://user@example.com/", "https://user:pw@127.0.0.1/", "https://example.com@127.0.0.1/",
    "https://127.0.0.1#@example.com/", "https://example.com\\@127.0.0.1/", "https://example.com#frag",
    "https://exa mple.com/", "https://example.com/a b", "https://example.com/\r\nHost: x", "https://example.com/\x00",
    "https://%31%32%37.0.0.1/", "https://127.0.0.1%2f@example.com/", "https:///hook", "https://", "",
    "https://[::1/", "https://[127.0.0.1]/", "https://[example.com]/", "https://-a.com/", "https://a..com/",
    "https://" + "a" * 64 + ".com/", "https://example.com/" + "a" * 2000, "https://example.com/ä", "https://1.2.3/",
    "https://1.2.3.4.5/", "https://256.1.1.1/", "https://example.0x10/", "HTTPS://127.0.0.1/",
]  # fmt: skip


def guard(*answers: Sequence[str], allow: Sequence[str] = ()) -> tuple[Guard, list[str]]:
    """A guard whose resolver gives these answers in turn, and the names it was asked for."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return Guard(allow=allow, resolve=resolve), asked


def admitted(checked: Guard, url: str) -> list[str]:
    origin, _ = checked.check_url(url)
    return asyncio.run(checked.admit(origin))


def test_the_corpus_is_large_and_has_nothing_twice() -> None:
    assert len(REFUSED) == len(set(REFUSED)) > 100


@pytest.mark.parametrize("url", REFUSED)
def test_such_a_url_is_refused_when_it_is_given(url: str) -> None:
    with pytest.raises(AddressRefused) as refused:
        guard([PUBLIC])[0].check_url(url)
    assert refused.value.param == "url"


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("https://example.com", Origin("https", "example.com", 443), "/"),
        ("https://EXAMPLE.com./hook?a=b", Origin("https", "example.com", 443), "/hook?a=b"),
        ("https://example.com:80/", Origin("https", "example.com", 80), "/"),
        ("https://93.184.216.34/x", Origin("https", "93.184.216.34", 443), "/x"),
        ("https://[2606:4700:0::1111]/", Origin("https", "2606:4700::1111", 443), "/"),
        ("https://bücher.example/", Origin("https", "xn--bcher-kva.example", 443), "/"),
        ("https://a_b.example/%C3%A4?q=%20", Origin("https", "a_b.example", 443), "/%C3%A4?q=%20"),
        ("https://172.32.0.1/", Origin("https", "172.32.0.1", 443), "/"),
        ("https://1.example/", Origin("https", "1.example", 443), "/"),
    ],
)
def test_a_public_url_is_taken_in_its_one_spelling(url: str, origin: Origin, target: str) -> None:
    checked, _ = guard([PUBLIC])
    assert checked.check_url(url) == (origin, target)


@pytest.mark.parametrize(
    "answer",
    [["127.0.0.1"], ["10.1.2.3"], ["::1"], ["::ffff:10.0.0.1"], ["169.254.169.254"], ["fe80::1%eth0"], ["fd00::1"],
     [PUBLIC, "10.0.0.1"], ["2606:4700::1111", "::1"], ["64:ff9b::a00:1"]],
)  # fmt: skip
def test_a_name_is_refused_if_any_of_its_addresses_is_forbidden(answer: list[str]) -> None:
    checked, _ = guard(answer)
    with pytest.raises(AddressRefused, match="no public address"):
        admitted(checked, "https://evil.example/")


def test_a_name_is_looked_up_once_and_its_judged_addresses_are_what_is_connected_to() -> None:
    checked, asked = guard([PUBLIC, "64:ff9b::5db8:d822"], ["127.0.0.1"])

    assert admitted(checked, "https://flips.example/") == [PUBLIC, "64:ff9b::5db8:d822"]
    assert asked == ["flips.example"]
    with pytest.raises(AddressRefused):
        admitted(checked, "https://flips.example/")


def test_an_address_is_not_looked_up() -> None:
    checked, asked = guard(["127.0.0.1"])

    assert admitted(checked, f"https://{PUBLIC}/") == [PUBLIC]
    assert asked == []


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        ("http://127.0.0.1:9000/", []), ("http://localhost:9000/", []), ("https://127.9.9.9/", []),
        ("http://inside.example:9000/", ["127.0.0.2"]), ("http://inside.example/", ["::ffff:127.0.0.2"]),
        ("http://[::1]:1/", []),
    ],
)  # fmt: skip
def test_what_the_operator_allows_may_have_any_port_and_no_tls(url: str, answer: list[str]) -> None:
    checked, _ = guard(answer, allow=["127.0.0.0/8", "::1/128"])
    assert admitted(checked, url)


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        ("http://10.0.0.1/", []), ("http://public.example/", [PUBLIC]), ("https://public.example:9000/", [PUBLIC]),
        ("http://both.example/", ["127.0.0.2", PUBLIC]), ("https://both.example/", ["127.0.0.2", "10.0.0.1"]),
    ],
)  # fmt: skip
def test_what_is_allowed_opens_nothing_else(url: str, answer: list[str]) -> None:
    checked, _ = guard(answer, allow=["127.0.0.0/8"])
    with pytest.raises(AddressRefused):
        admitted(checked, url)


def test_what_is_allowed_can_change() -> None:
    checked, _ = guard([])
    checked.allow(["10.0.0.0/8"])
    assert admitted(checked, "http://10.0.0.1/") == ["10.0.0.1"]
    checked.allow([])
    with pytest.raises(AddressRefused):
        admitted(checked, "http://10.0.0.1/")


def test_a_name_that_is_not_found_is_worth_another_try() -> None:
    async def nowhere(host: str, port: int) -> Sequence[str]:
        raise OSError(-2, "Name or service not known")

    for checked in (Guard(resolve=nowhere), guard([])[0]):
        with pytest.raises(UpstreamUnreachable, match=r"gone\.example") as error:
            admitted(checked, "https://gone.example/")
        assert error.value.retryable


SPECIAL = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.2.0/24",
    "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4", "::/8", "fc00::/7", "fe80::/10", "ff00::/8",
    "2001:db8::/32", "2002::/16", "2001::/32",
]  # fmt: skip


@st.composite
def special(draw: st.DrawFn) -> IPv4Address | IPv6Address:
    network = ip_network(draw(st.sampled_from(SPECIAL)))
    place = draw(st.integers(0, network.num_addresses - 1))
    return network.network_address + place


def embedded(address: IPv4Address | IPv6Address) -> list[str]:
    if isinstance(address, IPv6Address):
        return [str(address)]
    return [
        str(address),
        f"::ffff:{address}",
        f"64:ff9b::{address}",
        f"2002:{int(address) >> 16:x}:{int(address) & 65535:x}::1",
    ]


@given(special())
def test_no_address_of_a_special_network_is_ever_admitted(address: IPv4Address | IPv6Address) -> None:
    assume(isinstance(address, IPv4Address) or address.ipv4_mapped is None)  # that is judged by what it carries
    for text in embedded(address):
        with pytest.raises(AddressRefused):
            admitted(guard([text])[0], "https://name.example/")


@given(st.integers(0, 2**32 - 1))
def test_an_address_in_one_number_or_in_parts_never_gets_past_its_usual_form(number: int) -> None:
    address = IPv4Address(number)
    a, b, c, d = address.packed
    for host in (str(number), hex(number), f"0{number:o}", f"0x{a:x}.{number & 0xFFFFFF}", f"0{a:o}.0{b:o}.{c}.{d}"):
        with pytest.raises(AddressRefused):
            guard([PUBLIC])[0].check_url(f"https://{host}/")


@given(st.ip_addresses(v=4))
def test_what_is_public_is_global_to_python_too(address: IPv4Address) -> None:
    assert address.is_global or not is_public(address)


@given(st.text(max_size=40))
def test_any_text_is_a_public_url_or_refused(text: str) -> None:
    try:
        origin, target = parse_url(text)
    except AddressRefused:
        return
    assert origin.host.isascii()
    assert target.isascii()
