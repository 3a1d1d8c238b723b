#!/bin/sh
# What became of a job of SLURM, for snakemake: running, success or failed.
# squeue knows ended jobs for some minutes (MinJobAge), also where no slurmdbd keeps accounts; sacct
# is asked of those that it has forgotten. A job that nobody knows is failed: it is run again.
said=$(squeue --noheader --states=all --format=%T --jobs="$1" 2>&1)
case $said in
    COMPLETED) echo success; exit ;;
    *"Invalid job id"* | "") ;;
    # Lost with its node, or taken from it: SLURM queues it again.
    PENDING | CONFIGURING | RUNNING | COMPLETING | SUSPENDED | REQUEUED | REQUEUE_HOLD | RESIZING | \
    SIGNALING | STAGE_OUT | STOPPED | SPECIAL_EXIT | PREEMPTED) echo running; exit ;;
    *[!A-Z_]*) echo running; exit ;; # squeue's own complaint: its daemon is away
    *) echo failed; exit ;;
esac
case $(sacct --noheader --allocations --parsable2 --format=State --jobs="$1" 2>/dev/null) in
    COMPLETED) echo success ;;
    PENDING | RUNNING | REQUEUED | SUSPENDED) echo running ;;
    *) echo failed ;;
esac
