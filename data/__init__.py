"""The ways to find pictures and masks. Adding one is a class in a file of its own and a line here."""

from data.boxes_mode import BoxFolder
from data.coco_mode import CocoFile
from data.entries import DataSource
from data.folders import Folders

DATASETS: dict[str, DataSource] = {
    "unaligned_seg": Folders(with_masks=True),
    "unaligned": Folders(with_masks=False),
    "coco": CocoFile(),
    "boxes": BoxFolder(),
}
"""``--dataset_mode`` -> the flags of a way, and the pictures that it finds."""
