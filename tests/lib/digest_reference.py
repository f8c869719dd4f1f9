#!/usr/bin/python3
"""The content digest of a dump, computed a second time from common/kdb/digest.c's description alone.

    digest_reference.py NONCEHEX DUMP      prints PRINCIPALS POLICIES DIGEST
    digest_reference.py                    prints the vectors of tests/unit/test_digest.c

It believes the dump (version 4 to 7); judging it is common/dump's work.
"""
import hashlib
import hmac
import struct
import sys

WORD = 1 << 32


def u16(value):
    return struct.pack(">H", value % (1 << 16))


def u32(value):
    return struct.pack(">I", value % WORD)


def counted(data):
    return u32(len(data)) + data


def tl_data(kind, data):
    return b"T" + u16(kind) + counted(data)


def key(version, kvno, parts):
    return b"K" + u16(version) + u16(kvno) + b"".join(
        b"C" + u16(kind) + counted(data) for kind, data in parts)


def principal(name, numbers, tls, keys, e_data=b""):
    """NUMBERS: attributes, max_life, max_renewable_life, expiration, pw_expiration."""
    keys = sorted(keys, key=lambda k: -k[1])
    return (b"P" + counted(name) + b"".join(map(u32, numbers))
            + b"".join(tl_data(*t) for t in tls) + b"".join(key(*k) for k in keys)
            + (b"E" + counted(e_data) if e_data else b""))


def policy(name, numbers, keysalts=None, tls=()):
    """NUMBERS: the eleven of struct digest_policy."""
    assert len(numbers) == 11
    return (b"O" + counted(name) + b"".join(map(u32, numbers))
            + (b"\0" if keysalts is None else b"\1" + counted(keysalts))
            + b"".join(sorted(tl_data(*t) for t in tls)))


def digest(nonce, records):
    total = sum(int.from_bytes(hmac.new(nonce, r, hashlib.sha256).digest(), "big")
                for r in records)
    return (total % (1 << 256)).to_bytes(32, "big").hex()


def octets(field):
    return b"" if field == b"-1" else bytes.fromhex(field.decode())


def read_tls(fields, count):
    tls = []
    for _ in range(count):
        kind, _, data = (fields.pop(0) for _ in range(3))
        tls.append((int(kind), octets(data)))
    return tls


def read_principal(line):
    fields = line.rstrip(b";\n").split(b"\t")[1:]
    _, _, n_tls, n_keys, _ = (int(f) for f in fields[:5])
    name, numbers, fields = fields[5], [int(f) for f in fields[6:11]], fields[14:]
    tls, keys = read_tls(fields, n_tls), []
    for _ in range(n_keys):
        version, kvno = int(fields.pop(0)), int(fields.pop(0))
        parts = []
        for _ in range(version):
            kind, _, data = (fields.pop(0) for _ in range(3))
            parts.append((int(kind), octets(data)))
        keys.append((version, kvno, parts))
    assert len(fields) == 1
    return principal(name, numbers, tls, keys, octets(fields[0]))


def read_policy(line):
    fields = line.rstrip(b"\n").split(b"\t")[1:]
    name, numbers = fields[0], [int(f) for f in fields[1:6] + fields[7:13]]
    numbers += [0] * (11 - len(numbers))
    keysalts = fields[13] if len(fields) > 13 and fields[13] != b"-" else None
    tls = read_tls(fields[15:], int(fields[14])) if len(fields) > 14 else []
    return policy(name, numbers, keysalts, tls)


def of_dump(nonce, path):
    principals = policies = total = 0
    with open(path, "rb") as dump:
        next(dump)
        for line in dump:
            if line.startswith(b"princ\t"):
                record, principals = read_principal(line), principals + 1
            else:
                record, policies = read_policy(line), policies + 1
            total += int(digest(nonce, [record]), 16)
    return principals, policies, (total % (1 << 256)).to_bytes(32, "big").hex()


def vectors():
    nonce = bytes(range(32))
    plain = principal(b"a@R", (128, 36000, 604800, 0, 0), [], [])
    full = principal(
        b"host/x\\/y\\@z\\tq@EXAMPLE.COM", (-1, 2**31, -2**31, 2**32 - 1, 1),
        [(1, bytes.fromhex("78563412")), (-5, b""), (11, b"k\0v\0")],
        [(1, 1, [(18, b"\1" * 62)]), (2, 3, [(18, b"\2" * 62), (4, b"salt")]),
         (1, 3, [(-9, b"")]), (0, 2, [])], b"extra")
    easy = policy(b"default", (0,) * 11)
    hard = policy(b"hard", tuple(range(1, 11)) + (2**32 - 1,), b"aes256-cts:normal",
                  [(300, b"b"), (300, b"a"), (256, b""), (-1, b"zz")])
    for name, records in (("none", []), ("plain", [plain]), ("full", [full]), ("easy", [easy]),
                          ("hard", [hard]), ("all", [hard, plain, easy, full]),
                          ("carry", [plain] * 1000)):
        print(name, digest(nonce, records))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(*of_dump(bytes.fromhex(sys.argv[1]), sys.argv[2]))
    else:
        vectors()
