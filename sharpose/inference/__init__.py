"""From pictures and boxes to keypoints: the loop, early exit, videos, drawings."""
