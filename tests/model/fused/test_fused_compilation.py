"""The kernels between products compiled for a GPU that need not be there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("triton") is None:
    pytest.skip("no Triton here", allow_module_level=True)

COMPILE = """
import json, sys
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from phylotools.model.fused import kernels, steps

folder, half, kinds_wanted = sys.argv[1], int(sys.argv[2]), sys.argv[3].split(",")
width, rows = steps._program(half)
size = {"ROWS": rows, "WIDTH": width}


def compiled(name, kernel, kinds, constants, options=None):
    signature = {
        argument: "constexpr" if argument in constants else kinds.get(argument, "i32")
        for argument in kernel.arg_names
    }
    aligned = {
        (index,): [["tt.divisibility", 16]]
        for index, argument in enumerate(kernel.arg_names)
        if signature[argument].startswith("*") or argument in ("half", "columns") and half % 16 == 0
    }
    source = ASTSource(kernel, signature=signature, constexprs=constants, attrs=aligned)
    found = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    with open(f"{folder}/{name}.cubin", "wb") as file:
        file.write(found.asm["cubin"])


floats = ("around", "bias", "total", "norm", "moments")
for kind in kinds_wanted:
    kinds = dict.fromkeys(floats, "*fp32") | {"product": f"*{kind}", "out": f"*{kind}"}
    for step in (kernels.BY_POSITION, kernels.MEASURE, kernels.GIVEN):
        for around, product in ((True, False), (True, True), (False, True)):
            constants = {
                "STEP": step.value, "HAS_AROUND": around, "HAS_PRODUCT": product,
                "IS_SUMMED": around, **size,
            }
            name = f"activate-{kind}-{step.value}-{around}-{product}"
            compiled(name, kernels.activate, kinds, constants)
    kinds = {"source": f"*{kind}", "packed": f"*{kind}"}
    compiled(f"pack-{kind}", kernels.pack, kinds, {"TAPS": 5, **size})
    if kind != "fp32":
        kinds = dict.fromkeys(("source", "weights", "product"), f"*{kind}")
        constants = {
            "TAPS": 5, "ROWS": steps._PRODUCT_ROWS, "COLUMNS": 256, "CHUNK": steps._PRODUCT_CHUNK,
        }
        options = {"num_warps": 8, "num_stages": 3}
        compiled(f"product-{kind}", kernels.dilated_product, kinds, constants, options)
"""


@pytest.mark.parametrize(("half", "kinds"), [(480, "fp32,bf16"), (3, "fp16")])
def test_every_variant_compiles_and_keeps_its_rows_in_registers(half, kinds, tmp_path):
    """For an H100 or H200: nothing spilled; of published shapes 20 warps to a multiprocessor."""
    environment = {key: x for key, x in os.environ.items() if key != "TRITON_INTERPRET"}
    command = [sys.executable, "-c", COMPILE, str(tmp_path), str(half), kinds]
    subprocess.run(command, env=environment, check=True)
    tool = Path(find_spec("triton").origin).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    variants = sorted(tmp_path.glob("*.cubin"))
    narrow = {"bf16", "fp16"} & set(kinds.split(","))
    assert len(variants) == len(kinds.split(",")) * (3 * 3 + 1) + len(narrow)
    for cubin in variants:
        usage = subprocess.run(
            [tool, "-res-usage", cubin], check=True, capture_output=True, text=True
        ).stdout
        is_product = cubin.name.startswith("product")
        assert re.search(r"STACK:(\d+)", usage)[1] == "0" or (is_product and half == 3), cubin.name
        if half == 480 and not is_product:
            registers = int(re.search(r"REG:(\d+)", usage)[1])
            assert registers * 32 * 20 <= 65536, cubin.name
