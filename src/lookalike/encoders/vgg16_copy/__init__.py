"""`vgg16-copy`: VGG16 in low-rank form with a head learned from edited copies; its weights are part of the package."""
