"""What is learnt, and how: the GAN that all methods share, CycleGAN, and distillation."""
