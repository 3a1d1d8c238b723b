#!/usr/bin/env python3
"""Submit a job script of Snakemake to SLURM, and print the number of the job.

Where this job is in the queue already, its number is printed and nothing submitted: Snakemake was
killed and begun again, and the jobs of its first life went on.
"""

import json
import os
import shlex
import subprocess
import sys

LOGS = "results/logs/slurm"
ALIVE = "PENDING,CONFIGURING,RUNNING,COMPLETING,SUSPENDED"


def main(script):
    with open(script) as handle:
        line = next(line for line in handle if line.startswith("# properties = "))
    job = json.loads(line.partition("=")[2])
    rule = job.get("rule") or job.get("groupid", "group")
    name = "-".join([rule, *map(str, job.get("wildcards", {}).values())])
    queue = subprocess.run(
        ["squeue", "--noheader", "--me", f"--states={ALIVE}", f"--name={name}", "--format=%i %Z"],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    for entry in queue.stdout.splitlines():
        number, _, folder = entry.strip().partition(" ")
        if folder == os.getcwd():
            print(number)
            return
    os.makedirs(LOGS, exist_ok=True)
    resources = job["resources"]
    command = [
        *("sbatch", "--parsable", "--requeue", f"--job-name={name}"),
        *(f"--cpus-per-task={job['threads']}", f"--mem={resources['mem_mb']}"),
        *(f"--time={resources['runtime']}", f"--output={LOGS}/{name}-%j.log"),
        *shlex.split(resources.get("sbatch", "")),
        script,
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    print(done.stdout.strip().partition(";")[0])


if __name__ == "__main__":
    main(sys.argv[1])
