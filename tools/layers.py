"""Reads tools/layers.txt: who may include and link whom. The format is described in that file."""

import pathlib


class Layers:
    def __init__(self, root):
        self.source = pathlib.Path(root) / "src"
        self.uses = {}  # layer -> words: layers and single headers
        self.libraries = []  # (pkg-config name, headers, layers)
        text = (pathlib.Path(root) / "tools" / "layers.txt").read_text()
        for line in text.splitlines():
            left, colon, right = line.split("#")[0].partition(":")
            words = left.split()
            if not colon:
                continue
            if words[0] == "library":
                self.libraries.append((words[1], words[2:], right.split()))
            else:
                self.uses[words[0]] = list(self.uses) if "*" in right else right.split()

    def owner(self, path):
        """The layer of a path below src/, None if it belongs to none."""
        owners = [layer for layer in self.uses if path.startswith(layer + "/")]
        return max(owners, key=len, default=None)

    def files(self, *suffixes):
        """Paths below src/, as they stand in an #include."""
        found = (p for p in self.source.rglob("*") if p.suffix in suffixes and p.is_file())
        return sorted(str(p.relative_to(self.source)) for p in found)

    def libraries_of(self, path):
        """(pkg-config name, headers) of every library that this file may include."""
        return [(name, headers) for name, headers, layers in self.libraries
                if any(path == layer or path.startswith(layer + "/") for layer in layers)]
