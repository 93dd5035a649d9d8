"""The controllers of AIMModel and AIMClusterModel, and the inspection of their images."""
