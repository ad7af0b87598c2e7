import json
import pathlib
import struct
import zlib


class CheckpointFile:
    """The header, metadata and data of a checkpoint, to look at and to write again, changed."""

    def __init__(self, path):
        raw = pathlib.Path(path).read_bytes()
        length = struct.unpack("<Q", raw[:8])[0]
        self.header, self.data = json.loads(raw[8:8 + length]), raw[8 + length:]
        self.metadata = self.header.pop("__metadata__")
        self.run = json.loads(self.metadata["run"])

    def bytes(self, checksum=True):
        """The whole file; without metadata where self.metadata is empty."""
        def whole(metadata):
            head = {"__metadata__": metadata, **self.header} if metadata else self.header
            text = json.dumps(head, separators=(",", ":")).encode()
            return struct.pack("<Q", len(text)) + text + self.data
        if not self.metadata:
            return whole({})
        metadata = {k: v for k, v in self.metadata.items() if k != "crc32"} | {"run": json.dumps(self.run)}
        if checksum:
            metadata["crc32"] = f"{zlib.crc32(whole({**metadata, 'crc32': '00000000'})):08x}"
        return whole(metadata)


def steps(run):
    return sorted(run.glob("step-*.safetensors"))


def as_format_1(run):
    """Makes a run folder what the first version wrote: no checksum, sums, digests, schedule; one file. Returns its
    progress."""
    file = CheckpointFile(steps(run)[-1])
    file.header = {k.replace("state.optimiser.", "optimiser."): v for k, v in file.header.items()}
    file.metadata["format"] = "1"
    for key in ("data", "given", "instructions", "random", "schedule", "state"):
        del file.run[key]
    for key in ("checkpoint-every", "keep"):
        del file.run["train"][key]
    for key in ("sums", "learning_rate"):
        del file.run["progress"][key]
    progress = file.run["progress"]
    for old in (*steps(run), run / "last.safetensors", run / ".lock"):
        old.unlink()
    (run / "last.safetensors").write_bytes(file.bytes(checksum=False))
    del file.run["progress"]
    (run / "config.json").write_text(json.dumps(file.run))
    return progress
