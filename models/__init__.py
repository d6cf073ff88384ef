"""The methods, one file each. Adding one is a new file and a line here."""

from models.cut_model import CutModel
from models.cycle_gan_model import CycleGanModel, CycleGanSegModel
from models.drit_model import DritModel
from models.dunit_model import DunitModel
from models.init_model import InitModel
from models.insta_former_model import InstaFormerModel
from models.insta_gan_model import InstaGanModel
from models.mguit_model import MguitModel
from models.munit_model import MunitModel
from models.one_way_insta_gan_model import OneWayInstaGanModel
from models.star_insta_gan_model import StarInstaGanModel
from models.translation_model import TranslationModel

MODELS: dict[str, type[TranslationModel]] = {
    "insta_gan": InstaGanModel,
    "one_way_insta_gan": OneWayInstaGanModel,
    "cycle_gan": CycleGanModel,
    "cycle_gan_seg": CycleGanSegModel,
    "cut": CutModel,
    "munit": MunitModel,
    "init": InitModel,
    "insta_former": InstaFormerModel,
    "drit": DritModel,
    "dunit": DunitModel,
    "mguit": MguitModel,
    "star_insta_gan": StarInstaGanModel,
}
