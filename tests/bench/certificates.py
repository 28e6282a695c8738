"""A provider's certificate on loopback, and what clients trust: as one file, and as the build lays it out."""

import shutil
import ssl
from dataclasses import dataclass
from pathlib import Path

import certifi
import trustme

from infra.build.certificates import write_certificates


@dataclass(frozen=True, slots=True)
class Certificates:
    """A provider's certificate, and what clients trust: every public authority, and this one."""

    server: ssl.SSLContext
    trusted: Path
    directory: Path  # the same, one file each


def make_certificates(folder: Path) -> Certificates:
    """Make them in a folder."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    trusted = folder / "trusted.pem"
    # Loading all of certifi's authorities is what a TLS client pays for at its start.
    shutil.copy(certifi.where(), trusted)
    with trusted.open("ab") as file:
        file.write(authority.cert_pem.bytes())
    write_certificates(trusted, folder / "certificates")
    return Certificates(server, trusted, folder / "certificates")
