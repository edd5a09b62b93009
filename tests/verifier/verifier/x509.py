"""Certificates of SM2 keys (RFC 5280, GM/T 0015) and the way from a leaf to a root."""

import base64
import binascii
from dataclasses import dataclass, field

from . import der, sm2

SM2_WITH_SM3 = "1.2.156.10197.1.501"
EC_PUBLIC_KEY = "1.2.840.10045.2.1"
SM2_CURVE = "1.2.156.10197.1.301"
COMMON_NAME, ORGANIZATION = "2.5.4.3", "2.5.4.10"
KEY_USAGE, BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE = "2.5.29.15", "2.5.29.19", "2.5.29.37"
KNOWN = {KEY_USAGE, BASIC_CONSTRAINTS, "2.5.29.14", "2.5.29.35", EXTENDED_KEY_USAGE, "2.5.29.17"}
DIGITAL_SIGNATURE, KEY_CERT_SIGN = 0, 5
BEGIN, END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
CHAIN_MAX, CERTIFICATE_BYTES_MAX = 4, 16 * 1024


class NotTrusted(ValueError):
    """The bytes are no certificate, or do not lead where they should."""


@dataclass
class Certificate:
    """What is needed of one."""

    der: bytes
    signed: bytes  # tbsCertificate with its tag
    signature: bytes
    serial: int
    issuer: bytes
    subject: bytes
    names: dict
    not_before: int
    not_after: int
    key: bytes
    usage: set = None
    purposes: tuple = None  # of the extended key usage: whether it is critical, and which
    ca: bool = False
    path_length: int = None
    extensions: set = field(default_factory=set)


def parse(data: bytes) -> Certificate:
    """One certificate; refuses what it does not know and what is marked critical."""
    if len(data) > CERTIFICATE_BYTES_MAX:
        raise NotTrusted(f"a certificate of more than {CERTIFICATE_BYTES_MAX} bytes")
    try:
        return _parse(data)
    except (der.NotDer, sm2.NotSm2, UnicodeDecodeError) as error:
        raise NotTrusted(f"not a certificate of an SM2 key: {error}") from None


def _parse(data: bytes) -> Certificate:
    outer = der.Reader(data)
    certificate = outer.enter(der.SEQUENCE)
    outer.end()
    signed = certificate.whole(der.SEQUENCE)
    outside = certificate.whole(der.SEQUENCE)
    signature = certificate.bit_string()
    certificate.end()

    outer = der.Reader(signed)
    tbs = outer.enter(der.SEQUENCE)
    version = tbs.enter(0xA0)
    if version.integer() != 2:
        raise NotTrusted("not a certificate of version 3")
    version.end()
    serial = tbs.integer()
    if tbs.whole(der.SEQUENCE) != outside:
        raise NotTrusted("two algorithms are named")
    _algorithm(outside)
    issuer = tbs.whole(der.SEQUENCE)
    validity = tbs.enter(der.SEQUENCE)
    not_before, not_after = validity.time(), validity.time()
    validity.end()
    subject = tbs.whole(der.SEQUENCE)
    key = _public_key(tbs.enter(der.SEQUENCE))
    found = Certificate(
        data, signed, signature, serial, issuer, subject, _names(subject), not_before, not_after, key
    )
    if not tbs.done():
        tagged = tbs.enter(0xA3)
        _extensions(tagged.enter(der.SEQUENCE), found)
        tagged.end()
    tbs.end()
    return found


def _algorithm(whole):
    algorithm = der.Reader(whole).enter(der.SEQUENCE)
    if algorithm.oid() != SM2_WITH_SM3:
        raise NotTrusted("not signed with SM2 and SM3")
    algorithm.end()


def _public_key(info) -> bytes:
    algorithm = info.enter(der.SEQUENCE)
    if (algorithm.oid(), algorithm.oid()) != (EC_PUBLIC_KEY, SM2_CURVE):
        raise NotTrusted("not a key on the SM2 curve")
    algorithm.end()
    key = info.bit_string()
    info.end()
    sm2.point(key)
    return key


def _names(name: bytes) -> dict:
    """Attributes by type, each a list of texts."""
    found = {}
    sequence = der.Reader(name).enter(der.SEQUENCE)
    while not sequence.done():
        attributes = sequence.enter(der.SET)
        while not attributes.done():
            attribute = attributes.enter(der.SEQUENCE)
            kind = attribute.oid()
            _, value, _ = attribute.element()
            attribute.end()
            found.setdefault(kind, []).append(value.decode("utf-8"))
    return found


