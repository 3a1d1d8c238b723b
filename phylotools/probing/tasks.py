"""The tasks that embeddings are judged by: what has a label, and which figure says how well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Cell = Literal["base", "bin", "region"]
Kind = Literal["classes", "labels"]
Metric = Literal["mcc", "auroc", "auprc"]

#: Bases of a bin of enhancer annotation, as BEND has them.
BIN = 128


@dataclass(frozen=True)
class Task:
    """A task.

    Attributes
    ----------
    name : str
    cell : Cell
        What has a label: each base, each bin of `BIN` bases, or each region.
    kind : Kind
        One of several classes, or any number of labels that are there or not.
    metric : Metric
        Matthews' correlation coefficient over all cells; AUROC averaged over the labels; AUPRC
        over all cells.
    hidden : int
        Channels of the convolutional head.
    learning_rate : float
    batch_size : int
        Samples of a step. These three are those of BEND's configurations.
    """

    name: str
    cell: Cell
    kind: Kind
    metric: Metric
    hidden: int = 64
    learning_rate: float = 0.003
    batch_size: int = 64


TASKS = {
    task.name: task
    for task in (
        Task("gene-finding", "base", "classes", "mcc"),
        Task("bases", "base", "classes", "mcc"),
        Task("chromatin", "region", "labels", "auroc", batch_size=256),
        Task("histone", "region", "labels", "auroc", batch_size=256),
        Task("cpg", "region", "labels", "auroc", batch_size=256),
        Task("regions", "region", "classes", "mcc"),
        Task("enhancer", "bin", "labels", "auprc", 2, 0.001, 8),
    )
}
#: Judged without a head: the distance between the embeddings of REF and ALT.
VARIANTS = "variants"
METRIC_NAMES = {"mcc": "MCC", "auroc": "AUROC", "auprc": "AUPRC"}
