"""Boxes in the formats that people have -> jsons in COCO's format, which ``--dataset_mode boxes`` trains on.

objects    one form for all formats: images with their objects, and what was left out
pairing    images beside their annotation files
yolo, normalised, voc, coco, init, kitti, cityscapes, bdd100k    one reader for each format
writing    objects -> {phase}{domain}.json, and boxes.json, which tells where the images are
"""
