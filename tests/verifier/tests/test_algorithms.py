"""Known answers of the standards."""

import random
import unittest

from verifier import canonical, der, sm2, sm3, tree


class Sm3(unittest.TestCase):
    # GB/T 32905-2016, annex A.
    ANSWERS = {
        b"abc": "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
        b"abcd" * 16: "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732",
    }

    def test_the_standard(self):
        for data, answer in self.ANSWERS.items():
            self.assertEqual(sm3.hash(data).hex(), answer)

    def test_plain_python_at_every_length_of_a_block(self):
        for data, answer in self.ANSWERS.items():
            plain = sm3.Plain()
            plain.update(data)
            self.assertEqual(plain.digest().hex(), answer)
        for length in range(200):
            data = bytes(range(length))
            plain = sm3.Plain()
            plain.update(data[:length // 3])
            plain.update(data[length // 3:])
            self.assertEqual(plain.digest(), sm3.hash(data), length)


class Sm2(unittest.TestCase):
    # GB/T 32918.5-2017, annex A.2.
    KEY = bytes.fromhex(
        "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
        "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
    )
    R = 0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3
    S = 0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA

    @staticmethod
    def der(*numbers):
        body = b""
        for number in numbers:
            raw = number.to_bytes(number.bit_length() // 8 + 1, "big")
            body += bytes([2, len(raw)]) + raw
        return bytes([0x30, len(body)]) + body

    def test_the_standard(self):
        self.assertTrue(sm2.is_signed(self.KEY, b"message digest", self.der(self.R, self.S)))

    def test_anything_else_is_refused(self):
        good = self.der(self.R, self.S)
        self.assertFalse(sm2.is_signed(self.KEY, b"message digesu", good))
        self.assertFalse(sm2.is_signed(self.KEY, b"message digest", good, b"another"))
        for r, s in ((self.S, self.R), (0, self.S), (self.R, 0), (self.R + sm2.N, self.S), (self.R, sm2.N - self.R)):
            self.assertFalse(sm2.is_signed(self.KEY, b"message digest", self.der(r, s)), (r, s))
        for at in range(len(good)):
            for bit in range(8):
                bad = bytearray(good)
                bad[at] ^= 1 << bit
                self.assertFalse(sm2.is_signed(self.KEY, b"message digest", bytes(bad)), (at, bit))
        self.assertFalse(sm2.is_signed(self.KEY, b"message digest", good + b"\0"))
        self.assertFalse(sm2.is_signed(self.KEY[:-1] + b"\0", b"message digest", good))

    def test_the_curve(self):
        self.assertEqual(sm2.point(b"\4" + sm2.GX.to_bytes(32, "big") + sm2.GY.to_bytes(32, "big")), (sm2.GX, sm2.GY))
        # [n - 1]G + [1]G is the point at infinity, and [2]G is on both ways the same.
        g = (sm2.GX, sm2.GY)
        self.assertIsNone(sm2._sum_of_two(sm2.N - 1, g, 1, g))
        self.assertEqual(sm2._sum_of_two(1, g, 1, g), sm2._sum_of_two(2, g, 0, g))


class Trees(unittest.TestCase):
    def test_the_shape_of_rfc_6962(self):
        def by_definition(leaves):
            if len(leaves) == 1:
                return tree.leaf(leaves[0])
            k = 1
            while 2 * k < len(leaves):
                k *= 2
            return tree.node(by_definition(leaves[:k]), by_definition(leaves[k:]))

        for count in range(1, 70):
            leaves = [bytes([n]) for n in range(count)]
            self.assertEqual(tree.root(leaves), by_definition(leaves), count)

    def test_the_root_of_nothing_is_the_hash_of_nothing(self):
        # SM3 of the empty string, as OpenSSL's documentation and GmSSL give it.
        self.assertEqual(tree.root([]).hex(), "1ab21d8355cfa17f8e61194831e81a8f22bec8c728fefb747ed035eb5082aa2b")


class CanonicalJson(unittest.TestCase):
    def test_rfc_8785_strings_and_order(self):
        text = '{"\\r":2,"1":4,"\u0080":6,"ö":7,"€":1,"😀":5,"\ufb33":3}'
        value = {"€": 1, "\r": 2, "\ufb33": 3, "1": 4, "😀": 5, "\u0080": 6, "ö": 7}
        self.assertEqual(canonical.write(value).decode(), text)
        self.assertEqual(canonical.parse(text.encode()), value)
        self.assertEqual(canonical.write("€$\x0f\nA'B\"\\\\\"/").decode(), '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"')

    def test_other_forms_are_refused(self):
        for text in (
            '{"b":2,"a":1}', '{"a": 1}', '{"a":1,"a":1}', '{"a":1}\n', '{"\\u0061":1}', "1.5", "1e3", "-0", "01", "+1",
            "9007199254740992", "[null]", "NaN", "Infinity", '"\\ud800"', '"\\u000F"', '"\\/"', "", "[1,]", "\ufeff1",
            "[" * 5000 + "]" * 5000, "9" * 5000, '"\x01"',
        ):  # fmt: skip
            with self.assertRaises(canonical.NotCanonical, msg=text[:40]):
                canonical.parse(text.encode())
        with self.assertRaises(canonical.NotCanonical):
            canonical.parse(b'"\xff"')
        for text in ("[-3,9007199254740991]", '{"[":"]{\\""}', '""'):
            self.assertEqual(canonical.write(canonical.parse(text.encode())).decode(), text)


class Der(unittest.TestCase):
    def test_one_form_only(self):
        good = {"0203010001": 65537, "020100": 0, "0201ff": -1, "02020080": 128}
        for text, value in good.items():
            self.assertEqual(der.Reader(bytes.fromhex(text)).integer(), value)
        for text in ("0200", "02020001", "0202ff80", "02810101", "0282000101", "020201", "1f0101", "0280"):
            with self.assertRaises(der.NotDer, msg=text):
                der.Reader(bytes.fromhex(text)).integer()
        self.assertEqual(der.Reader(bytes.fromhex("06082a811ccf55018375")).oid(), "1.2.156.10197.1.501")
        for text in ("0600", "06022a80", "06032a8001"):
            with self.assertRaises(der.NotDer, msg=text):
                der.Reader(bytes.fromhex(text)).oid()

    def test_times(self):
        read = lambda tag, text: der.Reader(bytes([tag, len(text)]) + text.encode()).time()
        self.assertEqual(read(der.UTC_TIME, "700101000000Z"), 0)
        self.assertEqual(read(der.UTC_TIME, "261122161548Z"), 1795364148)
        self.assertEqual(read(der.GENERALIZED_TIME, "20500101000000Z"), 2524608000)
        self.assertEqual(read(der.UTC_TIME, "491231235959Z"), 2524607999)
        for tag, text in (
            (der.UTC_TIME, "260229000000Z"), (der.UTC_TIME, "2611221615Z"), (der.UTC_TIME, "261122161548+"),
            (der.UTC_TIME, "261122246060Z"), (der.GENERALIZED_TIME, "20261122161548Z"),
        ):  # fmt: skip
            with self.assertRaises(der.NotDer, msg=text):
                read(tag, text)

    def test_noise_is_an_error_and_nothing_else(self):
        dice = random.Random(5)
        for _ in range(20_000):
            reader = der.Reader(bytes(dice.choices((0, 1, 2, 3, 6, 0x17, 0x30, 0x80, 0x81, 0xA0, 255), k=dice.randrange(12))))
            for read in (reader.integer, reader.oid, reader.time, reader.named_bits, reader.bit_string, reader.boolean):
                try:
                    read()
                except der.NotDer:
                    pass


if __name__ == "__main__":
    unittest.main()
