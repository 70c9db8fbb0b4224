"""Addresses that people type lead to devices, and nowhere else. A listener says so, not the guard."""

from __future__ import annotations

import ipaddress

import pytest

from devices.domain.egress import Forbidden, Policy, check_numbers, destination
from devices.drivers.base import DriverError
from tests.devices.http_device import http_device
from tests.devices.test_http import deliver, driver, make_driver, opened, server, shared_driver  # noqa: F401 - fixtures

SITES = tuple(ipaddress.ip_network(text) for text in ["10.0.0.0/8", "192.168.0.0/16", "fc00::/7"])
OPEN = Policy(networks=SITES, ports=frozenset({80, 443, 8443}), own_names=frozenset({"portal.example.com"}))
EVERYTHING = Policy(
    networks=(*SITES, ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")),
    ports=frozenset(range(1, 65536)),
    own_ports=frozenset({5432, 6379, 1883}),
    own_names=frozenset({"portal.example.com", ".portal.example.net"}),
    own_web_port=8000,
)
HOSTS = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0",
    "0.0.0.0",  # noqa: S104 - not bound to
    "①②⑦.⓪.⓪.①",
    "127.0.0.1.",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::127.0.0.1]",
    "169.254.169.254",
    "[::ffff:169.254.169.254]",
    "[fd00:ec2::254]",
    "168.63.129.16",
    "100.64.0.1",
    "100.100.100.200",
    "192.0.0.8",
    "192.88.99.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fec0::1]",
    "[ff02::1]",
    "[5f00::1]",
    "127.0.0.1%2f",
    "172.16.0.1",
    "172.31.255.255",
    "portal.example.com",
    "PORTAL.example.com.",
    "good@127.0.0.1",
    "good:word@example.com",
    ":80",
    "[",
    "[::1",
    "-",
]
ODD_HOSTS = ["good\\@127.0.0.1", "", "a b", "x" * 2000]
ADDRESSES = [
    *(f"http://{host}/" for host in (*HOSTS, *ODD_HOSTS)),
    "http://127.0.0.1#@good/", "https://example.com/#part", "gopher://example.com/", "file:///etc/passwd",
    "ftp://example.com/", "//127.0.0.1/", "example.com", "https:example.com", "javascript:alert(1)",
    "http://example.com/a\r\nx-injected: 1", "http://exa\tmple.com/", "http://example.com/\x00",
    " http://example.com/",
    "http://example.com:22/", "http://example.com:5432/", "http://example.com:6379/", "http://example.com:0/",
    "http://example.com:65536/", "http://example.com:8o/", "https://ex\u0430mple.com/", "http://:80/",
    None, 7, ["x"], "",
]  # fmt: skip


@pytest.mark.parametrize("url", ADDRESSES, ids=lambda url: repr(url)[:40])
def test_hostile_addresses_are_refused_as_they_are_written(url):
    with pytest.raises(Forbidden, match=r"\.$"):
        destination(url, policy=OPEN)


NEVER = [
    "0.0.0.0",  # noqa: S104 - not bound to
    "::",
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "fd00:ec2::254",
    "168.63.129.16",
    "100.64.0.1",
    "::127.0.0.1",
    "192.0.0.8",
    "192.88.99.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "5f00::1",
    "2001:db8::1",
    "203.0.113.9",
]


@pytest.mark.parametrize("number", NEVER)
def test_some_addresses_are_closed_whatever_is_listed(number):
    with pytest.raises(Forbidden, match="where no device can be"):
        check_numbers([number], port=443, policy=EVERYTHING)


@pytest.mark.parametrize("number", ["10.1.2.3", "172.16.0.1", "192.168.0.9", "fc00::1", "127.0.0.1", "::1"])
def test_private_networks_and_this_machine_are_open_only_where_they_are_listed(number):
    with pytest.raises(Forbidden, match="in no network of DEVICE_NETWORKS"):
        check_numbers([number], port=443, policy=Policy())
    listed = Policy(networks=(ipaddress.ip_network(number),))
    check_numbers([number], port=443, policy=listed)
    if "." in number:
        check_numbers([f"::ffff:{number}"], port=443, policy=listed)


