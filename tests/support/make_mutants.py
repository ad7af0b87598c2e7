#!/usr/bin/env python3
"""make_mutants.py LIST SOURCE OUT: copies the device code of a folder with faults planted in it.

LIST is JSON: {"folder": "kernels/OP", "mutants": [{"file", "is", "becomes", "what"}, ...]}. "is" stands
exactly once in its file; a statement (it ends in ";") becomes
    if (mutant N is on) { "becomes" } else { "is" }
and anything else the expression (N is on ? "becomes" : "is"). So one compilation holds all mutants,
and which is on is decided when the program runs. X.cu becomes OUT/kernels/OP/X.cu.cpp, which the
emulation runs; OUT/mutants.cpp names the mutants."""
import json
import pathlib
import sys


def planted(number, mutant):
    on = f"(::kinema::test::mutant == {number})"
    was, becomes = mutant["is"], mutant["becomes"]
    if was.rstrip().endswith(";"):
        return f"if {on} {{ {becomes} }} else {{ {was} }}"
    return f"({on} ? {becomes} : {was})"


def main():
    listing, source, out = map(pathlib.Path, sys.argv[1:])
    plan = json.loads(listing.read_text())
    texts = {p.name: p.read_text() for p in (source / plan["folder"]).glob("*.cu*")}
    for number, mutant in enumerate(plan["mutants"], 1):
        text = texts.get(mutant["file"], "")
        if text.count(mutant["is"]) != 1:
            sys.exit(f"{listing.name}: expected {mutant['is']!r} once in {mutant['file']}, "
                     f"found it {text.count(mutant['is'])} times; say what stands there now")
        texts[mutant["file"]] = text.replace(mutant["is"], planted(number, mutant))
    folder = out / plan["folder"]
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        name += ".cpp" if name.endswith(".cu") else ""
        (folder / name).write_text('#include "tests/support/mutants.h"\n' + text)
    rows = "".join(f'    {{{json.dumps(m["file"])}, {json.dumps(m["what"])}}},\n'
                   for m in plan["mutants"])
    (out / "mutants.cpp").write_text(
        '#include "tests/support/mutants.h"\n\nnamespace kinema::test {\n\nint mutant = 0;\n\n'
        f"const std::vector<Mutant> mutants = {{\n{rows}}};\n\n}}  // namespace kinema::test\n")


main()
