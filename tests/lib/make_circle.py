#!/usr/bin/python3
"""Damage a db2 database: behind its last leaf page comes the first again.

usage: make_circle.py PRINCIPAL
"""
import struct
import sys

LEAF = 0x02
META = 1

with open(sys.argv[1], "r+b") as file:
    data = file.read()
    size = struct.unpack_from("<I", data, 8)[0]
    first = last = 0
    for page in range(META, len(data) // size):
        before, behind, flags = struct.unpack_from("<III", data, page * size + 4)
        if flags & LEAF and before == 0:
            first = page
        if flags & LEAF and behind == 0:
            last = page
    file.seek(last * size + 8)
    file.write(struct.pack("<I", first))
