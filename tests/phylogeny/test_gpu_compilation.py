"""The Triton kernel compiled for a GPU that need not be there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from phylotools.phylogeny.kernels.gpu import dispatch

if find_spec("triton") is None:
    pytest.skip("no Triton here", allow_module_level=True)

COMPILE = """
import json, sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from phylotools.phylogeny.kernels.gpu import dispatch
from phylotools.phylogeny.kernels.gpu.pruning import prune

family = getattr(dispatch, sys.argv[1])
constants = family.functions() | {
    "BLOCK": dispatch.BLOCK, "CHUNK": dispatch.CHUNK, "ROWS": dispatch.ROWS
}
kinds = dict.fromkeys(("states", "rows"), "*u8")
kinds |= dict.fromkeys(("tip_order", "clade", "first_merge", "scratch", "records"), "*i32")
kinds |= dict.fromkeys(("tip_depth", "merge_depth", "depths"), "*fp64")
kinds |= dict.fromkeys(("n_columns", "n_tips", "n_blocks"), "i32")
signature = {
    name: "constexpr" if name in constants else kinds.get(name, "*fp32")
    for name in prune.arg_names
}
aligned = {
    (index,): [["tt.divisibility", 16]]
    for index, name in enumerate(prune.arg_names)
    if signature[name].startswith("*") and name != "states"
}
options = {"num_warps": 1} | ({"maxnreg": family.registers} if family.registers else {})
compiled = triton.compile(
    ASTSource(prune, signature=signature, constexprs=constants, attrs=aligned),
    target=GPUTarget("cuda", 90, 32), options=options,
)
with open(sys.argv[2], "wb") as file:
    file.write(compiled.asm["cubin"])
print(json.dumps({"shared": compiled.metadata.shared}))
"""


def find_tool(name: str) -> Path:
    """A program of CUDA's that Triton brings along; found without importing Triton."""
    return Path(find_spec("triton").origin).parent / "backends" / "nvidia" / "bin" / name


@pytest.mark.parametrize("family", ["_F81", "_HKY", "_REVERSIBLE"])
def test_programs_of_a_multiprocessor_are_resident_together(family, tmp_path):
    """Compiled for an H100 or H200 without one: all programs must fit, or some wait for others."""
    environment = {key: x for key, x in os.environ.items() if key != "TRITON_INTERPRET"}
    cubin = tmp_path / "kernel.cubin"
    command = [sys.executable, "-c", COMPILE, family, str(cubin)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    programs = dispatch.PROGRAMS_PER_MULTIPROCESSOR
    assert (json.loads(done.stdout)["shared"] + 1024) * programs <= 228 * 1024
    usage = subprocess.run(
        [find_tool("cuobjdump"), "-res-usage", cubin], check=True, capture_output=True, text=True
    ).stdout
    registers = int(usage.split("REG:")[1].split()[0])
    # Registers are handed out to a warp by 256.
    assert -(-registers * 32 // 256) * 256 * programs <= 65536
