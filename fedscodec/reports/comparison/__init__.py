"""Compare a picture at several qualities with other codecs at no more bytes.

versions   what is compared: real files and the pictures in them     strip   one picture for a document
page       one HTML page, by `fedscodec.reports.viewer`
"""

from .page import comparison_page
from .strip import draw_strip
from .versions import PEERS, Comparison, Version, compare

__all__ = ["PEERS", "Comparison", "Version", "compare", "comparison_page", "draw_strip"]
