"""What people look at: pictures of patches and frames, and pages that stand on their own."""

from sr_datasets.report.pictures import enlarged, row_pictures, side_by_side, studio_to_full, to_8bit

__all__ = ["enlarged", "row_pictures", "side_by_side", "studio_to_full", "to_8bit"]
