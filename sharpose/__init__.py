"""SHaRPose, exact and measured: sparse high-resolution human pose estimation."""

__version__ = "0.1.0"