GOOD = {
    "https://gateway.example.com/devices/7?site=3": ("gateway.example.com", 443, "/devices/7?site=3"),
    "http://10.1.2.3:8443": ("10.1.2.3:8443", 8443, "/"),
    "https://93.184.216.34/%0d%0a": ("93.184.216.34", 443, "/%0d%0a"),
    "https://[2606:4700::1111]:8443/x": ("[2606:4700::1111]:8443", 8443, "/x"),
    "HTTPS://Gateway_7.Example.COM:443/": ("gateway_7.example.com", 443, "/"),
    "http://7.example.com?x": ("7.example.com", 80, "/?x"),
}


@pytest.mark.parametrize(("url", "parts"), GOOD.items(), ids=GOOD.keys())
def test_good_addresses_are_taken_apart(url, parts):
    where = destination(url, policy=OPEN)
    assert (where.authority, where.port, where.target) == parts


OWN = {
    "the database, anywhere": ("http://10.0.0.9:5432/", "the portal's own database"),
    "the queue, by name": ("http://redis.internal:6379/", "the portal's own database"),
    "the portal's name": ("https://portal.example.com/", "the portal itself"),
    "a name of the portal's": ("https://eu.portal.example.net/", "the portal itself"),
    "the portal on this machine": ("http://127.0.0.1:8000/", "the portal itself"),
}


@pytest.mark.parametrize(("url", "words"), OWN.values(), ids=OWN.keys())
def test_the_portal_does_not_speak_to_itself_and_its_helpers(url, words):
    with pytest.raises(Forbidden, match=words):
        destination(url, policy=EVERYTHING)


LEADS = {
    "to this machine, in another way of writing": ["::1"],
    "to a device and to this machine": ["127.0.0.1", "::ffff:169.254.169.254"],
    "to the metadata of a cloud": ["169.254.169.254"],
    "to a site nobody listed": ["192.168.0.9"],
}


@pytest.mark.parametrize("numbers", LEADS.values(), ids=LEADS.keys())
def test_a_name_must_lead_to_allowed_addresses_alone(server, make_driver, numbers):  # noqa: F811
    driver = make_driver(look_up=lambda host, port: numbers)  # noqa: F811
    with pytest.raises(DriverError, match="The device's address leads to") as error:
        deliver(driver, server.url(host="device.test"))
    assert error.value.permanent
    assert server.connections == 0


@pytest.mark.parametrize("host", ["localhost", "localhost."])
def test_names_of_this_machine_are_closed_unless_all_it_leads_to_is_listed(server, driver, settings, host):  # noqa: F811
    settings.DEVICE_NETWORKS = SITES
    with pytest.raises(DriverError, match=r"in no network of DEVICE_NETWORKS|leads nowhere"):
        deliver(driver, server.url(host=host))
    assert server.connections == 0


def test_a_name_that_leads_elsewhere_a_moment_later_is_not_asked_again(server, make_driver, settings):  # noqa: F811
    """The first answer is the device, every later one is a listener that must hear nothing."""
    asked = []

    def rebinding(host, port):
        asked.append(host)
        return ["127.0.0.2"] if len(asked) == 1 else ["127.0.0.1"]

    settings.DEVICE_NETWORKS = (ipaddress.ip_network("127.0.0.2/32"),)
    driver = make_driver(look_up=rebinding)  # noqa: F811
    with http_device("127.0.0.2", server.port) as device:
        assert deliver(driver, server.url(host="device.test")).is_accepted
        assert asked == ["device.test"]
        assert device.connections == 1
        driver.close()
        with pytest.raises(DriverError, match=r"leads to 127\.0\.0\.1"):
            deliver(driver, server.url(host="device.test"), version=4)
    assert server.connections == 0


def test_the_next_address_of_a_name_is_tried_when_the_first_is_dead(server, make_driver):  # noqa: F811
    driver = make_driver(look_up=lambda host, port: ["127.0.0.3", "127.0.0.1"])  # noqa: F811
    assert deliver(driver, server.url(host="device.test")).is_accepted


def test_a_name_that_leads_nowhere_and_a_closed_port_may_pass(server, make_driver):  # noqa: F811
    def unknown(host, port):
        raise OSError

    with pytest.raises(DriverError, match="its name leads nowhere") as nowhere:
        deliver(make_driver(look_up=unknown), server.url(host="device.test"))
    with pytest.raises(DriverError, match="cannot be reached") as closed:
        deliver(make_driver(), server.url(host="127.0.0.3"))
    assert (nowhere.value.permanent, closed.value.permanent) == (False, False)


def test_no_proxy_of_the_environment_is_asked(server, driver, monkeypatch):  # noqa: F811
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]:
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    assert deliver(driver, server.url()).is_accepted
