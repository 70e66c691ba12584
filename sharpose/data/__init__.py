"""Data sets of people: COCO-format files, crops, augmentation and generated data."""
