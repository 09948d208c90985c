"""What trains on series: a label of each, or a number."""

from .averaging import AveragingNet
from .numbernet import NumberNet
from .textnet import TextNet


class SeriesLabelNet(AveragingNet, TextNet):
    """Labels of series, as of texts."""

    unit = "series"


class SeriesNumberNet(AveragingNet, NumberNet):
    """A number of each series."""

    unit = "series"
