"""The time stamp: one that was made elsewhere, and what is refused of it."""

import pathlib
import unittest

from verifier import der, stamp, x509

HERE = pathlib.Path(__file__).parent / "stamp"
CLUSTER = "5e1f5e1f5e1f5e1f5e1f5e1f5e1f5e1f"


class Stamp(unittest.TestCase):
    def setUp(self):
        self.seal, self.stamp = ((HERE / name).read_bytes() for name in ("seal.p7s", "seal.tsr"))
        (root,) = x509.from_pem((HERE / "root.pem").read_bytes())
        self.root = x509.parse(root)

    def verify(self, data=None, seal=None, cluster=CLUSTER):
        return stamp.verify(self.stamp if data is None else data, self.seal if seal is None else seal, self.root, cluster)

    def test_one_made_elsewhere(self):
        self.assertEqual(self.verify(), (1_795_000_071, "b1-1"))

    def test_over_something_else_or_of_another_cluster(self):
        for changed in ({"seal": self.seal + b"\0"}, {"seal": b""}, {"cluster": "another"}):
            with self.assertRaises(stamp.NotStamped):
                self.verify(**changed)
        with self.assertRaises(stamp.NotStamped):
            stamp.verify(self.stamp, self.seal, None, CLUSTER)

    def test_no_byte_may_change(self):
        for at in range(len(self.stamp)):
            spoilt = bytearray(self.stamp)
            spoilt[at] ^= 1 << at % 8
            for data in (bytes(spoilt), self.stamp[:at]):
                with self.assertRaises(stamp.NotStamped, msg=at):
                    self.verify(data)
        for more in (b"\0", bytes(stamp.BYTES_MAX)):
            with self.assertRaises(stamp.NotStamped):
                self.verify(self.stamp + more)

    def test_the_leaf_is_for_time_stamping_alone(self):
        (certificates, signer) = stamp._token(self.stamp)[1:]
        leaf = stamp._chain(certificates, signer)[0]
        stamp._leaf(leaf, CLUSTER)
        for name, value in (
            ("purposes", (False, [stamp.TIME_STAMPING])),
            ("purposes", (True, [stamp.TIME_STAMPING, "1.3.6.1.5.5.7.3.1"])),
            ("purposes", (True, [])),
            ("purposes", None),
            ("usage", {x509.DIGITAL_SIGNATURE, 1}),
            ("usage", None),
        ):
            before = getattr(leaf, name)
            setattr(leaf, name, value)
            with self.assertRaises(stamp.NotStamped, msg=(name, value)):
                stamp._leaf(leaf, CLUSTER)
            setattr(leaf, name, before)

    def test_times(self):
        self.assertEqual(stamp._time(b"20261118110751Z"), 1_795_000_071)
        self.assertEqual(stamp._time(b"19700101000000Z"), 0)
        for wrong in (b"20261118110751.5Z", b"20261118110751", b"202611181107Z", b"20261118110751+0000", b"19691231235959Z"):
            with self.assertRaises(stamp.NotStamped, msg=wrong):
                stamp._time(wrong)
        for wrong in (b"20261131110751Z", b"20261118240000Z", b"20261118235960Z"):
            with self.assertRaises(der.NotDer, msg=wrong):
                stamp._time(wrong)


if __name__ == "__main__":
    unittest.main()
