"""Unpacks the archives of one folder into another: unpack.py <from> <to>. Needs no xz and no tar."""

import lzma
import os
import shutil
import sys
import tarfile

source, target = sys.argv[1:]
for name in ("tree", "modules"):
    with tarfile.open(os.path.join(source, name + ".tar.xz")) as archive:
        archive.extractall(target)
node = os.path.join(source, "node.xz")
if os.path.exists(node):
    with lzma.open(node) as packed, open(os.path.join(target, "bin", "node"), "wb") as unpacked:
        shutil.copyfileobj(packed, unpacked)
