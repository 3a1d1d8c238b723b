# The configuration, checked: what is wrong with it is one line.

import os
import shlex
import sys
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator


def stop(problem):
    """End with a line that says what is wrong with the configuration."""
    raise WorkflowError(f"error: configuration: {problem}")


def with_defaults(given, schema):
    """The configuration with what it leaves out."""
    parts = schema["properties"]
    for key, part in parts.items():
        if key not in given and "default" in part:
            given[key] = part["default"]
        if part.get("properties") and isinstance(given.get(key), dict):
            given[key] = with_defaults(dict(given[key]), part)
    return given


def check_configuration():
    """Raise for a configuration that is not as the schema has it, or names files that are not."""
    path = Path(workflow.basedir) / "schemas" / "config.schema.yaml"
    schema = yaml.safe_load(path.read_text())
    config.update(with_defaults(config, schema))
    problems = sorted(Draft202012Validator(schema).iter_errors(config), key=str)
    if problems:
        where = ".".join(map(str, problems[0].absolute_path))
        stop(f"{where}: {problems[0].message}" if where else problems[0].message)
    unknown = sorted(set(config["evaluate"]) - set(config["variants"]))
    if unknown:
        stop(f"evaluate: {unknown[0]} is none of the samples of variants")
    named = {
        "alignments": config["alignments"],
        "tree": [config["tree"]],
        "reference": [config["reference"]],
        "train.config": [config["train"]["config"]] if config["train"]["config"] else [],
        "variants": config["variants"].values(),
    }
    for key, paths in named.items():
        for path in paths:
            if not os.path.isfile(path):
                stop(f"{key}: {path}: there is no such file in {os.getcwd()}")


check_configuration()

SAMPLES = list(config["variants"])
JUDGED = list(config["evaluate"])
ASSEMBLY = f"--assembly {shlex.quote(config['assembly'])}" if config["assembly"] else ""


wildcard_constraints:
    sample="[A-Za-z0-9_-]+",
    part="[0-9]+",


def parts_of(plan, folder):
    """A file for each part that a plan has, whose stage `-init` printed how many they are."""
    return expand(f"{folder}/{{part}}", part=range(int(Path(plan).read_text())))


def parts_of_columns(wildcards):
    return parts_of(checkpoints.plan_columns.get().output.parts, "results/columns.done")


def parts_of_variants(wildcards):
    plan = checkpoints.plan_variants.get(sample=wildcards.sample).output.parts
    return parts_of(plan, f"results/variants/{wildcards.sample}.done")


def parts_of_tracks(wildcards):
    return parts_of(checkpoints.plan_tracks.get().output.parts, "results/tracks.done")
