"""Let every Python that a program starts do without cuDNN, whose own graphs cannot be pretended."""

import torch

torch.backends.cudnn.enabled = False
