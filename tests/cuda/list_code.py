#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""list_code.py FILE [ARCH...]: which machine code and PTX a CUDA object or library holds, as cuobjdump
--list-elf --list-ptx does, for machines that have nvcc without it. Fails if machine code for one of ARCH (75, ...) or all PTX is missing.

The layout is that of fatbinary headers: magic 0xba55ed50, 16 bytes; then entries, each with a header
that holds kind (1 PTX, 2 machine code), its own size, the size of the code and the architecture."""
import struct
import sys

MAGIC = struct.pack("<I", 0xBA55ED50)

found = []
data = open(sys.argv[1], "rb").read()
at = data.find(MAGIC)
while at >= 0:
    _, _, header, size = struct.unpack_from("<IHHQ", data, at)
    entry, end = at + header, at + header + size
    while entry + 32 <= end:
        kind, _, entry_header, code = struct.unpack_from("<HHIQ", data, entry)
        (arch,) = struct.unpack_from("<I", data, entry + 28)
        if kind not in (1, 2) or entry_header == 0:
            break
        found.append(f"{'PTX' if kind == 1 else 'ELF'} sm_{arch} {code} bytes")
        entry += entry_header + code
    at = data.find(MAGIC, at + 4)
print("\n".join(found) if found else "no CUDA code")
missing = [a for a in sys.argv[2:] if not any(f.startswith(f"ELF sm_{a} ") for f in found)]
if missing or not any(f.startswith("PTX") for f in found):
    sys.exit(f"missing: {' '.join(missing) or 'PTX'}")
