#!/usr/bin/env python3
"""Makes sframe-f001.json and sframe-f002.json beside this file: SFrame vectors for our two suites, in the form
of RFC 9605, appendix C. Uses pyca/cryptography (OpenSSL), which shares no code with what the vectors test, and
first repeats two vectors of the RFC itself, so that the construction is the RFC's and only the algorithms ours.

    pip install cryptography==48.0.0 && python3 sframe.py
"""

import json
from pathlib import Path

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

# suite: name, block cipher, hash, Nka (CTR and HMAC suites only), Nk, Nt
SUITES = {
    0x0001: ("AES_128_CTR_HMAC_SHA256_80", algorithms.AES, hashes.SHA256, 16, 48, 10),
    0x0004: ("AES_128_GCM_SHA256_128", algorithms.AES, hashes.SHA256, None, 16, 16),
    0xF001: ("SM4_GCM_SM3_128", algorithms.SM4, hashes.SM3, None, 16, 16),
    0xF002: ("SM4_CTR_HMAC_SM3_80", algorithms.SM4, hashes.SM3, 16, 48, 10),
}
NN = 12


def mac(algorithm, key, data):
    keyed = hmac.HMAC(key, algorithm())
    keyed.update(data)
    return keyed.finalize()


def expand(algorithm, secret, info, length):
    out, block, number = b"", b"", 0
    while len(out) < length:
        number += 1
        block = mac(algorithm, secret, block + info + bytes([number]))
        out += block
    return out[:length]


def crypt(cipher, key, mode, data):
    worker = Cipher(cipher(key), mode).encryptor()
    return worker, worker.update(data) + worker.finalize()


def seal(suite, key, nonce, aad, pt):
    _, cipher, algorithm, nka, _, nt = SUITES[suite]
    if nka is None:
        worker = Cipher(cipher(key), modes.GCM(nonce)).encryptor()
        worker.authenticate_additional_data(aad)
        ct = worker.update(pt) + worker.finalize()
        return ct + worker.tag
    # RFC 9605, 4.5.1.
    _, ct = crypt(cipher, key[:nka], modes.CTR(nonce + bytes(4)), pt)
    lengths = b"".join(n.to_bytes(8, "big") for n in (len(aad), len(ct), nt))
    return ct + mac(algorithm, key[nka:], lengths + nonce + aad + ct)[:nt]


def field(value):
    if value < 8:
        return value, b""
    size = (value.bit_length() + 7) // 8
    return 8 | (size - 1), value.to_bytes(size, "big")


def vector(suite, kid, ctr, base_key, metadata, pt):
    _, _, algorithm, nka, nk, _ = SUITES[suite]
    (k, kid_bytes), (c, ctr_bytes) = field(kid), field(ctr)
    header = bytes([k << 4 | c]) + kid_bytes + ctr_bytes
    context = kid.to_bytes(8, "big") + suite.to_bytes(2, "big")
    key_label, salt_label = b"SFrame 1.0 Secret key " + context, b"SFrame 1.0 Secret salt " + context
    secret = mac(algorithm, b"", base_key)
    key, salt = expand(algorithm, secret, key_label, nk), expand(algorithm, secret, salt_label, NN)
    nonce = (int.from_bytes(salt, "big") ^ ctr).to_bytes(NN, "big")
    aad = header + metadata
    subkeys = {} if nka is None else {"enc_key": key[:nka].hex(), "auth_key": key[nka:].hex()}
    return {
        "cipher_suite": f"0x{suite:04X}",
        "kid": str(kid),
        "ctr": str(ctr),
        "base_key": base_key.hex(),
        "sframe_key_label": key_label.hex(),
        "sframe_salt_label": salt_label.hex(),
        "sframe_secret": secret.hex(),
        "sframe_key": key.hex(),
        "sframe_salt": salt.hex(),
        **subkeys,
        "header": header.hex(),
        "metadata": metadata.hex(),
        "nonce": nonce.hex(),
        "aad": aad.hex(),
        "pt": pt.hex(),
        "ct": (header + seal(suite, key, nonce, aad, pt)).hex(),
    }


def check_against_the_rfc():
    text = b"draft-ietf-sframe-enc"
    known = {
        0x0001: "9901234567449408b6f490086165b9d6f62b24ae1a59a56486b4ae8ed036b88912e24f11",
        0x0004: "9901234567b7412c2513a1b66dbb48841bbaf17f598751176ad847681a69c6d0b091c07018ce4adb34eb",
    }
    for suite, ct in known.items():
        made = vector(suite, 0x123, 0x4567, bytes(range(16)), b"IETF SFrame WG", text)
        assert made["ct"] == ct, f"not the vector of RFC 9605 for suite {suite}"


def cases():
    """Small and large numbers, each track of each party, empty, block-sized and odd lengths, later epochs."""
    text = b"draft-ietf-sframe-enc"
    key, other = bytes(range(32)), bytes(range(0xFF, 0xDF, -1))
    instance = 0x89ABCDEF << 32
    yield 0, 0, key, b"", text
    yield 0x123, 0x4567, key, b"IETF SFrame WG", text
    for number, (kid, track) in enumerate([(2, b"video"), (3, b"audio"), (4, b"video"), (5, b"audio")]):
        yield kid, instance + 2 + number, key, track, text
    for kid, size in [(7, 0), (8, 1), (10, 15), (11, 16), (12, 17), (13, 80), (0x123, 127), (2, 128), (3, 129)]:
        yield kid, size, other, b"audio", bytes((7 * i + size) % 256 for i in range(size))
    for size in (255, 1200, 1201, 5000):
        yield 4, (1 << 32) + size, other, b"video", bytes((13 * i + size) % 256 for i in range(size))
    yield (1 << 64) - 1, (1 << 64) - 2, other, b"audio", bytes(20)


def main():
    check_against_the_rfc()
    for suite in (0xF001, 0xF002):
        name = SUITES[suite][0]
        file = {
            "description": f"SFrame (RFC 9605) with the private suite 0x{suite:04X} {name}, in the form of the RFC's "
            "appendix C: kid and ctr are decimal, the rest is hex, ct is the whole sealed frame. Made by sframe.py.",
            "cipher_suite": f"0x{suite:04X}",
            "sframe": [vector(suite, *case) for case in cases()],
        }
        path = Path(__file__).with_name(f"sframe-{suite:04x}.json")
        path.write_text(json.dumps(file, indent=2) + "\n", encoding="utf-8")
        print(path.name, len(file["sframe"]))


main()
