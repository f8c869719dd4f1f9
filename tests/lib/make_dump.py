#!/usr/bin/python3
"""Make a large dump (version 7) out of a small real one, in the order `kdb5_util dump` has it.

    make_dump.py TEMPLATE OUT --principals N [--policies M] [--like NAME] [--keys copy|random]
                 [--prefix bulk]

TEMPLATE is the output of `kdb5_util dump` of a realm with at least one ordinary principal; all its
records are kept, so OUT loads into that realm, with its stash and its kadmin principals. Added are
N principals PREFIX0000000@REALM … and M policies PREFIX-policy0000 … that resemble principal NAME
(default: the last one that is not of the realm's own machinery). Their keys are that principal's
(which decrypt under the master key; --keys copy) or random bytes of the same length (default: what
a walk, a dump or a digest sees is the same). Counts are those added. OUT "-" is standard output.
"""
import argparse
import os
import sys

MACHINERY = (b"K/M@", b"krbtgt/", b"kadmin/", b"kiprop/", b"host/")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("template")
    parser.add_argument("out")
    parser.add_argument("-n", "--principals", type=int, required=True)
    parser.add_argument("-p", "--policies", type=int, default=0)
    parser.add_argument("--like")
    parser.add_argument("--keys", choices=("copy", "random"), default="random")
    parser.add_argument("--prefix", default="bulk")
    return parser.parse_args()


def name_of(line):
    return line.split(b"\t")[6]


def key_spans(fields):
    """Indexes in FIELDS of the key contents (not of salts)."""
    at, spans = 15 + 3 * int(fields[3]), []
    for _ in range(int(fields[4])):
        version, at = int(fields[at]), at + 2
        for part in range(version):
            if part == 0 and fields[at + 2] != b"-1":
                spans.append(at + 2)
            at += 3
    return spans


def principals(model, count, prefix, keys):
    fields = model.split(b"\t")
    realm = fields[6].rsplit(b"@", 1)[1]
    spans = key_spans(fields) if keys == "random" else []
    for i in range(count):
        name = b"%s%07d@%s" % (prefix, i, realm)
        fields[2], fields[6] = b"%d" % len(name), name
        for at in spans:
            length = len(fields[at]) // 2
            # The first two bytes are the length of the plain key; the rest is the ciphertext.
            fields[at] = fields[at][:4] + os.urandom(length - 2).hex().encode()
        yield b"\t".join(fields)


def main():
    args = arguments()
    with open(args.template, "rb") as file:
        header, *lines = file.readlines()
    if header != b"kdb5_util load_dump version 7\n":
        sys.exit("make_dump.py: %s is not a dump of version 7" % args.template)
    own = sorted((line for line in lines if line.startswith(b"princ\t")), key=name_of)
    policies = [line for line in lines if line.startswith(b"policy\t")]
    policies += [b"policy\t%s-policy%04d\t0\t%d\t8\t2\t5\t0\t3\t60\t300\t0\t0\t0\t-\t0\n"
                 % (args.prefix.encode(), i, 86400 * (1 + i % 365)) for i in range(args.policies)]
    models = [line for line in own if not name_of(line).startswith(MACHINERY)]
    if args.like:
        models = [line for line in own if name_of(line).split(b"@")[0] == args.like.encode()]
    if not models:
        sys.exit("make_dump.py: no principal in %s to resemble" % args.template)
    prefix = args.prefix.encode()
    with sys.stdout.buffer if args.out == "-" else open(args.out, "wb") as out:
        out.write(header)
        out.writelines(line for line in own if name_of(line) < prefix)
        out.writelines(principals(models[-1], args.principals, prefix, args.keys))
        out.writelines(line for line in own if name_of(line) >= prefix)
        out.writelines(sorted(policies))


if __name__ == "__main__":
    main()
