"""torchvision for this floor; see ``instagan.pictures.torchvision_import``."""

from instagan.pictures.torchvision_import import import_torchvision

__all__ = ["import_torchvision"]
