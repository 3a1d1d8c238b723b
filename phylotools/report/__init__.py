"""The quality report of a column store: numbers, a picture, and warnings with their cause."""

from phylotools.report.quality import AlignmentQuality, measure_quality
from phylotools.report.write import REPORT, ReportSummary, write_report

__all__ = ["REPORT", "AlignmentQuality", "ReportSummary", "measure_quality", "write_report"]
