"""OKS, COCO average precision with paired bootstrap intervals, PCKh, and the clean-up of detections before scoring."""
