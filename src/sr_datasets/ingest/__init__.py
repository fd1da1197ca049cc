"""Clips come in: fetched, made here or brought by a person; checked, probed and recorded in the store.

A clip gets its final name and its record when its bytes are proven as far as the manifest can prove them
and it has been probed from end to end; until then it lies in ``ROOT/<source>/.incoming/``. An archive stays
there until every clip that was asked of it is recorded, and is deleted then, to save the disk.
"""

from sr_datasets.ingest.fetching import FetchReport, explain_manual, fetch_clips
from sr_datasets.ingest.importing import ImportReport, import_files
from sr_datasets.ingest.planning import FetchPlan, PlannedFile, plan_fetch
from sr_datasets.ingest.verifying import Problem, repair_store, verify_store

__all__ = [
    "FetchPlan",
    "FetchReport",
    "ImportReport",
    "PlannedFile",
    "Problem",
    "explain_manual",
    "fetch_clips",
    "import_files",
    "plan_fetch",
    "repair_store",
    "verify_store",
]
