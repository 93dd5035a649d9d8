"""The controllers of AIMModel and AIMClusterModel."""
