"""Broadcast tiles as the search measured them: their rows, what is compared with what, and tiles beside trained networks.

Every format is treated alike (:mod:`hw.studies.space`): the best of its contenders by each figure, over the best of int of the
same bits; and one tile (least area times energy) over one tile by the same rule. Only tiles that meet the clock and
hold whole sums are compared. Areas count the adder that applies the weights' correction in the requantizer.
"""
