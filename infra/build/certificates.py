"""The trusted certificates as OpenSSL finds them by name: a directory, of which a handshake reads the one it needs.

A single file of all authorities is read and parsed whole at every start, some 18 ms of it; a directory costs nothing
until a peer shows a certificate. OpenSSL looks for a file named after a digest of the issuer's name, in its canonical
form: https://docs.openssl.org/3.0/man3/SSL_CTX_load_verify_locations/ (hashes as `openssl rehash` makes them).
"""

import re
import ssl
from collections import Counter
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)
_SEQUENCE, _SET, _OID, _UTF8, _VERSION = 0x30, 0x31, 0x06, 0x0C, 0xA0
# The string types whose text OpenSSL compares without regard to case and blanks, and how each is encoded.
_STRINGS = {
    0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1A: "ascii", 0x1C: "utf-32-be", 0x1E: "utf-16-be",
}  # fmt: skip


def write_certificates(bundle: Path, destination: Path) -> None:
    """Write each certificate of a PEM file as `<name's digest>.<number>`."""
    destination.mkdir(parents=True, exist_ok=True)
    seen: Counter[str] = Counter()
    for pem in _CERTIFICATE.findall(bundle.read_text(encoding="utf-8")):
        digest = subject_digest(ssl.PEM_cert_to_DER_cert(pem))
        (destination / f"{digest}.{seen[digest]}").write_text(pem)
        seen[digest] += 1


def subject_digest(certificate: bytes) -> str:
    """The digest of a certificate's subject, as X509_NAME_hash has it."""
    _, fields = next(_elements(next(_elements(certificate))[1]))
    parts = [part for part in _elements(fields) if part[0] != _VERSION]
    _, name = parts[4]  # serial number, signature's algorithm, issuer, validity, subject
    sets = (b"".join(map(_attribute, _elements(names))) for _, names in _elements(name))
    canonical = b"".join(_element(_SET, attributes) for attributes in sets)
    return f"{int.from_bytes(sha1(canonical, usedforsecurity=False).digest()[:4], 'little'):08x}"


def _attribute(attribute: tuple[int, bytes]) -> bytes:
    (_, kind), (tag, value) = _elements(attribute[1])
    if tag in _STRINGS:
        tag, value = _UTF8, b" ".join(value.decode(_STRINGS[tag]).encode().lower().split())
    return _element(_SEQUENCE, _element(_OID, kind) + _element(tag, value))


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The elements of DER, one behind the other: tag and content."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(data[at : at + size]), at + size
        yield tag, data[at : at + length]
        at += length


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content
