"""The networks as Flax modules with named taps, one file or folder a family.

===============  ==================================================================================
``layers``       what they are made of: convolutions, products, norms, activations
``conv4``        the network of few-shot learning
``resnet``       ResNets of any depth and width; ``resnet_cifar`` the thin ones
``convnext``     ConvNeXt of both versions
``swin``         Swin transformers
``mobilenet``    MobileNetV2 and EfficientNet-Lite
``vit``          vision transformers: the network, its block, its positions
``pixels``       no network
===============  ==================================================================================
"""
