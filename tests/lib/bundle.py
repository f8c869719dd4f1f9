"""docs/bundle.md a second time: the bundle of an enrolment, read and written."""
import hashlib
import struct

MAGIC = b"kpropctl-bundle\n"
MUST = ["realm", "host", "primary", "created", "data-dir", "conf-dir", "keytab", "krb5.conf", "kdc.conf", "kpropd.acl",
        "agent.acl"]


def read(data):
    """The parts of a bundle: name -> bytes."""
    assert data.startswith(MAGIC), data[:40]
    version, total, count = struct.unpack_from(">IIB", data, len(MAGIC))
    assert (version, total) == (1, len(data))
    assert hashlib.sha256(data[:-32]).digest() == data[-32:]
    at, parts = len(MAGIC) + 9, {}
    for _ in range(count):
        name = data[at + 1:at + 1 + data[at]].decode()
        at += 1 + data[at]
        (size,) = struct.unpack_from(">I", data, at)
        assert name not in parts and 0 < size <= 1 << 20
        parts[name] = data[at + 4:at + 4 + size]
        at += 4 + size
    assert at == len(data) - 32
    assert set(MUST) <= set(parts) <= {*MUST, "stash"}, sorted(parts)
    return parts


def write(parts):
    """A bundle of parts: name -> bytes, or a list of such pairs; nothing is checked."""
    pairs = list(parts.items()) if isinstance(parts, dict) else parts
    body = b"".join(struct.pack(">B", len(name)) + name.encode() + struct.pack(">I", len(content)) + content
                    for name, content in pairs)
    head = MAGIC + struct.pack(">IIB", 1, len(MAGIC) + 9 + len(body) + 32, len(pairs))
    return head + body + hashlib.sha256(head + body).digest()