def _extensions(sequence, into: Certificate):
    while not sequence.done():
        extension = sequence.enter(der.SEQUENCE)
        kind = extension.oid()
        critical = extension.peek() == der.BOOLEAN and extension.boolean()
        value = der.Reader(extension.take(der.OCTET_STRING))
        extension.end()
        if kind in into.extensions:
            raise NotTrusted(f"extension {kind} occurs twice")
        into.extensions.add(kind)
        if kind == KEY_USAGE:
            into.usage = value.named_bits()
            value.end()
        elif kind == BASIC_CONSTRAINTS:
            constraints = value.enter(der.SEQUENCE)
            value.end()
            into.ca = constraints.peek() == der.BOOLEAN and constraints.boolean()
            into.path_length = None if constraints.done() else constraints.integer()
            constraints.end()
        elif kind == EXTENDED_KEY_USAGE:
            purposes, found = value.enter(der.SEQUENCE), []
            value.end()
            while not purposes.done():
                found.append(purposes.oid())
            into.purposes = (critical, found)
        elif critical and kind not in KNOWN:
            raise NotTrusted(f"critical extension {kind} is not known")


def path(chain, root: Certificate, at: int):
    """Says why `chain`, leaf first, does not lead to `root` at a time in seconds; nothing if it does.

    The root is a trust anchor (RFC 5280, 6.1.1 d): its name and its key count, and its fingerprint for who knows it.
    """
    if root.der in (certificate.der for certificate in chain):
        raise NotTrusted("the root is part of the chain")
    for depth, certificate in enumerate(chain):
        if not certificate.not_before <= at <= certificate.not_after:
            raise NotTrusted(f"certificate {depth} is not valid at {at}")
    leaf = chain[0]
    if leaf.ca or DIGITAL_SIGNATURE not in (leaf.usage or ()):
        raise NotTrusted("the signer's certificate is not for signatures")
    for depth, authority in enumerate(chain[1:]):
        if not authority.ca or KEY_CERT_SIGN not in (authority.usage or ()):
            raise NotTrusted(f"certificate {depth + 1} may not issue")
        if authority.path_length is not None and authority.path_length < depth:
            raise NotTrusted(f"certificate {depth + 1} may not be so far above")
    for depth, (certificate, issuer) in enumerate(zip(chain, [*chain[1:], root])):
        if certificate.issuer != issuer.subject:
            raise NotTrusted(f"certificate {depth} names another issuer")
        if not sm2.is_signed(issuer.key, certificate.signed, certificate.signature):
            raise NotTrusted(f"certificate {depth} is not signed by its issuer")


def must_name(leaf: Certificate, recorder: str, cluster: str):
    """Says why a signer's certificate is not the recorder's of that cluster; nothing if it is."""
    for attribute, value in ((COMMON_NAME, recorder), (ORGANIZATION, cluster)):
        if leaf.names.get(attribute) != [value]:
            raise NotTrusted(f"the signer's certificate does not name {value}")


def from_pem(data: bytes) -> list:
    """DER of the certificates in a PEM text of the one form that `to_pem` gives."""
    found = _from_pem(data)
    if to_pem(found) != data:
        raise NotTrusted("not the one PEM form of its certificates")
    return found


def to_pem(certificates) -> bytes:
    """RFC 7468, strict form: lines of 64 characters, LF, and nothing beside the certificates."""
    lines = []
    for certificate in certificates:
        body = base64.b64encode(certificate).decode("ascii")
        lines += [BEGIN, *(body[at : at + 64] for at in range(0, len(body), 64)), END]
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def _from_pem(data: bytes) -> list:
    try:
        lines = data.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise NotTrusted("PEM is ASCII") from None
    found, body = [], None
    for line in lines:
        if body is None:
            if line == BEGIN:
                body = []
            elif line:
                raise NotTrusted("something beside certificates")
        elif line == END:
            try:
                found.append(base64.b64decode("".join(body), validate=True))
            except binascii.Error as error:
                raise NotTrusted(f"not base64: {error}") from None
            body = None
        else:
            body.append(line)
    if body is not None:
        raise NotTrusted("a certificate without end")
    return found
