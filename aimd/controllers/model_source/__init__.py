"""The controller of AIMClusterModelSource, and the lists of images that it reads from registries."""
