"""The controllers of AIMServiceTemplate and AIMClusterServiceTemplate, and the slots of their discovery Jobs."""
