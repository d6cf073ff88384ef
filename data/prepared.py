"""What ``dataset.json`` tells of a data set, where it has one: categories, and what each mask was made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.keypoints import Keypoints, mirrored_order
from data.preparing import dataset_json
from data.preparing.tasks import Category
from instagan.errors import InputError

Id = int | str | None

UNTOLD = {"A": (Category("A"),), "B": (Category("B"),)}
"""Categories where nobody names them: one in each domain, called like it."""


@dataclass(frozen=True)
class Prepared:
    """Categories by domain, and the entries of dataset.json by picture, such as "trainA/790.png". May be empty."""

    root: Path
    categories: Mapping[str, tuple[Category, ...]] = field(default_factory=lambda: UNTOLD)
    pictures: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> Prepared:
        """Nothing told where there is no dataset.json. Raises ``InputError`` if there is a damaged one."""
        content = dataset_json.load(root)
        if content is None:
            return cls(root)
        categories, pictures = dict(UNTOLD), content.get("pictures")
        try:
            for domain in "AB":
                records = content["categories"][domain]
                told = tuple(
                    Category(
                        str(record["name"]),
                        _known(record.get("source_id")),
                        tuple(map(str, record.get("keypoints", ()))),
                    )
                    for record in records
                )
                categories[domain] = told or UNTOLD[domain]
        except (KeyError, TypeError, AttributeError):
            raise _damaged(root, "it names no categories") from None
        if not isinstance(pictures, Mapping):
            raise _damaged(root, "it tells of no pictures")
        return cls(root, categories, pictures)

    def summary(self) -> dict[str, Any]:
        """Names of the categories by domain, and how many pictures each folder has; nothing where nothing is told."""
        if not self.pictures:
            return {}
        categories = {domain: [category.name for category in found] for domain, found in self.categories.items()}
        folders = Counter(key.partition("/")[0] for key in self.pictures)
        return {"categories": categories, "pictures": dict(sorted(folders.items()))}

    def source_of(self, picture: str) -> Id:
        """Id of a picture in its source."""
        try:
            return _known(self._entry(picture).get("source_id"))
        except TypeError:
            raise _damaged(self.root, f"the source_id of {picture} is no id") from None

    def label_and_source_of(self, picture: str, number: int) -> tuple[int, Id]:
        """Category index of mask ``number`` and the id of its annotation; 0 and None for one that is not told of."""
        try:
            instances = self._entry(picture).get("instances", [])
            if number >= len(instances):
                return 0, None
            label, source = instances[number]["category"], _known(instances[number]["id"])
            if type(label) is not int or label not in range(len(self.categories[picture.partition("/")[0][-1]])):
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise _damaged(self.root, f"what it tells of mask {number} of {picture} makes no sense") from None
        return label, source

    def keypoints_of(self, picture: str, number: int, label: int) -> Keypoints | None:
        """Of mask ``number``, an instance of category ``label``; None where none are told."""
        instances = self._entry(picture).get("instances", [])
        told = instances[number].get("keypoints") if number < len(instances) else None
        if not told:
            return None
        names = self.categories[picture.partition("/")[0][-1]][label].keypoints
        if len(told) != 3 * len(names) or not all(isinstance(one, int | float) for one in told):
            raise _damaged(self.root, f"the keypoints of mask {number} of {picture} are not those of its category")
        return Keypoints(tuple(map(float, told)), mirrored_order(names))

    def _entry(self, picture: str) -> Mapping[str, Any]:
        entry = self.pictures.get(picture, {})
        if not isinstance(entry, Mapping):
            raise _damaged(self.root, f"what it tells of {picture} makes no sense")
        return entry


def _known(source: Any) -> Any:
    """An id, or several of one category; raises ``TypeError`` for what cannot be one."""
    if isinstance(source, list) and all(isinstance(one, (int, str)) for one in source):
        return tuple(source)
    if not isinstance(source, int | str | None):
        raise TypeError
    return source


def _damaged(root: Path, reason: str) -> InputError:
    path = root / dataset_json.FILE_NAME
    return InputError(f"{path} is damaged ({reason}); remove it or prepare the set again")
