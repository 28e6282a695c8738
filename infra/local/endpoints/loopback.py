"""Ports of this machine, for this machine only."""

import socket
from collections.abc import Mapping


def listening_socket(port: int = 0) -> socket.socket:
    """A socket on loopback that accepts connections from now on. Raises OSError, with the port, if it is taken."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(("127.0.0.1", port))
    except OSError as error:
        made.close()
        raise OSError(error.errno, f"port {port} on 127.0.0.1: {error.strerror}") from None
    made.listen(256)
    return made


def around_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which no proxy stands between programs of this machine; other addresses go as they did."""
    names = [name for name in environment.get("NO_PROXY", environment.get("no_proxy", "")).split(",") if name]
    without = ",".join(dict.fromkeys([*names, "127.0.0.1", "localhost"]))
    return {**environment, "NO_PROXY": without, "no_proxy": without}


def proxies_of(environment: Mapping[str, str]) -> dict[str, str]:
    """The proxy settings of this machine, for functions that call the world outside; loopback goes around them."""
    known = {
        name: environment[name]
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        if environment.get(name)
    }
    if not known:
        return {}
    around = around_proxies(
        {**known, "NO_PROXY": environment.get("NO_PROXY", environment.get("no_proxy", ""))}
    )
    return {**known, "NO_PROXY": around["NO_PROXY"], "no_proxy": around["no_proxy"]}
