"""Lint a Galaxy tool, and run its tests as Galaxy would, by Galaxy's own library without a Galaxy.

Run by the Python of the workflow tools: ``galaxy_check.py TOOL.xml FOLDER``. Says what the linter
minds and which tests fail; exit code 0 if there is nothing of it.
"""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

from Cheetah.Template import Template
from galaxy.tool_util.lint import get_lint_context_for_tool_source, lint_tool_source_with
from galaxy.tool_util.parser import get_tool_source
from galaxy.tool_util.verify.asserts import verify_assertions


def main(tool: str, folder: str) -> int:
    """The process's exit code."""
    source = get_tool_source(tool)
    context = get_lint_context_for_tool_source(source)
    lint_tool_source_with(context, source)
    problems = [f"lint: {each}" for each in context.error_messages + context.warn_messages]
    tests = source.parse_tests_to_dict()["tests"]
    for number, test in enumerate(tests):
        place = Path(folder, str(number))
        place.mkdir()
        problems += run_test(source, Path(tool).parent / "test-data", test, place)
    if not tests:
        problems.append("there are no tests")
    print("\n".join(problems))
    return int(bool(problems))


def run_test(source: Any, data: Path, test: dict[str, Any], place: Path) -> list[str]:
    """Run the command of one test in a folder; what is wrong with what it leaves."""
    given = {each["name"]: each["value"] for each in test["inputs"]}
    values = dict(parameters(source, given, data))
    command = str(Template(source.parse_command(), searchList=[values])).replace("\n", " ")
    done = subprocess.run(["bash", "-c", command], cwd=place, capture_output=True, text=True)
    if done.returncode:
        return [f"{place.name}: exit code {done.returncode}: {done.stderr}"]
    found = []
    outputs, _ = source.parse_outputs(None)
    for wanted in test["outputs"]:
        content = (place / outputs[wanted["name"]].from_work_dir).read_bytes()
        if wanted["attributes"]["decompress"]:
            content = gzip.decompress(content)
        try:
            verify_assertions(content, wanted["attributes"]["assert_list"])
        except AssertionError as error:
            found.append(f"{place.name}: {wanted['name']}: {error}")
    return found


def parameters(source: Any, given: dict[str, str], data: Path) -> list[tuple[str, Any]]:
    """Name and value of every input as the command template gets them."""
    (page,) = source.parse_input_pages().page_sources
    return [(each.parse_name(), value_of(each, given, data)) for each in page.parse_input_sources()]


def value_of(parameter: Any, given: dict[str, str], data: Path) -> Any:
    """A parameter's value: the test's, else its default."""
    name, kind = parameter.parse_name(), parameter.get("type")
    value = given.get(name)
    if kind == "data":
        return None if value is None else str(data / value)
    if kind == "boolean":
        is_on = parameter.get_bool("checked", False) if value is None else value == "true"
        return parameter.get("truevalue" if is_on else "falsevalue")
    if kind == "select" and value is None:
        chosen = [option for _, option, is_chosen in parameter.parse_static_options() if is_chosen]
        return chosen[0] if chosen else None
    return parameter.get("value", "") or "" if value is None else value


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
