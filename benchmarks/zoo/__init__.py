"""The zoo: small encoders of many paradigms, all trained by one recipe on one data set.

``images`` to ``train`` to ``weights`` is the way: images become views under one augmentation
policy; a method of ``methods`` turns views into a loss; ``train`` takes the steps, watches the
encoder on unseen classes (``watch``) and writes it after every epoch in PyTorch's layout.
``python -m benchmarks.zoo`` is the way in.
"""
