"""What can be wrong with a data set. An error is what the loader refuses, a warning what it makes do with."""

from __future__ import annotations

from dataclasses import dataclass

ERROR, WARNING = "error", "warning"

ERRORS = (
    "missing_folder",
    "empty_folder",
    "unreadable_folder",
    "same_stem",
    "same_number",
    "no_masks",
    "zero_bytes",
    "truncated",
    "unreadable",
    "size_mismatch",
    "bad_dataset_json",
    "bad_annotation",
    "refused",
)
WARNINGS = (
    "one_domain",
    "domain_sizes",
    "picture_without_masks",
    "mask_without_picture",
    "mask_without_number",
    "numbering_gap",
    "empty_mask",
    "tiny_mask",
    "full_mask",
    "duplicate_mask",
    "overlapping_masks",
    "not_binary",
    "faint_mask",
    "sixteen_bit",
    "few_levels",
    "cmyk",
    "animated",
    "transparency",
    "wrong_ending",
    "reader_warning",
    "other_file",
    "other_folder",
    "broken_link",
    "link_loop",
    "odd_name",
    "long_name",
    "not_as_prepared",
    "rectangles",
    "absent_image",
    "tiny_box",
    "same_box",
)
SEVERITIES = dict.fromkeys(ERRORS, ERROR) | dict.fromkeys(WARNINGS, WARNING)
"""Code of a finding -> whether training on the data set stops there."""


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong. file: relative to the data set's root, parts separated by /. message: one sentence.

    brightest: highest level of a picture of more than 8 bits a channel.
    """

    file: str
    code: str
    message: str
    brightest: int = 0

    @property
    def severity(self) -> str:
        return SEVERITIES[self.code]
