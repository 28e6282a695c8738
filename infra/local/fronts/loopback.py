"""Ports of this machine, for this machine only."""

import socket


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
