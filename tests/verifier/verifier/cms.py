"""Detached SM2 SignedData: GB/T 35275-2017, which is RFC 5652 with other identifiers."""

from . import der, sm2, sm3, x509

DATA = "1.2.156.10197.6.1.4.2.1"
SIGNED_DATA = "1.2.156.10197.6.1.4.2.2"
SM3 = "1.2.156.10197.1.401"
SM2_SIGN = "1.2.156.10197.1.301.1"
CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME = (f"1.2.840.113549.1.9.{n}" for n in (3, 4, 5))


class NotSigned(ValueError):
    """The bytes are no signature over the content by this certificate."""


def chain_of(data: bytes) -> list:
    """The certificates that a SignedData carries, the signer's first, each before its issuer's."""
    try:
        carried, issuer, serial = _carried(data)
    except der.NotDer as error:
        raise NotSigned(f"not a SignedData: {error}") from None
    _must(1 <= len(carried) <= x509.CHAIN_MAX, f"{len(carried)} certificates")
    try:
        left = [x509.parse(certificate) for certificate in carried]
    except x509.NotTrusted as error:
        raise NotSigned(error) from None
    found = [certificate for certificate in left if (certificate.issuer, certificate.serial) == (issuer, serial)]
    _must(len(found) == 1, "the signer's certificate is not there")
    left.remove(found[0])
    while left:
        above = [certificate for certificate in left if certificate.subject == found[-1].issuer]
        _must(len(above) == 1, "certificates that are no chain")
        left.remove(above[0])
        found += above
    return found


def _carried(data):
    signed = der.Reader(data).enter(der.SEQUENCE)
    signed.oid()
    signed = signed.enter(0xA0).enter(der.SEQUENCE)
    for tag in (der.INTEGER, der.SET, der.SEQUENCE):  # version, digest algorithms, content
        signed.take(tag)
    certificates, carried = signed.enter(0xA0), []
    while not certificates.done():
        carried.append(certificates.whole(der.SEQUENCE))
    signer = signed.enter(der.SET).enter(der.SEQUENCE)
    signer.integer()
    named = signer.enter(der.SEQUENCE)
    return carried, named.whole(der.SEQUENCE), named.integer()


def verify(data: bytes, content: bytes, chain) -> int:
    """Signing time in seconds of a SignedData over `content` by the first certificate of `chain`."""
    try:
        return _verify(data, content, chain)
    except der.NotDer as error:
        raise NotSigned(f"not a SignedData: {error}") from None


def _verify(data, content, chain) -> int:
    outer = der.Reader(data)
    info = outer.enter(der.SEQUENCE)
    outer.end()
    _must(info.oid() == SIGNED_DATA, "another type of content")
    tagged = info.enter(0xA0)
    info.end()
    signed = tagged.enter(der.SEQUENCE)
    tagged.end()

    _must(signed.integer() == 1, "another version")
    algorithms = signed.enter(der.SET)
    _sm3(algorithms)
    algorithms.end()
    inner = signed.enter(der.SEQUENCE)
    _must(inner.oid() == DATA, "another type of signed content")
    inner.end()
    certificates = signed.enter(0xA0)
    # A SET OF: in the order of its bytes (X.690, 11.6), not in that of the chain.
    for certificate in sorted(certificate.der for certificate in chain):
        _must(certificates.whole(der.SEQUENCE) == certificate, "other certificates than the signer's")
    certificates.end()
    signers = signed.enter(der.SET)
    signed.end()
    signer = signers.enter(der.SEQUENCE)
    signers.end()
    return _signer(signer, content, chain[0])


def _signer(signer, content, certificate) -> int:
    _must(signer.integer() == 1, "another version of the signer")
    named = signer.enter(der.SEQUENCE)
    _must(named.whole(der.SEQUENCE) == certificate.issuer, "another issuer")
    _must(named.integer() == certificate.serial, "another serial number")
    named.end()
    _sm3(signer)
    attributes = signer.take(0xA0)
    algorithm = signer.enter(der.SEQUENCE)
    _must(algorithm.oid() == SM2_SIGN, "another signature algorithm")
    algorithm.end()
    signature = signer.take(der.OCTET_STRING)
    signer.end()

    at = _attributes(attributes, content)
    # RFC 5652, 5.4: what is signed is the SET, not the tagged form it travels in.
    header = der.SET.to_bytes(1, "big") + der.length(len(attributes))
    _must(sm2.is_signed(certificate.key, header + attributes, signature), "the signature does not fit")
    return at


def attributes(data: bytes) -> dict:
    """The values of each signed attribute, by its type; in the order of a SET OF, none twice."""
    reader, found, before = der.Reader(data), {}, b""
    while not reader.done():
        whole = reader.whole(der.SEQUENCE)
        _must(before < whole, "attributes out of order")
        before = whole
        attribute = der.Reader(whole).enter(der.SEQUENCE)
        kind = attribute.oid()
        _must(kind not in found, "an attribute occurs twice")
        found[kind] = attribute.enter(der.SET)
        attribute.end()
    return found


def _attributes(data: bytes, content: bytes) -> int:
    found = attributes(data)
    _must(set(found) == {CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME}, "other attributes than the three")
    _must(found[CONTENT_TYPE].oid() == DATA, "another type of signed content")
    _must(found[MESSAGE_DIGEST].take(der.OCTET_STRING) == sm3.hash(content), "the digest is of other content")
    at = found[SIGNING_TIME].time()
    for values in found.values():
        values.end()
    return at


def _sm3(reader):
    algorithm = reader.enter(der.SEQUENCE)
    _must(algorithm.oid() == SM3, "another digest than SM3")
    algorithm.end()


def _must(holds: bool, why: str):
    if not holds:
        raise NotSigned(why)
