"""Everything that is wrong with a data set in the published layout, found in one pass. Used by
``scripts/check_data.py``.

findings      what can be wrong, and whether the loader refuses it
naming        what file names tell: folders, masks and pictures that belong together, what lies about
prepared      what dataset.json tells, held against the files
files         one picture and its masks, read as the loader reads them
masks         levels, areas and overlaps of masks
checking      all of it, on any number of processes -> ``Report``
boxes         the same for a data set with boxes
preview       pictures with their instances coloured and numbered
page          those, and all findings, as an HTML page
"""
