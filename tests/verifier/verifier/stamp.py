"""The time stamp over the seal: RFC 3161 in the one form of the format document."""

from . import cms, der, sm2, sm3, x509
from .package import NotReadable

STAMP = "manifest.tsr"
TOKEN = "1.2.840.113549.1.7.2"
TST_INFO = "1.2.840.113549.1.9.16.1.4"
POLICY = "2.25.1752934407"
SIGNING_CERTIFICATE_V2 = "1.2.840.113549.1.9.16.2.47"
TIME_STAMPING = "1.3.6.1.5.5.7.3.8"
BYTES_MAX = 80 * 1024
SERIALS = range(2**120, 2**127)
NONCES = range(2**159)
BEFORE_SEAL_MS_MAX = 60_000


class NotStamped(ValueError):
    """The bytes are no time stamp over the content."""


def verify(data: bytes, content: bytes, root, cluster: str):
    """Time in seconds, and name of the authority, of a stamp over `content` by an authority of `cluster` under `root`."""
    _must(len(data) <= BYTES_MAX, f"more than {BYTES_MAX} bytes")
    _must(root is not None, "there is no root that the authority leads to")
    try:
        info, certificates, signer = _token(data)
        at = _info(info, content)
        chain = _chain(certificates, signer)
        _signer(signer, info, at, chain[0])
        x509.path(chain, root, at)
        _leaf(chain[0], cluster)
    except (der.NotDer, cms.NotSigned, sm2.NotSm2, x509.NotTrusted) as error:
        raise NotStamped(error) from None
    return at, chain[0].names[x509.COMMON_NAME][0] if chain[0].names.get(x509.COMMON_NAME) else ""


def _token(data):
    """TSTInfo, certificates as they lie there, and the content of the SignerInfo."""
    outer = der.Reader(data)
    response = outer.enter(der.SEQUENCE)
    outer.end()
    status = response.enter(der.SEQUENCE)
    _must(status.integer() == 0, "not granted")
    status.end()
    token = response.enter(der.SEQUENCE)
    response.end()
    _must(token.oid() == TOKEN, "another type of content")
    tagged = token.enter(0xA0)
    token.end()
    signed = tagged.enter(der.SEQUENCE)
    tagged.end()
    _must(signed.integer() == 3, "another version")
    algorithms = signed.enter(der.SET)
    _algorithm(algorithms, cms.SM3)
    algorithms.end()
    inner = signed.enter(der.SEQUENCE)
    _must(inner.oid() == TST_INFO, "another type of stamped content")
    tagged = inner.enter(0xA0)
    inner.end()
    info = tagged.take(der.OCTET_STRING)
    tagged.end()
    sets, certificates = signed.enter(0xA0), []
    while not sets.done():
        certificates.append(sets.whole(der.SEQUENCE))
    signers = signed.enter(der.SET)
    signed.end()
    signer = signers.take(der.SEQUENCE)
    signers.end()
    return info, certificates, signer


def _info(data, content) -> int:
    outer = der.Reader(data)
    info = outer.enter(der.SEQUENCE)
    outer.end()
    _must(info.integer() == 1, "another version of TSTInfo")
    _must(info.oid() == POLICY, "another policy")
    imprint = info.enter(der.SEQUENCE)
    _algorithm(imprint, cms.SM3)
    _must(imprint.take(der.OCTET_STRING) == sm3.hash(content), "over something else")
    imprint.end()
    _must(info.integer() in SERIALS, "a serial number that is not of 16 bytes")
    at = _time(info.take(der.GENERALIZED_TIME))
    accuracy = info.enter(der.SEQUENCE)
    _must(accuracy.integer() == 1, "another accuracy")
    accuracy.end()
    _must(info.integer() in NONCES, "no nonce of at most 20 bytes")
    info.end()
    return at


def _time(content) -> int:
    _must(len(content) == 15 and content[14:] == b"Z" and content[:14].isdigit(), "not a time in whole seconds")
    text = content.decode("ascii")
    _must(text >= "1970", "a time before 1970")
    return der.seconds(int(text[:4]), *(int(text[at : at + 2]) for at in range(4, 14, 2)))


