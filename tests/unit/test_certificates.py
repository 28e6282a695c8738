"""The build's directory of trusted certificates: OpenSSL finds each by the name that a peer's certificate bears."""

import shutil
import ssl
import subprocess
from pathlib import Path

import certifi
import pytest
import trustme

from infra.build.certificates import write_certificates


def shakes_hands(authority: trustme.CA, directory: Path) -> bool:
    """Whether a client that trusts the directory takes a server that the authority vouches for."""
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_side)
    client_side = ssl.create_default_context(capath=str(directory))
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(to_client, to_server, server_hostname="localhost")
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(6):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLCertVerificationError:
                return False
    return client.version() is not None


@pytest.mark.parametrize("name", ["Plain", "  Gr\u00f6\u00dfe  &  S\u00d6HNE \t AG ", "x" * 60])
def test_an_authority_of_any_name_is_found(name: str, tmp_path: Path) -> None:
    authority, other = trustme.CA(organization_name=name), trustme.CA(organization_name=name)
    bundle, trusted = tmp_path / "bundle.pem", tmp_path / "trusted"
    bundle.write_bytes(Path(certifi.where()).read_bytes() + authority.cert_pem.bytes())
    write_certificates(bundle, trusted)
    assert shakes_hands(authority, trusted)
    assert not shakes_hands(other, trusted)


def test_authorities_of_one_name_are_numbered(tmp_path: Path) -> None:
    authorities = [trustme.CA(organization_name="One", organization_unit_name="Name") for _ in range(3)]
    (tmp_path / "bundle.pem").write_bytes(b"".join(authority.cert_pem.bytes() for authority in authorities))
    write_certificates(tmp_path / "bundle.pem", tmp_path / "trusted")
    assert sorted(path.suffix for path in (tmp_path / "trusted").iterdir()) == [".0", ".1", ".2"]
    assert all(shakes_hands(authority, tmp_path / "trusted") for authority in authorities)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is the judge here")
def test_every_public_authority_has_the_digest_that_openssl_gives_it(tmp_path: Path) -> None:
    write_certificates(Path(certifi.where()), tmp_path)
    paths = sorted(tmp_path.iterdir())[::6]
    for path in paths:
        command = ["openssl", "x509", "-noout", "-subject_hash", "-in", str(path)]
        assert subprocess.run(command, capture_output=True, text=True).stdout.strip() == path.stem
    assert len(paths) > 15
