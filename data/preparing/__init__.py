"""From annotated pictures of any origin to the folders that training reads. Used by ``scripts/prepare_*.py``.

coco, ccp, mhp, own_masks, polygons, detector    what is there -> a Plan: one Task per picture and domain
splitting, names                                 which phase a picture is in; what its file is called
geometry, writing                                one Task -> files, and an entry that says where they come from
building, parallel                               all Tasks: over processes, stopped and resumed, never half a file
dataset_json                                     the format of dataset.json
"""
