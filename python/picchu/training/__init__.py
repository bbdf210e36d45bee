"""The training program: LoRA on a dataset with captions, with diffusers, peft and accelerate.

It runs in a process of its own, ``python -m picchu.training train settings.json``, on the user's machine
or in a training job; nothing of the rest of picchu is imported, so that the folder can be shipped alone. Its
needs are the extra ``picchu[train]``.
"""