def _chain(certificates, signer) -> list:
    """The certificates, the signer's first, each before its issuer's."""
    _must(1 <= len(certificates) <= x509.CHAIN_MAX, f"{len(certificates)} certificates")
    _must(all(a < b for a, b in zip(certificates, certificates[1:])), "certificates out of order")
    reader = der.Reader(signer)
    reader.integer()
    named = reader.enter(der.SEQUENCE)
    issuer, serial = named.whole(der.SEQUENCE), named.integer()
    left, chain = [x509.parse(certificate) for certificate in certificates], []
    while left:
        if chain:
            fits = [one for one in left if one.subject == chain[-1].issuer]
        else:
            fits = [one for one in left if (one.issuer, one.serial) == (issuer, serial)]
        _must(len(fits) == 1, "certificates that are no chain of the signer's")
        left.remove(fits[0])
        chain += fits
    return chain


def _signer(content, info, at, leaf):
    signer = der.Reader(content)
    _must(signer.integer() == 1, "another version of the signer")
    named = signer.enter(der.SEQUENCE)
    _must(named.whole(der.SEQUENCE) == leaf.issuer, "another issuer")
    _must(named.integer() == leaf.serial, "another serial number")
    named.end()
    _algorithm(signer, cms.SM3)
    attributes = signer.take(0xA0)
    _algorithm(signer, x509.SM2_WITH_SM3)
    signature = signer.take(der.OCTET_STRING)
    signer.end()

    found = cms.attributes(attributes)
    four = {cms.CONTENT_TYPE, cms.SIGNING_TIME, cms.MESSAGE_DIGEST, SIGNING_CERTIFICATE_V2}
    _must(set(found) == four, "other attributes than the four")
    _must(found[cms.CONTENT_TYPE].oid() == TST_INFO, "another type of signed content")
    _must(found[cms.SIGNING_TIME].time() == at, "signed at another time")
    _must(found[cms.MESSAGE_DIGEST].take(der.OCTET_STRING) == sm3.hash(info), "the digest is of another TSTInfo")
    signing = found[SIGNING_CERTIFICATE_V2].enter(der.SEQUENCE)
    certificates = signing.enter(der.SEQUENCE)
    signing.end()
    named = certificates.enter(der.SEQUENCE)
    certificates.end()
    _algorithm(named, cms.SM3)
    _must(named.take(der.OCTET_STRING) == sm3.hash(leaf.der), "signed under another certificate")
    named.end()
    for values in found.values():
        values.end()
    # RFC 5652, 5.4: what is signed is the SET, not the tagged form it travels in.
    message = der.SET.to_bytes(1, "big") + der.length(len(attributes)) + attributes
    _must(sm2.is_signed(leaf.key, message, signature), "the signature does not fit")


def _leaf(leaf, cluster):
    _must(leaf.names.get(x509.ORGANIZATION) == [cluster], "the authority is not of the cluster")
    _must(leaf.usage == {x509.DIGITAL_SIGNATURE}, "the key usage is not digitalSignature alone")
    _must(leaf.purposes == (True, [TIME_STAMPING]), "not for time stamping alone, critical")


def _algorithm(reader, oid):
    algorithm = reader.enter(der.SEQUENCE)
    _must(algorithm.oid() == oid, f"another algorithm than {oid}")
    algorithm.end()


def _must(holds: bool, why: str):
    if not holds:
        raise NotStamped(why)


def check(findings, package, manifest, is_there: bool, why: str, root):
    """`root`: certificate of `trust/root.pem`, or None."""
    if not is_there:
        findings.absent("timestamp", why)
        return
    try:
        at, authority = verify(package.read(STAMP), package.read("manifest.p7s"), root, manifest["cluster"])
        _must(1000 * at + BEFORE_SEAL_MS_MAX >= manifest["sealed_at"], "a minute or more before the seal")
        findings.holds_unless_faulty("timestamp", f"{authority} at {at}")
    except (NotReadable, NotStamped) as error:
        findings.fault("timestamp", STAMP, error)
